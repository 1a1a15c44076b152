"""Recordings that are not what they should be are refused in one sentence; odd frames stay in the guest."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.cards import CARDS, MAC
from nooks_lab.machine.ethernet import BROADCAST
from nooks_lab.replay import CAPTURE, CaptureError, Frame, read_capture, replay
from nooks_lab.workloads import registry
from nooks_lab.workloads.network import Network

HEADER = struct.Struct("<IHHiIII").pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
PEER = bytes.fromhex("020000000001")
DRIVERS = [name for name in registry.names() if isinstance(registry.brief_workload(name), Network)]


def capture(tmp_path: Path, *frames: bytes, lengths: tuple[int, ...] = (), header: bytes = HEADER) -> Path:
    records = [
        struct.pack("<IIII", 0, 0, len(frame), lengths[index] if lengths else len(frame)) + frame
        for index, frame in enumerate(frames)
    ]
    path = tmp_path / "mine.pcap"
    path.write_bytes(header + b"".join(records))
    return path


def test_a_recording_is_read_in_either_byte_order(tmp_path: Path) -> None:
    frame = BROADCAST + MAC + b"\x88\xb5" + bytes(50)
    little = read_capture(capture(tmp_path, frame))
    header = struct.Struct(">IHHiIII").pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    path = tmp_path / "big.pcap"
    path.write_bytes(header + struct.pack(">IIII", 0, 0, len(frame), len(frame)) + frame)
    assert little == read_capture(path) == (Frame(frame, True),)


@given(st.integers(min_value=0, max_value=CAPTURE.stat().st_size - 1))
def test_a_truncated_recording_never_is_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "cut.pcap"
    path.write_bytes(CAPTURE.read_bytes()[:size])
    whole = read_capture()
    told = outcome(path)
    if isinstance(told, str):
        assert str(path) in told
        assert "\n" not in told
    else:
        # Cut exactly between two frames, which nobody can tell.
        assert told == whole[: len(told)]


def outcome(path: Path) -> tuple[Frame, ...] | str:
    try:
        return read_capture(path)
    except CaptureError as error:
        return str(error)


@pytest.mark.parametrize(
    ("frames", "lengths", "sentence"),
    [
        ((bytes(60), bytes(13)), (), "frame 2 of .* has 13 bytes, and an Ethernet frame has 14 to 1518"),
        ((b"",), (), "frame 1 of .* has 0 bytes"),
        ((bytes(1519),), (), "frame 1 of .* has 1519 bytes"),
        ((bytes(64),), (900,), "frame 1 of .* was cut off: 64 of its 900 bytes are there"),
    ],
)
def test_frames_of_a_wrong_length_are_named(
    frames: tuple[bytes, ...], lengths: tuple[int, ...], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(CaptureError, match=sentence):
        read_capture(capture(tmp_path, *frames, lengths=lengths))


def test_other_files_are_named(tmp_path: Path) -> None:
    ends = capture(tmp_path, bytes(60))
    ends.write_bytes(ends.read_bytes()[:-1])
    with pytest.raises(CaptureError, match="ends in the middle of its frame 1"):
        read_capture(ends)
    with pytest.raises(CaptureError, match="is no pcap file"):
        read_capture(capture(tmp_path, header=b"GIF89a" + bytes(30)))
    with pytest.raises(CaptureError, match="does not hold Ethernet frames"):
        read_capture(capture(tmp_path, header=HEADER[:-4] + struct.pack("<I", 101)))
    with pytest.raises(CaptureError, match="cannot be read: Is a directory"):
        read_capture(tmp_path)


@given(st.lists(st.binary(min_size=14, max_size=100), min_size=1, max_size=20))
def test_nonsense_can_be_replayed(native: nl.lab.Lab, frames: list[bytes]) -> None:
    sent = [
        Frame(frame[:6] + (MAC if index % 2 else PEER) + frame[12:], bool(index % 2))
        for index, frame in enumerate(frames)
    ]
    result = replay(native, sent)
    assert result.outcome == "ok"


@pytest.fixture(scope="module")
def native():
    with nl.boot() as lab:
        lab.insmod("e1000")
        yield lab


LENGTHS = (
    *range(61),
    1513,
    1514,
    1515,
    1516,
    1518,
    1519,
    1522,
    1523,
    2047,
    2048,
    2049,
    4096,
    9000,
    16384,
    16385,
    65535,
)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("nooks", [False, True])
def test_frames_of_every_length_leave_a_driver_alive(driver: str, nooks: bool) -> None:
    workload = Network(driver, messages=1, pings=1)
    with nl.boot(nooks=nooks, devices=workload.devices) as lab:
        workload.set_up(lab)
        peer = lab.peers[workload.devices[0]]
        assert CARDS[workload.devices[0]].kind == "network"
        for length in LENGTHS:
            for destination in (MAC, BROADCAST):
                peer.send((destination + PEER + b"\x08\x00" + bytes(length))[:length])
            lab.run(0.001)
            lab.kernel.send_frame("eth0", (PEER + MAC + b"\x08\x00" + bytes(length))[:length])
            lab.run(0.001)
        result = workload.run(lab)
        assert result.ok, result.wrong
        assert not (lab.nooks.recoveries if lab.nooks else [])
