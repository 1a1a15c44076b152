"""What is the 3Com drivers' own: requests, parameters, and how they get over the chip's errors."""

import struct
from collections.abc import Iterator

import pytest
from nic_traffic import DEVICE, NETMASK, OURS, PEER, Traffic, frame

import nooks_lab as nl
from nooks_lab.cards import MAC
from nooks_lab.faults import census
from nooks_lab.faults.bugs import ethtool
from nooks_lab.kernel.errno import EFAULT, EINVAL, EOPNOTSUPP
from nooks_lab.kernel.module import ModuleError, Parameters
from nooks_lab.kernel.page_table import virt_to_phys
from nooks_lab.lab import Lab
from nooks_lab.machine.devices import c905_registers as reg
from nooks_lab.machine.devices.c905 import PHY_ADDRESS
from nooks_lab.machine.devices.phy import PHY_CTRL, PHY_ID1
from nooks_lab.replay import read_capture, replay

DRIVERS = ("3c59x", "3c90x")
NOWHERE = 0x7FFF0000
_GIGANTIC = 5000
_SIOCGMIIPHY, _SIOCGMIIREG, _SIOCSMIIREG, _SIOCDEVPRIVATE = 0x8947, 0x8948, 0x8949, 0x89F0
_TX_COUNTERS, _RX_COUNTERS, _OTHER_COUNTERS = 13, 11, 4


@pytest.fixture(
    scope="module",
    params=[(driver, nooks) for driver in DRIVERS for nooks in (False, True)],
    ids=lambda param: f"{param[0]}-{'nooks' if param[1] else 'native'}",
)
def traffic(request: pytest.FixtureRequest) -> Iterator[Traffic]:
    driver, nooks = request.param
    running = Traffic(driver, nooks=nooks)
    running.wait_for_carrier()
    yield running
    assert running.works()
    assert running.lab.nooks is None or running.lab.nooks.recoveries == []
    running.close()


def boot(driver: str, parameters: Parameters | None = None, nooks: bool = False) -> Lab:
    lab = nl.boot(devices=("3c905",), nooks=nooks)
    lab.insmod(driver, parameters)
    assert lab.ifup(DEVICE, OURS, NETMASK) == 0
    lab.run(0.1)
    return lab


def passes(lab: Lab, count: int = 40) -> bool:
    """Tell whether that many frames of many lengths pass each way."""
    into = [frame(60 + 31 * number, number) for number in range(count)]
    out = [frame(60 + 31 * number, number, MAC, PEER) for number in range(count)]
    arrived: list[bytes] = []
    lab.peer.received.clear()
    with lab.kernel.tap(lambda _device, data: arrived.append(data)):
        for one, other in zip(into, out, strict=True):
            lab.peer.send(one)
            lab.kernel.send_frame(DEVICE, other)
            lab.run(0.0005)
        lab.run(0.05)
    return [data for data in arrived if data[6:12] == PEER] == into and [
        data for _, data in lab.peer.received
    ] == out


def ioctl(lab: Lab, command: int, data: bytes) -> tuple[int, bytes]:
    """Pass a request on; returns the result and what stands in ``ifr_data`` then."""
    kernel = lab.kernel

    def system_call() -> tuple[int, bytes]:
        ifreq = kernel.slab.zalloc(kernel.types.size("ifreq"))
        kernel.memory.write(ifreq, DEVICE.encode().ljust(16, b"\0") + data)
        try:
            return kernel.net.ioctl(kernel.net.by_name(DEVICE), ifreq, command), kernel.memory.read(
                ifreq + 16, 8
            )
        finally:
            kernel.slab.free(ifreq)

    return kernel.in_task("mii-tool", system_call)


def mii(lab: Lab, command: int, register: int, value: int = 0) -> tuple[int, int]:
    result, data = ioctl(lab, command, struct.pack("<4H", 0, register, value, 0))
    phy, _, _, out = struct.unpack("<4H", data)
    return result, phy if command == _SIOCGMIIPHY else out


# Requests


def test_the_driver_says_who_it_is(traffic: Traffic) -> None:
    result, data = ethtool.get_drvinfo(traffic.lab)
    assert result == 0
    texts = [data[4 + 32 * at : 36 + 32 * at].rstrip(b"\0") for at in range(4)]
    assert texts == [traffic.driver.encode(), b"1.0", b"", b"00:03.0"]


def test_the_link_is_what_the_phy_says(traffic: Traffic) -> None:
    for plugged in (1, 0, 1):
        traffic.lab.nic.set_link(bool(plugged))
        traffic.lab.run(0.1)
        assert ethtool.get_link(traffic.lab) == (0, ethtool.words(ethtool.GLINK, plugged))
        assert traffic.carrier() == bool(plugged)


def test_mii_requests_reach_the_phy(traffic: Traffic) -> None:
    lab = traffic.lab
    assert mii(lab, _SIOCGMIIPHY, 0) == (0, PHY_ADDRESS)
    assert mii(lab, _SIOCGMIIREG, PHY_ID1) == (0, 0x0041)
    assert mii(lab, _SIOCSMIIREG, 4, 0x0101)[0] == 0
    assert mii(lab, _SIOCGMIIREG, 4) == (0, 0x0101)
    assert mii(lab, _SIOCSMIIREG, 4, 0x01E1)[0] == 0
    assert mii(lab, _SIOCGMIIREG, 32)[0] == -EINVAL


def test_a_bad_request_is_an_error_and_leaks_nothing(traffic: Traffic) -> None:
    before = traffic.lab.kernel.slab.active()
    assert ethtool.ioctl(traffic.lab, 0) == -EFAULT
    assert ethtool.request_without_room(traffic.lab, ethtool.words(ethtool.GDRVINFO)) == -EFAULT
    assert ethtool.request(traffic.lab, ethtool.words(0x7F))[0] == -EOPNOTSUPP
    assert ioctl(traffic.lab, 0x8950, bytes(8))[0] == -EOPNOTSUPP
    assert traffic.lab.kernel.slab.active() == before


def test_3c90x_hands_its_counters_out() -> None:
    with boot("3c90x") as lab:
        assert passes(lab, 10)
        size = 4 * (_TX_COUNTERS + _RX_COUNTERS + _OTHER_COUNTERS)
        room = lab.kernel.user.place(bytes(size + 4))
        assert ioctl(lab, _SIOCDEVPRIVATE, ethtool.words(room))[0] == 0
        counters = struct.unpack(f"<{size // 4}I", lab.kernel.memory.read(room, size))
        assert counters[:2] == (10, sum(60 + 31 * number for number in range(10)))
        assert counters[_TX_COUNTERS : _TX_COUNTERS + 2] == counters[:2]
        assert counters[_TX_COUNTERS + _RX_COUNTERS] > 0
        assert ioctl(lab, _SIOCDEVPRIVATE, bytes(8))[0] == -EFAULT


# The chip's errors


def test_a_list_that_leads_nowhere_is_an_error_that_the_driver_gets_over(traffic: Traffic) -> None:
    lab = traffic.lab
    before, errors = census.take(lab), lab.dmesg().count("host error")
    for register, provoke in (
        (reg.UP_LIST_PTR, lambda: lab.peer.send(frame(80))),
        (reg.DN_LIST_PTR, lambda: None),
    ):
        lab.nic.io_write(0, register, 4, NOWHERE)
        provoke()
        lab.run(0.1)
        errors += 1
        assert lab.dmesg().count("host error") == errors
        assert traffic.works()
    assert passes(lab)
    lab.run(0.1)
    assert census.take(lab) == before


def test_jabber_is_counted_and_the_transmitter_reset(traffic: Traffic) -> None:
    lab = traffic.lab
    pages = lab.kernel.pages.alloc(2)
    bus = virt_to_phys(pages)
    header = reg.FSH_ROUND_UP_DEFEAT
    descriptor = (0, header, bus + 64, _GIGANTIC, bus + 64, _GIGANTIC | reg.DN_FRAG_LAST)
    lab.kernel.memory.write(pages, struct.pack("<6I", *descriptor))
    before = traffic.statistics()["tx_aborted_errors"]
    lab.nic.io_write(0, reg.DN_LIST_PTR, 4, bus)
    lab.run(0.1)
    assert traffic.statistics()["tx_aborted_errors"] == before + 1
    assert passes(lab)
    lab.kernel.pages.free(pages, 2)


@pytest.mark.parametrize("driver", DRIVERS)
def test_without_memory_for_buffers_reception_waits_and_goes_on(driver: str) -> None:
    with boot(driver) as lab:
        assert passes(lab, 3)
        taken = []
        while page := lab.kernel.pages.alloc(0):
            taken.append(page)
        while block := lab.kernel.slab.alloc(2000):
            taken.append(-block)
        for number in range(60):
            lab.peer.send(frame(1500, number))
            lab.run(0.001)
        for each in taken:
            lab.kernel.pages.free(each, 0) if each > 0 else lab.kernel.slab.free(-each)
        lab.run(0.5)
        assert passes(lab)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_card_without_a_good_eeprom(driver: str) -> None:
    with nl.boot(devices=("3c905",)) as lab:
        lab.nic.state.eeprom[5] ^= 1
        if driver == "3c59x":
            lab.insmod(driver)
            assert "INVALID CHECKSUM" in lab.dmesg()
            return
        with pytest.raises(ModuleError):
            lab.insmod(driver)
        assert "checksum is wrong" in lab.dmesg()
        ports, memory = (lab.kernel.variable(tree) for tree in ("ioport_resource", "iomem_resource"))
        assert lab.kernel.resources.claimed(ports) == lab.kernel.resources.claimed(memory) == []


# Parameters


@pytest.mark.parametrize(
    ("driver", "parameters"),
    [
        ("3c59x", {"debug": 6}),
        ("3c59x", {"rx_copybreak": 0}),
        ("3c59x", {"rx_copybreak": 2000}),
        ("3c59x", {"max_interrupt_work": 1}),
        ("3c59x", {"options": [0x204]}),
        ("3c59x", {"full_duplex": [1, 0]}),
        ("3c90x", {"memory_mapped": 0}),
        ("3c90x", {"tx_delay": 0}),
        ("3c90x", {"tx_delay": 100_000}),
        ("3c90x", {"downloads": 8, "uploads": 8}),
        ("3c90x", {"downloads": 1, "uploads": 1000}),
        ("3c90x", {"duplex": 1}),
    ],
    ids=str,
)
@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
def test_frames_pass_with_every_parameter(driver: str, parameters: Parameters, nooks: bool) -> None:
    with boot(driver, parameters, nooks) as lab:
        assert passes(lab)
        assert lab.nooks is None or lab.nooks.recoveries == []


def test_forced_media_need_no_negotiation() -> None:
    with boot("3c59x", {"options": [0x204]}) as lab:
        assert lab.nic.state.phy.registers[PHY_CTRL] == 0x2100
        assert lab.nic.state.windows[3][reg.MAC_CONTROL] == reg.MAC_FULL_DUPLEX


def test_too_much_work_is_put_off_until_the_timer() -> None:
    with boot("3c59x", {"max_interrupt_work": 0}) as lab:
        assert passes(lab, 5)
        assert "too much work in interrupt" in lab.dmesg()


def test_the_countdown_saves_interrupts() -> None:
    interrupts = {}
    for delay in (0, 2000):
        with boot("3c90x", {"tx_delay": delay}) as lab:
            before = lab.nic.state.interrupts
            for number in range(32):
                lab.kernel.send_frame(DEVICE, frame(200, number, MAC, PEER))
            lab.run(0.05)
            assert len(lab.peer.received) >= 32
            interrupts[delay] = lab.nic.state.interrupts - before
    assert interrupts[0] > 3 * interrupts[2000]


def test_memory_and_ports_carry_the_same_traffic() -> None:
    counts = []
    for mapped in (0, 1):
        with nl.boot(devices=("3c905",)) as lab:
            lab.insmod("3c90x", {"memory_mapped": mapped})
            counts.append(replay(lab, read_capture()))
            assert (lab.machine.bus.mmio_accesses > 0) == bool(mapped)
    assert counts[0] == counts[1]
    assert (counts[0].outcome, counts[0].lost) == ("ok", 0)
