"""Sound devices by minor number, and DMA channels."""

from collections.abc import Iterator

import pytest

import nooks_lab as nl
from nooks_lab.kernel.errno import EBUSY, EINVAL, ENOENT
from nooks_lab.kernel.kernel import Kernel


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with nl.boot(devices=()) as lab:
        yield lab.kernel


def minors(kernel: Kernel) -> list[int]:
    return [unit.unit_minor for unit in kernel.sound.units()]


def test_devices_get_the_lowest_free_number_of_their_kind(kernel: Kernel) -> None:
    sound = kernel.sound
    assert [sound.register_sound_dsp(0x1000 + n, -1) for n in range(3)] == [3, 19, 35]
    assert sound.register_sound_mixer(0x2000, -1) == 0
    sound.unregister_sound_dsp(19)
    assert sound.register_sound_dsp(0x3000, -1) == 19
    assert minors(kernel) == [0, 3, 19, 35]
    assert sound.fops(19) == 0x3000
    assert [unit.name for unit in sound.units()] == [
        b"sound/mixer",
        b"sound/dsp",
        b"sound/dsp1",
        b"sound/dsp2",
    ]


def test_a_driver_can_ask_for_a_number(kernel: Kernel) -> None:
    sound = kernel.sound
    assert sound.register_sound_dsp(0x1000, 2) == 35
    assert sound.register_sound_dsp(0x1000, 2) == -EBUSY
    assert sound.register_sound_special(0x1000, 6) == 6
    assert sound.register_sound_special(0x1000, 256) == -EINVAL
    assert sound.register_sound_dsp(0, -1) == -EINVAL


def test_there_are_eight_of_a_kind(kernel: Kernel) -> None:
    for _ in range(8):
        assert kernel.sound.register_sound_dsp(0x1000, -1) > 0
    assert kernel.sound.register_sound_dsp(0x1000, -1) == -ENOENT


def test_dev_audio_is_dev_dsp(kernel: Kernel) -> None:
    kernel.sound.register_sound_dsp(0x1000, -1)
    assert [kernel.sound.fops(minor) for minor in (3, 4, 5, 19)] == [0x1000, 0x1000, 0x1000, 0]


def test_nothing_is_left_of_devices_that_are_gone(kernel: Kernel) -> None:
    active = kernel.slab.active()
    for minor in [kernel.sound.register_sound_dsp(0x1000, -1) for _ in range(8)]:
        kernel.sound.unregister_sound_dsp(minor)
    kernel.sound.unregister_sound_mixer(0)
    assert minors(kernel) == []
    assert kernel.slab.active() == active


def test_a_channel_has_one_owner(kernel: Kernel) -> None:
    dma = kernel.dma
    assert dma.request_dma(1, 0) == 0
    assert dma.request_dma(1, 0) == -EBUSY
    assert dma.request_dma(4, 0) == -EBUSY
    assert dma.request_dma(8, 0) == -EINVAL
    assert dma.busy() == [1]
    dma.free_dma(1)
    dma.free_dma(99)
    assert dma.busy() == []
    assert dma.request_dma(4, 0) == -EBUSY
