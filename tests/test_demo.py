"""The demo and the replay of recorded traffic under it."""

import json
from collections.abc import Iterator

import pytest

import nooks_lab as nl
from nooks_lab.cli.main import main
from nooks_lab.demo import Demo, DemoError, demo
from nooks_lab.extensions import UnknownExtension
from nooks_lab.kernel.traps import Panic
from nooks_lab.lab import Lab
from nooks_lab.replay import CaptureError, read_capture, replay

FRAMES = read_capture()


@pytest.fixture
def native() -> Iterator[Lab]:
    with nl.boot() as lab:
        lab.insmod("e1000")
        yield lab


@pytest.fixture(scope="module")
def shown() -> Demo:
    return demo("e1000", 1)


def test_the_recording_is_whole():
    assert len(FRAMES) == 161
    assert sum(frame.from_us for frame in FRAMES) == 75


def test_a_missing_recording_is_one_sentence(tmp_path):
    with pytest.raises(CaptureError, match=r"no-such\.pcap cannot be read"):
        read_capture(tmp_path / "no-such.pcap")


def test_a_file_that_is_no_recording_is_one_sentence(tmp_path):
    path = tmp_path / "text.pcap"
    path.write_bytes(b"not a capture at all, but long enough for a header")
    with pytest.raises(CaptureError, match="no pcap file"):
        read_capture(path)


@pytest.mark.parametrize("nooks", [False, True])
def test_a_good_driver_loses_no_packet(nooks):
    with nl.boot(nooks=nooks) as lab:
        lab.insmod("e1000")
        result = replay(lab, FRAMES)
    assert result.outcome == "ok"
    assert result.to_us == (86, 86)
    assert result.from_us == (75, 75)
    assert result.lost == 0


def test_after_a_panic_everything_is_lost(native):
    arrived = 0

    def die_at_the_fortieth(device: object, frame: bytes) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 40:
            raise Panic("Aiee, killing interrupt handler!")

    native.kernel.net.taps.append(die_at_the_fortieth)
    result = replay(native, FRAMES)
    assert result.outcome == "panic"
    assert "Aiee" in result.end
    assert result.sent == 161
    assert 161 - 40 <= result.lost < 161


def test_the_same_object_panics_natively_and_recovers_under_nooks(shown):
    assert shown.native.replay.outcome == "panic"
    assert "Kernel panic" in shown.native.said
    assert shown.nooks.replay.outcome == "recovered"
    assert len(shown.nooks.recoveries) >= 1
    assert shown.nooks.leaked == 0


def test_under_nooks_traffic_goes_on_after_the_recovery(shown):
    assert shown.nooks.replay.arrived_after > 0
    assert 0 < shown.nooks.replay.lost < shown.native.replay.lost


def test_the_json_holds_the_contracts_fields_and_is_the_same_twice(shown, capsys):
    with pytest.raises(SystemExit) as end:
        main(["demo", "--seed", "1", "--json"])
    assert not end.value.code
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads(json.dumps(shown.to_json()))
    assert len(said["object_sha256"]) == 64
    for side in ("native", "nooks"):
        assert {"outcome", "packets_sent", "packets_lost"} <= said[side].keys()
    assert {"xpcs", "leaked", "phases"} <= said["nooks"].keys()


def test_the_demo_names_what_was_lost_in_a_terminal(shown, capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--seed", "1"])
    out = capsys.readouterr().out
    assert shown.object_sha256 in out
    assert "Kernel panic" in out
    assert shown.nooks.recoveries[0].phases[0][0] in out


def test_the_figure_is_saved(tmp_path, capsys):
    path = tmp_path / "domains.png"
    with pytest.raises(SystemExit) as end:
        main(["demo", "--figure", str(path)])
    assert not end.value.code
    assert path.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_extension_or_seed_is_refused():
    with pytest.raises(UnknownExtension, match="ne2000"):
        demo("ne2000", 1)
    with pytest.raises(DemoError, match="-1"):
        demo("e1000", -1)
