"""Both sound drivers, natively and in a nook: formats, ioctls, blocking, mixers, parameters, errors."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from oss import MIXER, Sound, doze, process, result, with_device

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.faults import census
from nooks_lab.faults.poisoned_text import tracing
from nooks_lab.kernel.errno import EAGAIN, EBUSY, EFAULT, EINVAL, ENODEV, ENOENT
from nooks_lab.kernel.fs.files import O_NONBLOCK, O_RDONLY, O_WRONLY
from nooks_lab.kernel.fs.select import POLLOUT
from nooks_lab.kernel.module import ModuleError
from nooks_lab.kernel.sound.sound_core import DSP16, SOUND_MAJOR
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices.dac import SampleFormat
from nooks_lab.machine.devices.es1371 import Es1371
from nooks_lab.machine.devices.sb16 import Sb16
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.workloads.play_tune import PlayTune
from nooks_lab.workloads.tune import Tune

U8, S16_LE = 0x08, 0x10
CARDS = {"sb": "sb16", "es1371": "es1371"}


class Booted(NamedTuple):
    lab: Lab
    extension: str

    @property
    def card(self) -> Sb16 | Es1371:
        card = self.lab.cards[CARDS[self.extension]]
        assert isinstance(card, Sb16 | Es1371)
        return card


@pytest.fixture(
    scope="module",
    params=[(extension, nooks) for extension in CARDS for nooks in (False, True)],
    ids=["sb", "sb in a nook", "es1371", "es1371 in a nook"],
)
def booted(request: pytest.FixtureRequest) -> Iterator[Booted]:
    extension, nooks = request.param
    with nl.boot(nooks=nooks, devices=(CARDS[extension],)) as lab:
        lab.insmod(extension)
        yield Booted(lab, extension)


@pytest.mark.parametrize(
    "tune",
    [
        Tune(0.7, 22_050, 2, 16),
        Tune(0.3, 44_100, 2, 16),
        Tune(0.9, 8_000, 1, 8),
        Tune(0.5, 11_025, 2, 8),
        Tune(0.41, 16_000, 1, 16),
        Tune(0.004, 22_050, 2, 16),
    ],
    ids=str,
)
def test_what_is_written_is_what_the_converter_plays(booted: Booted, tune: Tune) -> None:
    workload = PlayTune(booted.extension, tune)
    result = workload.run(booted.lab)
    assert result.wrong == ()
    assert result.counts["bytes"] == len(tune.samples())
    assert result.counts["passages"] == 1
    assert workload.heard is not None
    # Behind the last sample the rest of its fragment is silence.
    assert workload.heard.silent < 8192


def test_a_device_starts_with_8_khz_8_bits_mono(booted: Booted) -> None:
    def look(sound: Sound) -> tuple[int, ...]:
        return (
            sound.ioctl("SNDCTL_DSP_SETFMT", 0),
            sound.ioctl("SNDCTL_DSP_SPEED", 0xFFFFFFFF),
            sound.ioctl("SNDCTL_DSP_CHANNELS", 0),
            sound.ioctl("SNDCTL_DSP_GETFMTS"),
        )

    assert with_device(booted.lab, look) == (U8, 8_000, 1, U8 | S16_LE)


def test_dsp_w_starts_with_16_bits(booted: Booted) -> None:
    lab = booted.lab
    if not process(lab, lambda: lab.kernel.files.exists("/dev/dspW")):
        process(lab, lambda: lab.kernel.files.mknod("/dev/dspW", 0o020666, SOUND_MAJOR, DSP16))
    assert with_device(lab, lambda sound: sound.ioctl("SNDCTL_DSP_SETFMT", 0), "/dev/dspW") == S16_LE


def test_what_it_cannot_do_becomes_what_it_can(booted: Booted) -> None:
    def ask(sound: Sound) -> tuple[int, ...]:
        return (
            sound.ioctl("SNDCTL_DSP_SETFMT", 0x20),
            sound.ioctl("SNDCTL_DSP_CHANNELS", 6),
            sound.ioctl("SNDCTL_DSP_STEREO", 0),
            sound.ioctl("SNDCTL_DSP_SPEED", 1),
            sound.ioctl("SNDCTL_DSP_SPEED", 1_000_000),
        )

    rates = (5_000, 44_100) if booted.extension == "sb" else (4_000, 48_000)
    assert with_device(booted.lab, ask) == (U8, 2, 0, *rates)


def test_the_room_is_what_can_be_written_at_once(booted: Booted) -> None:
    def fill(sound: Sound) -> tuple[int, int, int, int]:
        sound.ioctl("SNDCTL_DSP_SETFRAGMENT", 4 << 16 | 9)
        sound.ioctl("SNDCTL_DSP_NONBLOCK")
        before = sound.get("SNDCTL_DSP_GETOSPACE", "<4i")
        assert before == (4, 4, 512, 2048)
        assert sound.ioctl("SNDCTL_DSP_GETBLKSIZE") == 512
        first, second = sound.write(b"\x80" * 5000), sound.write(b"\x80" * 512)
        return first, second, sound.get("SNDCTL_DSP_GETOSPACE", "<4i")[3], sound.ioctl("SNDCTL_DSP_GETODELAY")

    taken, refused, room, delay = with_device(booted.lab, fill)
    assert taken == 2048
    assert refused == -EAGAIN
    assert room + delay == 2048
    assert 0 <= room < 64


def test_poll_waits_for_room_of_a_fragment(booted: Booted) -> None:
    def fill(sound: Sound) -> tuple[list[int], ...]:
        sound.ioctl("SNDCTL_DSP_SETFRAGMENT", 4 << 16 | 9)
        sound.ioctl("SNDCTL_DSP_NONBLOCK")
        wanted = [(sound.fd, POLLOUT)]
        empty = sound.files.poll(wanted, 0)
        assert sound.write(b"\x80" * 5000) == 2048
        full = sound.files.poll(wanted, 0)
        begun = booted.lab.machine.clock.now
        waited = sound.files.poll(wanted)
        # A fragment of 512 bytes at 8,000 a second takes 64 ms.
        assert 0.05 < (booted.lab.machine.clock.now - begun) / CPU_HZ < 0.08
        assert sound.write(b"\x80" * 512) >= 512
        return empty, full, waited

    assert with_device(booted.lab, fill) == ([POLLOUT], [0], [POLLOUT])


def test_fragments_can_be_subdivided_once(booted: Booted) -> None:
    def divide(sound: Sound) -> tuple[int, ...]:
        return (
            sound.ioctl("SNDCTL_DSP_GETBLKSIZE"),
            sound.ioctl("SNDCTL_DSP_SUBDIVIDE", 3),
            sound.ioctl("SNDCTL_DSP_SUBDIVIDE", 2),
            sound.ioctl("SNDCTL_DSP_GETBLKSIZE"),
            sound.ioctl("SNDCTL_DSP_SUBDIVIDE", 4),
        )

    assert with_device(booted.lab, divide) == (256, -EINVAL, 2, 128, -EINVAL)


def test_sync_returns_when_all_is_played(booted: Booted) -> None:
    data = bytes(range(256)) * 40

    def play(sound: Sound) -> bytes:
        sound.write_all(data)
        assert sound.ioctl("SNDCTL_DSP_SYNC") >= 0
        return b"".join(piece.data for piece in booted.card.played)

    assert with_device(booted.lab, play).rstrip(b"\x80").endswith(data.rstrip(b"\x80"))


def test_reset_forgets_what_is_not_played_yet(booted: Booted) -> None:
    def play(sound: Sound) -> tuple[int, int]:
        sound.write_all(b"\x11" * 8192)
        sound.ioctl("SNDCTL_DSP_RESET")
        begun = booted.lab.machine.clock.now
        sound.ioctl("SNDCTL_DSP_SYNC")
        return booted.lab.machine.clock.now - begun, sound.ioctl("SNDCTL_DSP_GETODELAY")

    took, delay = with_device(booted.lab, play)
    assert took < 1_700_000
    assert delay == 0


def test_the_pointer_counts_what_was_played(booted: Booted) -> None:
    def play(sound: Sound) -> tuple[int, ...]:
        sound.ioctl("SNDCTL_DSP_SETFRAGMENT", 8 << 16 | 8)
        sound.write_all(b"\x90" * 2048)
        sound.ioctl("SNDCTL_DSP_SYNC")
        return sound.get("SNDCTL_DSP_GETOPTR", "<3i")

    played, _, _ = with_device(booted.lab, play)
    assert played == 2048


def test_one_process_has_the_device_and_others_wait_or_hear_that_it_is_busy(booted: Booted) -> None:
    lab, order = booted.lab, []

    def first() -> None:
        sound = Sound(lab)
        assert Sound(lab, flags=O_WRONLY | O_NONBLOCK).fd == -EBUSY
        sound.write_all(b"\x80" * 4000)
        order.append("first")
        sound.close()

    def second() -> None:
        assert Sound(lab).fd >= 0
        order.append("second")

    threads = [lab.kernel.start("one", first), lab.kernel.start("two", second)]
    for thread in threads:
        lab.kernel.wait(thread)
    assert order == ["first", "second"]


def test_bad_calls_are_errors(booted: Booted) -> None:
    lab = booted.lab
    assert process(lab, lambda: Sound(lab, "/dev/dsp1").fd) == -ENODEV
    assert process(lab, lambda: Sound(lab, "/dev/dsp7").fd) == -ENOENT
    assert process(lab, lambda: Sound(lab, flags=O_RDONLY).fd) == -EINVAL

    def calls(sound: Sound) -> tuple[int, ...]:
        return (
            sound.ioctl(0x12345678),
            sound.write_from(0x1000, 4096),
            sound.write_from(0xC0100000, 4096),
            result(lambda: sound.files.ioctl(sound.fd, 0xC0045002, 0x1000)[0]),
        )

    assert with_device(lab, calls) == (-EINVAL, -EFAULT, -EFAULT, -EFAULT)
    assert with_device(lab, lambda sound: sound.write(b"")) == 0


def test_volumes_are_set_and_read_back(booted: Booted) -> None:
    def turn(sound: Sound) -> tuple[int, ...]:
        devices = sound.ioctl("SOUND_MIXER_READ_DEVMASK")
        levels = []
        for device in (0, 4):
            assert devices >> device & 1
            levels.append(sound.ioctl(0xC0044D00 | device, 100 | 0 << 8))
            levels.append(sound.ioctl(0x80044D00 | device))
            levels.append(sound.ioctl(0xC0044D00 | device, 50 | 50 << 8))
        return tuple(levels)

    *levels, middle = with_device(booted.lab, turn, MIXER)
    assert levels[0] == levels[1] == levels[3] == levels[4] == 100
    assert 48 <= middle & 0xFF <= 52
    assert middle & 0xFF == middle >> 8
    assert with_device(booted.lab, lambda sound: sound.ioctl(0x80044D00 | 17), MIXER) == -EINVAL


def test_the_mixer_names_itself(booted: Booted) -> None:
    def ask(sound: Sound) -> bytes:
        (text,) = sound.get("SOUND_MIXER_INFO", "<92s")
        return bytes(text)

    name = with_device(booted.lab, ask, MIXER)
    assert name.startswith({"sb": b"SB16", "es1371": b"ES1371"}[booted.extension])


def test_a_volume_reaches_the_card(booted: Booted) -> None:
    with_device(booted.lab, lambda sound: sound.ioctl("SOUND_MIXER_WRITE_VOLUME", 0), MIXER)
    card = booted.card
    if isinstance(card, Sb16):
        assert card.state.mixer[0x30] == card.state.mixer[0x31] == 0
    else:
        assert card.state.codec_registers[1] & 0x8000


def test_the_driver_cannot_be_unloaded_while_a_file_is_open(booted: Booted) -> None:
    lab = booted.lab

    def keep_open() -> None:
        Sound(lab)
        doze(lab, 50)

    thread = lab.kernel.start("program", keep_open)
    lab.run(0.1)
    with pytest.raises(ModuleError, match="in use"):
        lab.kernel.rmmod(booted.extension)
    lab.kernel.wait(thread)
    assert lab.kernel.modules.loaded[booted.extension].struct.usecount == 0


def test_an_open_that_the_driver_refuses_leaves_nothing(booted: Booted) -> None:
    lab = booted.lab
    assert process(lab, lambda: Sound(lab, flags=O_RDONLY).fd) == -EINVAL
    before = census.take(lab)
    assert process(lab, lambda: Sound(lab, flags=O_RDONLY).fd) == -EINVAL
    assert census.take(lab) == before
    assert lab.kernel.modules.loaded[booted.extension].struct.usecount == 0


def test_the_devices_node_stays_the_root_filesystems(booted: Booted) -> None:
    """What a driver sees of the node is its own: it neither changes it nor keeps it."""
    lab = booted.lab
    node = process(lab, lambda: lab.kernel.files.stat("/dev/dsp"))
    assert (node.mode & 0o170000, node.rdev) == (0o020000, 14 << 8 | 3)
    with_device(lab, lambda sound: sound.write_all(b"\x80" * 100))
    assert process(lab, lambda: lab.kernel.files.stat("/dev/dsp")) == node
    if lab.nooks is not None:
        (domain,) = lab.nooks.domains
        kinds = {each.type for each in lab.nooks.tracker.objects(domain)}
        assert not kinds & {"file", "inode", "dentry", "super_block"}


def test_the_tracker_is_sound_after_all_this(booted: Booted) -> None:
    if booted.lab.nooks is not None:
        assert validate(booted.lab.nooks) == []


@pytest.mark.parametrize("extension", CARDS)
@pytest.mark.parametrize("nooks", [False, True], ids=["natively", "in a nook"])
def test_unloading_leaves_nothing(extension: str, nooks: bool) -> None:
    with nl.boot(nooks=nooks, devices=(CARDS[extension],)) as lab:
        for _ in range(2):
            before = census.take(lab)
            lab.insmod(extension)
            assert len(lab.kernel.sound.units()) == 2
            with_device(lab, lambda sound: sound.write_all(b"\x80" * 5000))
            lab.kernel.rmmod(extension)
            assert lab.kernel.sound.units() == []
        assert census.take(lab) == before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"io": 0x240}, "no Sound Blaster at 0x240"),
        ({"irq": 6}, "cannot use IRQ 6"),
        ({"dma": 2}, "with DMA 2 and 5"),
        ({"dma16": 4}, "with DMA 1 and 4"),
    ],
)
@pytest.mark.parametrize("nooks", [False, True], ids=["natively", "in a nook"])
def test_a_wrong_parameter_ends_in_an_error_and_leaves_nothing(
    parameters: dict[str, int], message: str, nooks: bool
) -> None:
    with nl.boot(nooks=nooks, devices=("sb16",)) as lab:
        for _ in range(2):
            before = census.take(lab)
            with pytest.raises(ModuleError, match="init_module returned error"):
                lab.insmod("sb", parameters)
            assert message in lab.dmesg()
        assert census.take(lab) == before


@pytest.mark.parametrize("nooks", [False, True], ids=["natively", "in a nook"])
def test_the_card_takes_the_line_and_channels_that_the_parameters_say(nooks: bool) -> None:
    with nl.boot(nooks=nooks, devices=("sb16",)) as lab:
        lab.insmod("sb", {"irq": 10, "dma": 3, "dma16": 7})
        result = PlayTune("sb", Tune(0.3)).run(lab)
        assert result.wrong == ()
        assert lab.kernel.dma.busy() == [3, 7]
        assert len(lab.kernel.irq.actions(10)) == 1


def test_a_card_that_is_not_there_is_said_to_be_missing() -> None:
    with nl.boot(devices=("es1371",)) as lab:
        with pytest.raises(ModuleError, match=r"init_module returned error 19"):
            lab.insmod("sb")
        assert "no Sound Blaster at 0x220" in lab.dmesg()


def test_both_cards_play_at_once() -> None:
    with nl.boot(nooks=True, devices=("sb16", "es1371")) as lab:
        lab.insmod("sb")
        lab.insmod("es1371")

        def play(path: str, byte: int) -> None:
            Sound(lab, path).write_all(bytes((byte,)) * 20_000)

        threads = [
            lab.kernel.start(path, lambda p=path, b=b: play(p, b))
            for path, b in (("/dev/dsp", 1), ("/dev/dsp1", 2))
        ]
        for thread in threads:
            lab.kernel.wait(thread)
        for name, byte in (("sb16", 1), ("es1371", 2)):
            card = lab.cards[name]
            assert isinstance(card, Sb16 | Es1371)
            data = b"".join(piece.data for piece in card.played)
            assert data[:20_000] == bytes((byte,)) * 20_000
            assert {piece.format for piece in card.played} == {SampleFormat(8, False, 1)}


@pytest.mark.parametrize("extension", CARDS)
def test_native_and_nooks_run_the_same_bytes_to_the_same_sound(extension: str) -> None:
    results = []
    for nooks in (False, True):
        with nl.boot(nooks=nooks, devices=(CARDS[extension],)) as lab:
            workload = PlayTune(extension, Tune(0.5))
            workload.set_up(lab)
            results.append((workload.run(lab).digest, lab.kernel.modules.loaded[extension].object.sha256))
    assert results[0] == results[1]
    assert results[0][1] == extensions.extension(extension).sha256


def test_when_a_trace_of_a_driver_ends_the_kernels_page_table_is_still_in_force() -> None:
    with nl.boot(nooks=True, devices=("sb16",)) as lab:
        lab.insmod("sb")
        with tracing(lab, "sb"):
            # The driver's release is the last machine code that runs, in the driver's domain.
            assert PlayTune("sb", Tune(0.2)).run(lab).ok
        assert lab.machine.tlb.block.cr3 == lab.machine.cpu.cr3 == lab.kernel.page_table.directory
