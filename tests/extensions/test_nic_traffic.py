"""The same traffic for every network driver, natively and under Nooks."""

from collections.abc import Iterator

import nic_traffic
import pytest
from nic_traffic import DEVICE, DRIVERS, GROUP, LONGEST, OURS, PEER, SHORTEST, STRANGER, Traffic, frame

from nooks_lab.cards import MAC
from nooks_lab.faults import census
from nooks_lab.kernel.errno import ENETDOWN
from nooks_lab.machine.ethernet import BROADCAST
from nooks_lab.nooks.tracking.validate import validate


@pytest.fixture(
    scope="module",
    params=[(driver, nooks) for driver in DRIVERS for nooks in (False, True)],
    ids=lambda param: f"{param[0]}-{'nooks' if param[1] else 'native'}",
)
def traffic(request: pytest.FixtureRequest) -> Iterator[Traffic]:
    driver, nooks = request.param
    running = Traffic(driver, nooks=nooks)
    running.wait_for_carrier()
    try:
        yield running
        assert running.works()
        if running.lab.nooks is not None:
            assert running.lab.nooks.recoveries == []
            assert validate(running.lab.nooks) == []
    finally:
        running.close()


def test_arp_is_answered(traffic: Traffic) -> None:
    (reply,) = traffic.ask_for(OURS)
    assert (reply.hwsrc, reply.psrc, reply.hwdst) == (MAC.hex(":"), OURS, PEER.hex(":"))
    assert traffic.ask_for("10.0.0.9") == []


def test_pings_of_many_sizes_come_back_whole(traffic: Traffic) -> None:
    for number, size in enumerate((0, 1, 17, 18, 19, 56, 185, 186, 187, 500, 1471, 1472), 1):
        payload = bytes((number + at) & 0xFF for at in range(size))
        assert traffic.ping(number, payload) == [payload]


def test_frames_of_every_length_are_received_whole_and_in_order(traffic: Traffic) -> None:
    frames = [frame(length) for length in range(SHORTEST, LONGEST + 1)]
    assert traffic.receive(frames) == frames


def test_frames_of_every_length_are_sent_whole_and_in_order(traffic: Traffic) -> None:
    frames = [frame(length, 0, MAC, PEER) for length in range(SHORTEST, LONGEST + 1)]
    results, arrived = traffic.send(frames, 0.0001)
    assert not any(results)
    assert arrived == frames


def test_shorter_frames_are_padded_with_zeros(traffic: Traffic) -> None:
    frames = [frame(length, 0, MAC, PEER) for length in range(14, SHORTEST)]
    results, arrived = traffic.send(frames, 0.0001)
    assert not any(results)
    assert arrived == [data.ljust(SHORTEST, b"\0") for data in frames]


def test_frames_for_others_are_left_alone(traffic: Traffic) -> None:
    ours, everybodys = frame(80, 1), frame(80, 2, destination=BROADCAST)
    others = [frame(80, 3, destination=STRANGER), frame(80, 4, destination=GROUP)]
    assert traffic.receive([others[0], ours, others[1], everybodys]) == [ours, everybodys]


def test_a_multicast_group_is_heard_while_somebody_listens(traffic: Traffic) -> None:
    net, group, other = (
        traffic.lab.kernel.net,
        frame(90, 1, destination=GROUP),
        frame(90, 2, destination=STRANGER),
    )
    assert traffic.lab.kernel.in_task("join", lambda: net.add_multicast(traffic.device, GROUP)) == 0
    assert traffic.receive([group, other]) == [group]
    assert traffic.lab.kernel.in_task("leave", lambda: net.delete_multicast(traffic.device, GROUP)) == 0
    assert traffic.receive([group, other, frame(90)]) == [frame(90)]


def test_in_promiscuous_mode_everything_is_heard(traffic: Traffic) -> None:
    net = traffic.lab.kernel.net
    destinations = (STRANGER, GROUP, MAC, BROADCAST)
    frames = [frame(70, at, destination=destination) for at, destination in enumerate(destinations)]
    traffic.lab.kernel.in_task("tcpdump", lambda: net.set_promiscuity(traffic.device, 1))
    assert traffic.receive(frames) == frames
    traffic.lab.kernel.in_task("tcpdump", lambda: net.set_promiscuity(traffic.device, -1))
    assert traffic.receive(frames) == frames[2:]


@pytest.mark.parametrize("length", [SHORTEST, 700, LONGEST])
def test_a_burst_that_the_ring_cannot_hold_loses_frames_and_counts_them(
    traffic: Traffic, length: int
) -> None:
    frames = [frame(length, number) for number in range(200)]
    before, dropped = traffic.statistics(), traffic.lab.kernel.net.rx_dropped
    with traffic.listening() as arrived:
        with traffic.no_interrupts():
            for data in frames:
                traffic.lab.peer.send(data)
            traffic.lab.run(0.05)
            assert arrived == []
        traffic.lab.run(0.05)
    counted = traffic.counted(before)
    lost = max(counted[name] for name in ("rx_missed_errors", "rx_fifo_errors", "rx_over_errors"))
    assert 8 <= len(arrived) < len(frames)
    # The ring holds the first ones; while it is emptied, nothing comes.
    assert arrived == frames[: len(arrived)]
    assert len(arrived) + lost + traffic.lab.kernel.net.rx_dropped - dropped == len(frames)
    assert traffic.works()


def test_a_burst_at_line_rate_is_received_or_counted(traffic: Traffic) -> None:
    frames = [frame(SHORTEST + number % 400, number) for number in range(400)]
    before, dropped = traffic.statistics(), traffic.lab.kernel.net.rx_dropped
    arrived = traffic.receive(frames, 0.0)
    counted = traffic.counted(before)
    lost = max(counted[name] for name in ("rx_missed_errors", "rx_fifo_errors", "rx_over_errors"))
    assert len(arrived) + lost + traffic.lab.kernel.net.rx_dropped - dropped == len(frames)
    assert arrived == [data for data in frames if data in set(arrived)]
    assert counted["rx_packets"] == len(arrived)


def test_a_burst_to_send_waits_in_the_queue(traffic: Traffic) -> None:
    frames = [frame(1000, number, MAC, PEER) for number in range(150)]
    kernel = traffic.lab.kernel

    def send() -> list[int]:
        results = []
        for data in frames:
            skb = kernel.skbs.make(data)
            kernel.skbs.view(skb).dev = traffic.device.address
            results.append(kernel.net.queue_xmit(skb))
        return results

    traffic.lab.peer.received.clear()
    results = kernel.in_task("sendto", send)
    traffic.lab.run(0.1)
    accepted = [data for data, result in zip(frames, results, strict=True) if result == 0]
    assert len(accepted) > 64
    assert [data for _, data in traffic.lab.peer.received] == accepted


def test_runts_and_giants_do_not_pass(traffic: Traffic) -> None:
    runts = [frame(length) for length in (0, 1, 5, 13, 14, 20, 59)]
    giants = [frame(length) for length in (2000, 3100, 4096, 9000, 16_000)]
    good = frame(LONGEST, 5)
    before = traffic.statistics()
    assert traffic.receive([*runts, good, *giants, good]) == [good, good]
    counted = traffic.counted(before)
    assert counted["rx_packets"] == 2
    assert min(counted.values()) >= 0


@pytest.mark.parametrize("length", [1515, 1519, 2000, 4096, 8000])
def test_a_frame_too_long_to_send_arrives_whole_or_not_at_all(traffic: Traffic, length: int) -> None:
    long, good = frame(length, 0, MAC, PEER), frame(80, 6, MAC, PEER)
    assert traffic.send([long, good])[1] in ([long, good], [good])


def test_the_statistics_count_frames_and_bytes(traffic: Traffic) -> None:
    lengths = (60, 61, 300, 1000, 1514)
    before = traffic.statistics()
    traffic.receive(frame(length, number) for number, length in enumerate(lengths))
    traffic.send([frame(length, number, MAC, PEER) for number, length in enumerate(lengths)])
    counted = traffic.counted(before)
    count, total = len(lengths), sum(lengths)
    # Some devices count the check sequence.
    assert (counted["rx_packets"], counted["tx_packets"]) == (count, count)
    assert counted["rx_bytes"] in (total, total + 4 * count)
    assert counted["tx_bytes"] in (total, total + 4 * count)
    assert not any(value for name, value in counted.items() if "errors" in name)


def test_without_a_link_nothing_passes_and_with_one_everything_does(traffic: Traffic) -> None:
    nic = traffic.lab.nic
    nic.set_link(False)
    traffic.lab.run(nic_traffic.LINK_WATCH)
    assert not traffic.carrier()
    assert traffic.receive([frame(80)]) == []
    assert traffic.send([frame(80, 0, MAC, PEER)])[1] == []
    nic.set_link(True)
    traffic.wait_for_carrier()
    # What a driver has kept meanwhile goes out now.
    traffic.lab.run(0.1)
    assert traffic.works()


def test_a_transmitter_that_hangs_is_reset(traffic: Traffic) -> None:
    lab = traffic.lab
    objects = census.take(lab).objects
    timeouts = lab.dmesg().count("transmit timed out")
    with traffic.no_bus_master():
        for number in range(150):
            lab.kernel.send_frame(DEVICE, frame(100, number, MAC, PEER))
        for _ in range(15):
            lab.run(1)
            if lab.dmesg().count("transmit timed out") > timeouts:
                break
        else:
            pytest.fail("no timeout")
    # A reset without the bus may have failed; then the next one comes.
    for _ in range(15):
        lab.run(1)
        if traffic.works():
            break
    assert traffic.works()
    lab.run(1)
    assert census.take(lab).objects == objects


def test_down_and_up_again_leaves_nothing_behind(traffic: Traffic) -> None:
    lab = traffic.lab
    counts = []
    for _ in range(4):
        assert lab.kernel.ifconfig_down(DEVICE) == 0
        assert traffic.receive([frame(80)]) == []
        assert lab.kernel.send_frame(DEVICE, frame(80, 0, MAC, PEER)) == -ENETDOWN
        assert lab.kernel.ifconfig_up(DEVICE) == 0
        lab.run(0.1)
        assert traffic.works()
        counts.append(census.take(lab))
    assert counts[1:] == [counts[0]] * 3


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_unloading_leaves_nothing_behind(driver: str, nooks: bool) -> None:
    traffic = Traffic(driver, nooks=nooks)
    lab = traffic.lab
    try:
        counts = []
        for _ in range(3):
            assert traffic.works()
            lab.kernel.rmmod(driver)
            lab.run(0.1)
            counts.append(census.take(lab))
            lab.insmod(driver)
            assert lab.ifup(DEVICE, OURS, nic_traffic.NETMASK) == 0
            lab.run(0.05)
        assert counts[1:] == [counts[0]] * 2
        assert lab.kernel.net.by_name(DEVICE) is not None
    finally:
        traffic.close()
