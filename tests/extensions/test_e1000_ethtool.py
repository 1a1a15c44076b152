"""The e1000's ethtool requests, natively and under Nooks."""

from collections.abc import Iterator

import armed_driver
import pytest

import nooks_lab as nl
from nooks_lab.cards import MAC
from nooks_lab.faults.bugs import ethtool
from nooks_lab.kernel.errno import EFAULT, EINVAL, EOPNOTSUPP
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices import e1000_registers as registers

_LED0_IVRT = 0x40


@pytest.fixture(scope="module", params=[False, True], ids=["native", "nooks"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with nl.boot(nooks=request.param) as booted:
        booted.insmod("e1000")
        assert booted.ifup("eth0", armed_driver.OURS, armed_driver.NETMASK) == 0
        booted.run(0.05)
        yield booted
        assert booted.nooks is None or booted.nooks.recoveries == []


def numbers(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


def ledctl(lab: Lab) -> int:
    return lab.nic.state.registers[registers.LEDCTL >> 2]


def test_the_driver_says_who_it_is(lab: Lab) -> None:
    result, data = ethtool.get_drvinfo(lab)
    assert result == 0
    texts = [data[4 + 32 * i : 36 + 32 * i].rstrip(b"\0") for i in range(4)]
    assert texts[:2] == [b"e1000", b"1.0"]
    assert texts[2].count(b".") == 1
    assert numbers(data[-8:]) == [ethtool.EEPROM_BYTES, ethtool.REGS_BYTES]


def test_the_link_is_up(lab: Lab) -> None:
    assert ethtool.get_link(lab) == (0, ethtool.words(ethtool.GLINK, 1))


def test_the_registers_are_the_devices(lab: Lab) -> None:
    result, data = ethtool.get_regs(lab)
    command, version, size, *dump = numbers(data)
    assert (result, command, version, size) == (0, ethtool.GREGS, 1, ethtool.REGS_BYTES)
    assert len(dump) == ethtool.REGS_BYTES // 4
    assert dump[1] & registers.STATUS_LU
    assert dump[2] & registers.RCTL_EN
    assert (dump[3], dump[8]) == (64 * 16, 64 * 16)


def test_a_short_register_buffer_is_not_overrun(lab: Lab) -> None:
    head = ethtool.words(ethtool.GREGS, 0, 8)
    result, data = ethtool.request(lab, head, 16)
    assert result == 0
    assert data[len(head) + 8 :] == bytes(8)
    assert data[len(head) : len(head) + 8] == ethtool.get_regs(lab)[1][12:20]


def test_the_eeprom_begins_with_the_station_address(lab: Lab) -> None:
    result, data = ethtool.get_eeprom(lab)
    assert result == 0
    image = data[16:]
    assert image[:6] == MAC
    assert sum(int.from_bytes(image[i : i + 2], "little") for i in range(0, 128, 2)) & 0xFFFF == 0xBABA
    assert ethtool.get_eeprom(lab, 3, 5)[1][16:] == image[3:8]


@pytest.mark.parametrize(("offset", "size"), [(0, 129), (128, 1), (1, 128), (0xFFFFFFFF, 2), (2, 0xFFFFFFFF)])
def test_eeprom_bytes_that_are_not_there_are_refused(lab: Lab, offset: int, size: int) -> None:
    head = ethtool.words(ethtool.GEEPROM, 0, offset, size)
    assert ethtool.request(lab, head, 128) == (-EINVAL, head + bytes(128))


def test_a_bad_user_pointer_is_an_error_and_leaks_nothing(lab: Lab) -> None:
    before = lab.kernel.slab.active()
    assert ethtool.get_regs_without_room(lab) == -EFAULT
    assert ethtool.get_eeprom_without_room(lab) == -EFAULT
    assert ethtool.ioctl(lab, 0) == -EFAULT
    assert ethtool.request(lab, ethtool.words(0x7F))[0] == -EOPNOTSUPP
    assert lab.kernel.slab.active() == before


def test_the_led_blinks_while_the_process_sleeps_and_is_as_before_afterwards(lab: Lab) -> None:
    off = registers.RESET_VALUES[registers.LEDCTL]
    address = lab.kernel.user.place(ethtool.words(ethtool.PHYS_ID, 1))
    began = lab.kernel.machine.clock.now
    process = ethtool.start(lab, address)
    shown = []
    for _ in range(4):
        lab.run(0.25)
        shown.append(ledctl(lab) ^ off)
    lab.kernel.wait(process)
    assert process.result == 0
    assert sorted(set(shown)) == [0, _LED0_IVRT]
    assert ledctl(lab) == off
    assert CPU_HZ <= lab.kernel.machine.clock.now - began < 1.1 * CPU_HZ
