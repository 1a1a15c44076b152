"""What is the pcnet32 driver's own: chips, media, MII and ethtool requests, and how it gets over the chip's errors."""

from collections.abc import Iterator

import pytest
from nic_traffic import DEVICE, NETMASK, OURS, PEER, Traffic, frame

import nooks_lab as nl
from nooks_lab.cards import MAC
from nooks_lab.faults import census
from nooks_lab.faults.bugs import ethtool
from nooks_lab.kernel.errno import EFAULT, EINVAL, EOPNOTSUPP
from nooks_lab.kernel.module import ModuleError, Parameters
from nooks_lab.lab import Lab
from nooks_lab.machine.devices import pcnet32 as chip
from nooks_lab.machine.devices import pcnet32_registers as reg
from nooks_lab.machine.devices.pcnet32 import PHY_ADDRESS
from nooks_lab.machine.devices.phy import CTRL_AUTO_NEG_EN, CTRL_SPEED_100, PHY_CTRL, PHY_ID1, PHY_STATUS

_SIOCGMIIPHY, _SIOCGMIIREG, _SIOCSMIIREG = 0x8947, 0x8948, 0x8949
_REGS_BYTES = (90 + 36) * 2
_FULL_DUPLEX = 0x0100
_RING = 32
NOWHERE = 0x3F000000


@pytest.fixture(scope="module", params=[False, True], ids=["native", "nooks"])
def traffic(request: pytest.FixtureRequest) -> Iterator[Traffic]:
    running = Traffic("pcnet32", nooks=request.param)
    running.wait_for_carrier()
    yield running
    assert running.works()
    assert running.lab.nooks is None or running.lab.nooks.recoveries == []
    running.close()


def boot(parameters: Parameters | None = None, up: bool = True) -> Lab:
    lab = nl.boot(devices=("pcnet32",))
    lab.insmod("pcnet32", parameters)
    if up:
        assert lab.ifup(DEVICE, OURS, NETMASK) == 0
        lab.run(2.6)
    return lab


def mii(lab: Lab, command: int, phy: int, register: int, value: int = 0) -> tuple[int, int, int]:
    """Pass an MII request on; returns the result, phy_id and val_out."""
    kernel = lab.kernel

    def system_call() -> tuple[int, int, int]:
        ifreq = kernel.slab.zalloc(kernel.types.size("ifreq"))
        data = b"".join(word.to_bytes(2, "little") for word in (phy, register, value, 0))
        kernel.memory.write(ifreq, b"eth0".ljust(16, b"\0") + data)
        try:
            result = kernel.net.ioctl(kernel.net.by_name(DEVICE), ifreq, command)
            return result, kernel.memory.u16(ifreq + 16), kernel.memory.u16(ifreq + 22)
        finally:
            kernel.slab.free(ifreq)

    return kernel.in_task("mii-tool", system_call)


# Requests


def test_the_driver_says_who_it_is(traffic: Traffic) -> None:
    result, data = ethtool.get_drvinfo(traffic.lab)
    assert result == 0
    texts = [data[4 + 32 * at : 36 + 32 * at].rstrip(b"\0") for at in range(4)]
    assert texts == [b"pcnet32", b"1.0", b"", b"00:03.0\0".rstrip(b"\0")]
    assert int.from_bytes(data[-4:], "little") == _REGS_BYTES


def test_the_link_is_what_the_phy_says(traffic: Traffic) -> None:
    assert ethtool.get_link(traffic.lab) == (0, ethtool.words(ethtool.GLINK, 1))
    traffic.lab.nic.set_link(False)
    assert ethtool.get_link(traffic.lab) == (0, ethtool.words(ethtool.GLINK, 0))
    traffic.lab.nic.set_link(True)
    traffic.wait_for_carrier()
    assert ethtool.get_link(traffic.lab) == (0, ethtool.words(ethtool.GLINK, 1))


def test_the_registers_are_the_chips(traffic: Traffic) -> None:
    head = ethtool.words(ethtool.GREGS, 0, _REGS_BYTES + 100)
    result, data = ethtool.request(traffic.lab, head, _REGS_BYTES + 100)
    assert (result, data[8:12]) == (0, _REGS_BYTES.to_bytes(4, "little"))
    dump = data[12 : 12 + _REGS_BYTES]
    words = [int.from_bytes(dump[at : at + 2], "little") for at in range(0, _REGS_BYTES, 2)]
    csr, bcr = words[:90], words[90:]
    assert csr[reg.CSR0] & (reg.CSR0_RXON | reg.CSR0_TXON) == reg.CSR0_RXON | reg.CSR0_TXON
    assert csr[88] | csr[89] << 16 == chip.CHIP_ID
    assert (csr[reg.RCVRL], csr[reg.XMTRL]) == (0x10000 - 32, 0x10000 - 16)
    assert b"".join(word.to_bytes(2, "little") for word in csr[12:15]) == MAC
    assert bcr[reg.BCR20] == 0x0302
    assert bcr[reg.BCR18] & reg.BCR18_DWIO
    assert bcr[reg.BCR9] & reg.BCR9_FDEN
    assert data[12 + _REGS_BYTES :] == bytes(100)


def test_a_bad_request_is_an_error_and_leaks_nothing(traffic: Traffic) -> None:
    before = traffic.lab.kernel.slab.active()
    assert ethtool.ioctl(traffic.lab, 0) == -EFAULT
    head = ethtool.words(ethtool.GREGS, 0, _REGS_BYTES)
    assert ethtool.request_without_room(traffic.lab, head) == -EFAULT
    assert ethtool.request(traffic.lab, ethtool.words(0x7F))[0] == -EOPNOTSUPP
    assert mii(traffic.lab, 0x8950, 0, 0)[0] == -EOPNOTSUPP
    assert traffic.lab.kernel.slab.active() == before


def test_mii_requests_reach_the_phy(traffic: Traffic) -> None:
    lab = traffic.lab
    assert mii(lab, _SIOCGMIIPHY, 0, 0)[:2] == (0, PHY_ADDRESS)
    assert mii(lab, _SIOCGMIIREG, PHY_ADDRESS, PHY_ID1) == (0, PHY_ADDRESS, 0x0022)
    assert mii(lab, _SIOCGMIIREG, 9, PHY_ID1)[2] == 0xFFFF
    assert mii(lab, _SIOCSMIIREG, PHY_ADDRESS, 4, 0x0101)[0] == 0
    assert mii(lab, _SIOCGMIIREG, PHY_ADDRESS, 4)[2] == 0x0101
    assert mii(lab, _SIOCSMIIREG, PHY_ADDRESS, 4, 0x01E1)[0] == 0
    for phy, register in ((32, 0), (0, 32), (0xFFFF, 0xFFFF)):
        assert mii(lab, _SIOCGMIIREG, phy, register)[0] == -EINVAL


# Parameters


@pytest.mark.parametrize(
    ("option", "full", "control", "link"),
    [
        (0, 0, CTRL_AUTO_NEG_EN, True),
        (1, 0, 0, False),
        (2, 0, _FULL_DUPLEX, False),
        (3, 0, CTRL_SPEED_100, True),
        (3, 1, CTRL_SPEED_100 | _FULL_DUPLEX, True),
        (4, 0, CTRL_SPEED_100 | _FULL_DUPLEX, True),
    ],
)
def test_the_medium_can_be_set(option: int, full: int, control: int, link: bool) -> None:
    with boot({"options": [option], "full_duplex": [full]}) as lab:
        value = mii(lab, _SIOCGMIIREG, PHY_ADDRESS, PHY_CTRL)[2]
        mask = CTRL_AUTO_NEG_EN if option == 0 else CTRL_AUTO_NEG_EN | CTRL_SPEED_100 | _FULL_DUPLEX
        assert value & mask == control
        mii(lab, _SIOCGMIIREG, PHY_ADDRESS, PHY_STATUS)
        assert bool(mii(lab, _SIOCGMIIREG, PHY_ADDRESS, PHY_STATUS)[2] & 4) is link
        wants_full = option in (0, 2, 4) or full == 1
        assert bool(lab.nic.state.bcr[reg.BCR9] & reg.BCR9_FDEN) is wants_full


def test_a_medium_that_there_is_not_is_negotiated_and_reported() -> None:
    with boot({"options": [17, 3]}, up=False) as lab:
        assert "options=17 is no medium" in lab.dmesg()


def test_debug_says_what_is_written() -> None:
    with boot({"debug": 0}) as lab:
        assert "link is up" not in lab.dmesg()
    with boot({"debug": 2}) as lab:
        lab.kernel.send_frame(DEVICE, frame(60, 0, MAC, PEER))
        lab.run(0.01)
        assert "eth0: interrupt, CSR0 " in lab.dmesg()


# The chip


@pytest.mark.parametrize(
    ("part", "name", "mii_there"),
    [(0x2621, "PCnet-PCI II Am79C970A", False), (0x2625, "PCnet-FAST III Am79C973", True)],
)
def test_other_chips_of_the_family_are_known(part: int, name: str, mii_there: bool) -> None:
    with nl.boot(devices=("pcnet32",)) as lab:
        number = part << 12 | 3
        lab.nic.state.csr[88], lab.nic.state.csr[89] = number & 0xFFFF, number >> 16
        lab.insmod("pcnet32")
        assert lab.ifup(DEVICE, OURS, NETMASK) == 0
        lab.run(2.6)
        assert name in lab.dmesg()
        # Without MII the link is read off the chip's own status pin.
        assert "link is up" in lab.dmesg()
        assert mii(lab, _SIOCGMIIPHY, 0, 0)[0] == (0 if mii_there else -EOPNOTSUPP)
        lab.kernel.send_frame(DEVICE, frame(77, 0, MAC, PEER))
        lab.run(0.01)
        assert [data for _, data in lab.peer.received if data[12:14] == b"\x88\xb5"] == [
            frame(77, 0, MAC, PEER)
        ]


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda nic: nic.state.csr.__setitem__(88, 0x0001), "no PCnet chip at 0xc000"),
        (lambda nic: nic.state.csr.__setitem__(89, 0x0999), "no PCnet chip at 0xc000"),
        (lambda nic: setattr(nic.state, "aprom", bytes(16)), "no valid station address"),
    ],
    ids=["manufacturer", "part", "address"],
)
def test_a_card_that_cannot_be_used_is_refused_and_everything_given_back(
    nooks: bool, break_it: object, message: str
) -> None:
    with nl.boot(nooks=nooks, devices=("pcnet32",)) as lab:
        assert callable(break_it)
        break_it(lab.nic)
        counts = []
        for _ in range(2):
            with pytest.raises(ModuleError, match="error 19"):
                lab.insmod("pcnet32")
            counts.append(census.take(lab))
        assert message in lab.dmesg()
        assert counts[0] == counts[1]
        assert lab.kernel.resources.claimed(lab.kernel.variable("ioport_resource")) == []
        assert lab.nooks is None or lab.nooks.recoveries == []


def test_a_wrong_checksum_of_the_address_is_only_reported() -> None:
    with nl.boot(devices=("pcnet32",)) as lab:
        prom = bytearray(lab.nic.state.aprom)
        prom[12] ^= 1
        lab.nic.state.aprom = bytes(prom)
        lab.insmod("pcnet32")
        assert "the address PROM has a wrong checksum" in lab.dmesg()
        assert lab.kernel.net.by_name(DEVICE) is not None


def test_ports_that_are_taken_are_left_alone() -> None:
    with nl.boot(devices=("pcnet32",)) as lab:
        name = lab.kernel.slab.zalloc(16)
        tree = lab.kernel.variable("ioport_resource")
        assert lab.kernel.resources.request_region(tree, 0xC010, 4, name)
        with pytest.raises(ModuleError, match="error 19"):
            lab.insmod("pcnet32")
        assert lab.kernel.resources.claimed(tree) == [(0xC010, 0xC013)]


def test_a_chip_that_does_not_initialize_fails_the_open_and_can_be_opened_later(traffic: Traffic) -> None:
    lab = traffic.lab
    assert lab.kernel.ifconfig_down(DEVICE) == 0
    lab.run(0.1)
    before = census.take(lab)
    with traffic.no_bus_master():
        assert lab.kernel.ifconfig_up(DEVICE) == -5
    lab.run(0.1)
    assert "the chip does not initialize" in lab.dmesg()
    assert census.take(lab) == before
    assert lab.kernel.ifconfig_up(DEVICE) == 0
    traffic.wait_for_carrier()
    assert traffic.works()


def descriptors(lab: Lab) -> tuple[int, int]:
    """Bus addresses of the receive and transmit rings."""
    csr = lab.nic.state.csr
    return csr[reg.BADRL] | csr[reg.BADRU] << 16, csr[reg.BADXL] | csr[reg.BADXU] << 16


@pytest.mark.parametrize("ring", ["receive", "transmit"])
def test_a_buffer_address_that_is_nowhere_stops_the_chip_and_the_driver_starts_it_again(
    traffic: Traffic, ring: str
) -> None:
    lab = traffic.lab
    errors = lab.dmesg().count("system error, PCI status 2")
    memory = lab.machine.memory
    receive, _ = descriptors(lab)
    if ring == "receive":
        for index in range(_RING):
            memory.write(receive + 16 * index, NOWHERE.to_bytes(4, "little"))
        assert traffic.receive([frame(80)]) == []
    else:
        # Each address is written again as the frame is queued: the ring itself is moved away.
        lab.nic.state.csr[reg.BADXU] = NOWHERE >> 16
        assert traffic.send([frame(80, 0, MAC, PEER)])[1] == []
    assert lab.dmesg().count("system error, PCI status 2") == errors + 1
    assert traffic.works()


def test_an_underflow_turns_the_transmitter_off_and_the_driver_starts_the_chip_again(
    traffic: Traffic,
) -> None:
    lab, before = traffic.lab, traffic.statistics()
    kernel, csr = lab.kernel, lab.nic.state.csr
    _, transmit = descriptors(lab)
    number = csr[reg.XMTRC] - csr[reg.XMTRL] & 0xFFFF

    def send_and_spoil() -> None:
        skb = kernel.skbs.make(frame(60, 1, MAC, PEER))
        kernel.skbs.view(skb).dev = traffic.device.address
        kernel.net.queue_xmit(skb)
        # ENP goes before the chip has fetched the descriptor; no buffer follows.
        at = transmit + 16 * number + 7
        lab.machine.memory.write(at, bytes([lab.machine.memory.read(at, 1)[0] & ~1]))

    kernel.in_task("sendto", send_and_spoil)
    lab.run(0.02)
    counted = traffic.counted(before)
    assert (counted["tx_fifo_errors"], counted["tx_packets"]) == (1, 0)
    assert csr[reg.CSR0] & reg.CSR0_TXON
    assert traffic.works()


def test_without_a_link_the_carrier_errors_are_counted(traffic: Traffic) -> None:
    before = traffic.statistics()
    traffic.lab.nic.set_link(False)
    traffic.send([frame(80, number, MAC, PEER) for number in range(5)])
    counted = traffic.counted(before)
    assert (counted["tx_carrier_errors"], counted["tx_errors"], counted["tx_packets"]) == (5, 5, 0)
    traffic.lab.nic.set_link(True)
    traffic.wait_for_carrier()


def test_without_memory_frames_are_dropped_and_counted_and_their_buffers_stay(traffic: Traffic) -> None:
    lab, before = traffic.lab, traffic.statistics()
    frames = [frame(1000, number) for number in range(_RING)]
    with traffic.listening() as arrived:
        with traffic.no_interrupts():
            for data in frames:
                lab.peer.send(data)
            lab.run(0.01)
            taken = []
            while page := lab.kernel.pages.alloc(0):
                taken.append(page)
        lab.run(0.01)
    for page in taken:
        lab.kernel.pages.free(page, 0)
    counted = traffic.counted(before)
    assert counted["rx_dropped"] > 0
    assert len(arrived) + counted["rx_dropped"] == counted["rx_packets"] + counted["rx_dropped"] == _RING
    assert traffic.receive(frames) == frames
