"""Deferred calls: what waits in a queue happens in the same order and with the same result, only later."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeVar

import armed_driver
import census
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cards import MAC
from nooks_lab.kernel.errno import EIO
from nooks_lab.kernel.hooks import Hooks
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE
from nooks_lab.lab import Lab
from nooks_lab.machine.ethernet import pad
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.nooks.xpc.deferred import QUEUE_SIZE, Counters

T = TypeVar("T")


def boot(batch: int, policy: Policy | None = None) -> Lab:
    """Boot with queues of another length than the usual one."""
    lab = nl.boot()
    lab.nooks = Nooks(lab.kernel, policy, batch=batch)
    return lab


# A real driver


def frame(number: int, to: str = armed_driver.OUR_MAC, source: str = armed_driver.THEIR_MAC) -> bytes:
    packet = Ether(src=source, dst=to) / IP(src=armed_driver.THEIRS, dst="10.0.0.9")
    return pad(bytes(packet / UDP(sport=number, dport=9) / (b"%04d" % number * (1 + number % 300))))


def drive(batch: int) -> tuple[dict[str, object], dict[str, int]]:
    """Let the e1000 receive and send; returns what arrived, and what it took."""
    with boot(batch) as lab:
        assert lab.nooks is not None
        sent: list[bytes] = []
        seen: list[tuple[str, bytes]] = []
        lab.insmod("e1000")
        assert lab.ifup("eth0", armed_driver.OURS, armed_driver.NETMASK) == 0
        lab.run(0.05)
        lab.peer.on_frame = lambda _peer, data: sent.append(data)
        xpcs = lab.nooks.xpc.total
        with lab.kernel.tap(lambda device, data: seen.append((device.name.decode(), data))):
            for burst in range(6):
                for number in range(20):
                    lab.peer.send(frame(burst * 20 + number))
                lab.kernel.send_frame("eth0", frame(burst, armed_driver.THEIR_MAC, armed_driver.OUR_MAC))
                lab.run(0.02)
        device = lab.kernel.net.by_name("eth0")
        fields = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped", "rx_errors", "tx_errors")
        statistics = lab.kernel.in_task(
            "ifconfig", lambda: {name: getattr(lab.kernel.net.stats(device), name) for name in fields}
        )
        queue = lab.nooks.queues(lab.nooks.domains[0]).kernel_calls
        cost = {
            "xpcs": lab.nooks.xpc.total - xpcs,
            "calls": queue.counters.calls,
            "deferred": queue.counters.deferred,
            "batches": queue.counters.batches,
        }
        assert validate(lab.nooks) == []
        return {"sent": sent, "seen": seen, "statistics": statistics, "held": held_by_type(lab)}, cost


def held_by_type(lab: Lab) -> dict[str, int]:
    assert lab.nooks is not None
    kinds = [tracked.type for tracked in lab.nooks.tracker.objects(lab.nooks.domains[0])]
    return {kind: kinds.count(kind) for kind in kinds}


@pytest.fixture(scope="module")
def at_once() -> tuple[dict[str, object], dict[str, int]]:
    return drive(1)


@pytest.mark.parametrize("batch", [2, 16, QUEUE_SIZE])
def test_packets_are_the_same_in_the_same_order_with_fewer_xpcs(
    at_once: tuple[dict[str, object], dict[str, int]], batch: int
) -> None:
    expected, immediate = at_once
    found, cost = drive(batch)
    assert found == expected
    received = [data for _, data in found["seen"] if data[6:12] != MAC]
    assert received == [frame(number) for number in range(120)]
    assert cost["xpcs"] < immediate["xpcs"]
    # What comes in with one interrupt fills more than a batch of two.
    assert cost["batches"] < cost["deferred"] / (2 if batch > 2 else 1)


def test_longer_batches_take_fewer_xpcs() -> None:
    costs = [drive(batch)[1]["xpcs"] for batch in (2, 8, 32)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]


# A module that makes any sequence of calls

SOURCE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
#include <linux/skbuff.h>

#define SLOTS 64
#define LENGTH 500
static struct net_device *dev;
static struct sk_buff *packet[SLOTS];
unsigned char what[SLOTS], which[SLOTS];

int prepare(int count)
{
	int i;

	for (i = 0; i < count; i++) {
		struct sk_buff *skb = dev_alloc_skb(LENGTH);
		unsigned char *data = skb_put(skb, LENGTH);

		memset(data, 0xff, LENGTH);
		data[12] = 0x88;
		data[13] = 0xb5;
		data[LENGTH - 1] = i;
		skb->dev = dev;
		skb->protocol = eth_type_trans(skb, dev);
		packet[i] = skb;
	}
	return 0;
}

int play(int count)
{
	int i;

	for (i = 0; i < count; i++) {
		struct sk_buff *skb = packet[which[i]];

		switch (what[i]) {
		case 0: netif_rx(skb); break;
		case 1: dev_kfree_skb_irq(skb); break;
		case 2: kfree_skb(skb); break;
		case 3: dev_kfree_skb_any(skb); break;
		case 4: eth_type_trans(skb, dev); break;
		case 5: kfree(kmalloc(100, GFP_KERNEL)); break;
		case 6: set_task_state(current, TASK_INTERRUPTIBLE); schedule_timeout(4); break;
		case 7: *(volatile int *)8 = 1; break;
		}
	}
	return 0;
}

int overwrite(volatile unsigned long *queue, unsigned long count, unsigned long function, unsigned long argument)
{
	queue[0] = count;
	queue[1] = function;
	queue[2] = argument;
	return 0;
}

int init_module(void)
{
	dev = init_etherdev(0, 0);
	return dev ? 0 : -12;
}

void cleanup_module(void)
{
	unregister_netdev(dev);
	kfree(dev);
}
"""

RX, FREE_IRQ, FREE, FREE_ANY, TRANS, MALLOC, SLEEP, CRASH = range(8)
NAMES = {
    RX: "netif_rx",
    FREE: "kfree_skb",
    FREE_ANY: "dev_kfree_skb_any",
    TRANS: "eth_type_trans",
}
Steps = list[tuple[int, int]]


class Player:
    """A lab with the module above."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        assert lab.nooks is not None
        self.nooks: Nooks = lab.nooks
        lab.insmod(extensions.build("player.c", SOURCE))
        self.received: list[int] = []
        self.refused: list[str] = []
        lab.kernel.net.taps.append(lambda device, data: self.received.append(data[-1]))

    @property
    def domain(self) -> Domain:
        domain = self.nooks.domain_of("player")
        assert domain is not None
        return domain

    @property
    def counters(self) -> Counters:
        return self.nooks.queues(self.domain).kernel_calls.counters

    def symbol(self, name: str) -> int:
        image = self.lab.kernel.modules.loaded["player"].image
        assert image is not None
        return image.symbols[name]

    def start(self, name: str, *arguments: int):  # type: ignore[no-untyped-def]
        """Call a function of the module's, as the kernel calls extensions, in a task of its own."""
        domain, address = self.domain, self.symbol(name)
        return self.lab.kernel.start(
            "caller", lambda: self.nooks.call_extension(domain, -EIO, address, *arguments)
        )

    def call(self, name: str, *arguments: int) -> int:
        task = self.start(name, *arguments)
        self.lab.kernel.wait(task)
        result: int = task.result
        return result

    def write(self, steps: Steps) -> None:
        """Tell the module what it shall do."""
        memory = self.lab.kernel.memory
        memory.write(self.symbol("what"), bytes(what for what, _ in steps))
        memory.write(self.symbol("which"), bytes(which for _, which in steps))

    def play(self, packets: int, steps: Steps) -> int:
        """Let the module make the calls with fresh packets, and let the softirq deliver what comes of them."""
        self.received.clear()
        assert self.call("prepare", packets) == 0
        self.write(steps)
        result = self.call("play", len(steps))
        self.lab.run(0.025)
        return result

    def held(self) -> int:
        kinds = [tracked.type for tracked in self.nooks.tracker.objects(self.domain)]
        return kinds.count("sk_buff")


@pytest.fixture(scope="module")
def players() -> Iterator[Callable[[int], Player]]:
    """Systems by batch; refused parameters are answered with error codes, so that sequences go on."""
    made: dict[int, Player] = {}
    with ExitStack() as stack:

        def player(batch: int) -> Player:
            if batch not in made:
                policy = Policy(Rule(bad_parameter="error"))
                made[batch] = Player(stack.enter_context(boot(batch, policy)))
                said = made[batch].refused
                made[batch].lab.kernel.log = said.append  # type: ignore[method-assign]
            return made[batch]

        yield player


def one_after_the_other(packets: int, steps: Steps) -> tuple[Steps, list[int], list[str], set[int]]:
    """What the calls come to when each is made at once: packets received, calls refused, packets held.

    Pushing a packet on the softnet queue is no call that could be refused; the steps that come back leave it out
    for packets that are not held.
    """
    made: Steps = []
    received, refused, held = [], [], set(range(packets))
    for what, which in steps:
        if what == FREE_IRQ and which not in held:
            continue
        made.append((what, which))
        if what == MALLOC:
            continue
        if which not in held:
            refused.append(NAMES[what])
        elif what != TRANS:
            held.remove(which)
            if what == RX:
                received.append(which)
    return made, received, refused, held


PACKETS = 5
sequences = st.lists(
    st.tuples(st.sampled_from([RX, FREE_IRQ, FREE, FREE_ANY, TRANS, MALLOC]), st.integers(0, PACKETS - 1)),
    max_size=16,
)


@pytest.mark.parametrize("batch", [1, 2, 3, 16, QUEUE_SIZE])
@given(steps=sequences)
@settings(max_examples=40)
def test_each_objects_calls_keep_their_order(
    players: Callable[[int], Player], batch: int, steps: Steps
) -> None:
    player = players(batch)
    player.refused.clear()
    made, received, refused, held = one_after_the_other(PACKETS, steps)
    assert player.play(PACKETS, made) == 0
    assert player.received == received
    assert sorted(re.findall(r"player: (\w+): [0-9a-f]+ is no sk_buff", "".join(player.refused))) == sorted(
        refused
    )
    assert player.held() == len(held)
    assert validate(player.nooks) == []
    assert player.play(0, [(FREE, which) for which in sorted(held)]) == 0
    assert player.held() == 0


@pytest.mark.parametrize(
    ("batch", "crossings", "batches"), [(1, 20, 0), (2, 10, 10), (5, 4, 4), (16, 1, 2), (64, 0, 1)]
)
def test_the_counters_say_what_was_deferred(
    players: Callable[[int], Player], batch: int, crossings: int, batches: int
) -> None:
    player = players(batch)
    assert player.call("prepare", 20) == 0
    player.write([(RX, which) for which in range(20)])
    counters = player.counters
    before = (counters.calls, counters.deferred, counters.batches, player.nooks.xpc.kernel_calls)
    player.call("play", 20)
    after = (counters.calls, counters.deferred, counters.batches, player.nooks.xpc.kernel_calls)
    player.lab.run(0.025)
    calls, deferred, run, xpcs = (b - a for a, b in zip(before, after, strict=True))
    assert (calls, deferred) == (20, 0 if batch == 1 else 20)
    assert (xpcs, run) == (crossings, batches)


@pytest.mark.parametrize("count", [7, 8, 9, 17])
def test_a_full_batch_runs_while_the_extension_is_still_at_it(
    players: Callable[[int], Player], count: int
) -> None:
    player = players(8)
    player.call("prepare", count)
    player.write([(RX, which) for which in range(count)] + [(SLEEP, 0)])
    player.received.clear()
    task = player.start("play", count + 1)
    player.lab.run(0.025)
    assert task.task.state == TASK_INTERRUPTIBLE
    assert player.nooks.xpc.tasks_in(player.domain) == [task.task.pid]
    assert player.received == list(range(count // 8 * 8))
    player.lab.kernel.wait(task)
    player.lab.run(0.025)
    assert player.received == list(range(count))


# Failures


@pytest.fixture(scope="module")
def strict() -> Iterator[Player]:
    """Refused parameters are failures; the first recovery sets up what stays."""
    with boot(16) as lab:
        player = Player(lab)
        player.play(0, [(CRASH, 0)])
        lab.run(0.1)
        yield player


def assert_recovered(player: Player, failures: int, trigger: str) -> None:
    player.lab.run(0.1)
    recoveries = player.nooks.recoveries
    assert len(recoveries) == failures + 1
    assert (recoveries[-1].ok, recoveries[-1].leaked) == (True, 0)
    assert trigger in recoveries[-1].trigger
    assert validate(player.nooks) == []


MISUSES = {
    "received, then freed": ([(RX, 0), (FREE, 0)], "kfree_skb: "),
    "received twice": ([(RX, 0), (RX, 0)], "netif_rx: "),
    "pushed on the softnet queue, then freed": ([(FREE_IRQ, 0), (FREE_ANY, 0)], "dev_kfree_skb_any: "),
    "received, then pushed on the softnet queue": ([(RX, 0), (FREE_IRQ, 0)], "netif_rx: "),
    "received, then used": ([(RX, 0), (TRANS, 0)], "eth_type_trans: "),
}


@pytest.mark.parametrize("name", MISUSES)
def test_a_packet_that_was_given_away_stays_a_bad_parameter(strict: Player, name: str) -> None:
    steps, complaint = MISUSES[name]
    before, failures = census.take(strict.lab), len(strict.nooks.recoveries)
    assert strict.play(1, steps) == -EIO
    assert_recovered(strict, failures, complaint)
    assert re.search(r"[0-9a-f]{8} is no sk_buff of domain player$", strict.nooks.recoveries[-1].trigger)
    assert census.take(strict.lab) == before


def test_the_queue_of_a_failed_domain_is_dropped(strict: Player) -> None:
    before, failures = census.take(strict.lab), len(strict.nooks.recoveries)
    assert strict.play(4, [(RX, 0), (FREE_IRQ, 1), (RX, 2), (CRASH, 0)]) == -EIO
    assert_recovered(strict, failures, "page fault: write to 00000008")
    assert strict.received == []
    assert census.take(strict.lab) == before
    assert strict.nooks.queues(strict.domain).kernel_calls.waiting() == []


def test_what_ran_before_the_failure_stays_done(strict: Player) -> None:
    failures = len(strict.nooks.recoveries)
    steps = [(RX, which) for which in range(18)] + [(SLEEP, 0), (CRASH, 0)]
    assert strict.play(20, steps) == -EIO
    assert_recovered(strict, failures, "page fault: write to 00000008")
    # One batch was full and went up while the extension slept; two packets still waited when it died.
    assert strict.received == list(range(16))


OVERWRITTEN = {
    "a count beyond the queue": (
        QUEUE_SIZE + 1,
        0,
        0,
        f"holds {QUEUE_SIZE + 1} calls where {QUEUE_SIZE} have",
    ),
    "the largest count": (0xFFFFFFFF, 0, 0, "holds 4294967295 calls"),
    "a function that there is not": (1, 9999, 0, "names function 9999, which there is not"),
    "the largest function": (1, 0xFFFFFFFF, 0, "names function 4294967295, which there is not"),
    "an argument that is no object": (1, None, 0xC0100000, "netif_rx: c0100000 is no sk_buff"),
}


@pytest.mark.parametrize("name", OVERWRITTEN)
def test_an_overwritten_queue_fails_the_extension_and_not_the_kernel(strict: Player, name: str) -> None:
    count, function, argument, complaint = OVERWRITTEN[name]
    if function is None:
        function = strict.nooks.interposition._numbers["netif_rx"]
    before, failures = census.take(strict.lab), len(strict.nooks.recoveries)
    queue = strict.domain.record.kernel_calls
    assert strict.domain.may_write(queue)
    assert strict.call("overwrite", queue, count, function, argument) == -EIO
    assert_recovered(strict, failures, complaint)
    assert census.take(strict.lab) == before
    assert strict.play(3, [(RX, 2), (RX, 0), (FREE, 1)]) == 0
    assert strict.received == [2, 0]


def test_a_deferred_call_to_an_overwritten_queue_fails_the_extension(strict: Player) -> None:
    failures = len(strict.nooks.recoveries)
    strict.call("prepare", 1)
    queue = strict.domain.record.kernel_calls
    # As if the extension had done it just before, in the same call.
    strict.lab.kernel.memory.set_u32(queue, 0x0BADF00D)
    strict.write([(RX, 0)])
    assert strict.call("play", 1) == -EIO
    assert_recovered(
        strict, failures, "the extension-domain queue has no room: it holds 195948557 of 64 calls"
    )


def test_the_kernels_queue_is_not_the_extensions_to_write(strict: Player) -> None:
    failures, queue = len(strict.nooks.recoveries), strict.domain.record.extension_calls
    assert not strict.domain.may_write(queue)
    assert strict.call("overwrite", queue, 1, 0, 0) == -EIO
    assert_recovered(strict, failures, f"page fault: write to {queue:08x} at overwrite [player]")


def test_a_real_driver_that_writes_over_its_queue_is_recovered() -> None:
    with armed_driver.boot_up(armed_driver.armed_driver()) as lab:
        armed_driver.strike(lab, "interrupt", 0)
        assert armed_driver.ping(lab)
        assert lab.nooks is not None
        before = census.take(lab)
        armed_driver.strike(lab, "interrupt", lab.nooks.domains[0].record.kernel_calls)
        recovery = lab.nooks.recoveries[-1]
        assert "195948557" in recovery.trigger
        assert (recovery.ok, recovery.leaked) == (True, 0)
        assert armed_driver.ping(lab)
        assert census.take(lab) == before


# Sizes


@pytest.mark.parametrize("batch", [0, -1, QUEUE_SIZE + 1, 1000])
def test_a_bad_batch_size_is_refused_before_anything_is_attached(batch: int) -> None:
    with nl.boot() as lab:
        objects = lab.kernel.slab.active()
        with pytest.raises(
            ValueError, match=f"^a batch of {batch} deferred calls: it must lie between 1 and {QUEUE_SIZE}$"
        ):
            Nooks(lab.kernel, batch=batch)
        assert lab.kernel.hooks == Hooks()
        assert lab.kernel.slab.active() == objects


# Copying back "in time"

IN_TIME = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
#include <linux/skbuff.h>

static struct net_device *devs[2];
static struct net_device_stats statistics;
unsigned long opened, stopped;

static int intime_open(struct net_device *dev)
{
	opened++;
	dev->mtu = 1300 + opened;
	netif_start_queue(dev);
	return 0;
}

static int intime_stop(struct net_device *dev) { stopped++; netif_stop_queue(dev); return 0; }

static int intime_xmit(struct sk_buff *skb, struct net_device *dev)
{
	statistics.tx_packets++;
	statistics.tx_bytes += skb->len;
	dev->trans_start = 4711;
	skb->protocol = eth_type_trans(skb, dev);
	netif_rx(skb);
	return 0;
}

static struct net_device_stats *intime_stats(struct net_device *dev) { return &statistics; }

int init_module(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		struct net_device *dev = init_etherdev(0, 16);

		if (!dev || !dev->priv)
			return -12;
		devs[i] = dev;
	}
	/* Registered long ago, and only now: */
	set_task_state(current, TASK_INTERRUPTIBLE);
	schedule_timeout(2);
	for (i = 0; i < 2; i++) {
		struct net_device *dev = devs[i];

		dev->dev_addr[0] = 2;
		dev->dev_addr[5] = 40 + i;
		dev->mtu = 900 + i;
		dev->open = intime_open;
		dev->stop = intime_stop;
		dev->hard_start_xmit = intime_xmit;
		dev->get_stats = intime_stats;
		SET_MODULE_OWNER(dev);
	}
	return 0;
}

void cleanup_module(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		unregister_netdev(devs[i]);
		kfree(devs[i]);
	}
}
"""


def in_time(lab: Lab) -> dict[str, object]:
    """Load the driver above and use its devices; returns all that one sees of them."""
    kernel = lab.kernel
    census_before = census.take(lab)
    lab.insmod(extensions.build("intime.c", IN_TIME))
    loaded = [(each.name, each.mtu, bytes(each.dev_addr[:6])) for each in kernel.net.devices()]
    seen: list[tuple[bytes, bytes]] = []
    up = [kernel.ifconfig_up(name) for name in ("eth0", "eth1")]
    mtus = [each.mtu for each in kernel.net.devices()]
    with kernel.tap(lambda device, data: seen.append((device.name, data))):
        for number in range(5):
            kernel.send_frame(f"eth{number % 2}", bytes(Ether(type=0x88B5) / (b"%03d" % number * 20)))
        lab.run(0.03)
    eth1 = kernel.net.by_name("eth1")
    counts = kernel.in_task(
        "ifconfig",
        lambda: (kernel.net.stats(eth1).tx_packets, kernel.net.stats(eth1).tx_bytes, eth1.trans_start),
    )
    down = [kernel.ifconfig_down(name) for name in ("eth0", "eth1")]
    image = kernel.modules.loaded["intime"].image
    assert image is not None
    calls = [kernel.memory.u32(image.symbols[name]) for name in ("opened", "stopped")]
    kernel.rmmod("intime")
    lab.run(0.03)
    return {
        "loaded": loaded,
        "up": up,
        "mtus": mtus,
        "seen": seen,
        "counts": counts,
        "down": down,
        "calls": calls,
        "net_devices": (census_before.net_devices, census.take(lab).net_devices),
    }


def test_a_device_filled_in_in_time_works_as_it_does_natively() -> None:
    with nl.boot() as lab:
        native = in_time(lab)
    assert native["loaded"] == [
        (b"eth1", 901, bytes([2, 0, 0, 0, 0, 41])),
        (b"eth0", 900, bytes([2, 0, 0, 0, 0, 40])),
    ]
    assert (native["up"], native["calls"], native["mtus"]) == ([0, 0], [2, 2], [1302, 1301])
    assert native["counts"] == (5, 5 * 74, 4711)
    # The tap sees each frame twice: sent, and received back.
    assert len(native["seen"]) == 10  # type: ignore[arg-type]
    for batch in (1, 2, 16, QUEUE_SIZE):
        with boot(batch) as lab:
            assert in_time(lab) == native, batch
            assert lab.nooks is not None
            assert (lab.nooks.domains, lab.nooks.recoveries) == ([], [])


def test_such_a_driver_leaks_nothing_under_nooks() -> None:
    with boot(16) as lab:
        in_time(lab)
        before = census.take(lab)
        in_time(lab)
        assert census.take(lab) == before


def test_the_kernel_gets_wrappers_only_when_the_extension_has_returned() -> None:
    with boot(16) as lab:
        kernel = lab.kernel
        obj = extensions.build("intime.c", IN_TIME)
        module = kernel.modules.load("intime", obj)
        task = kernel.start("insmod", lambda: kernel.modules.init(module))
        lab.run(0.005)
        # It sleeps in its init: registered, and not filled in yet.
        assert [(each.name, each.open) for each in kernel.net.devices()] == [(b"eth1", 0), (b"eth0", 0)]
        kernel.wait(task)
        assert task.result == 0
        gates = kernel.execution.gates
        for device in kernel.net.devices():
            assert gates[device.open].name == "nooks_net_device.open"
            assert gates[device.hard_start_xmit].name == "nooks_net_device.hard_start_xmit"


def test_a_copy_that_waits_already_is_not_put_twice() -> None:
    with boot(16) as lab:
        player = Player(lab)
        assert lab.nooks is not None
        (device,) = (each for each in lab.nooks.tracker.objects(player.domain) if each.type == "net_device")
        before = player.counters.deferred
        for _ in range(3 * QUEUE_SIZE):
            lab.nooks.copy_back_later(player.domain, device)
        queue = lab.nooks.queues(player.domain).kernel_calls
        assert len(queue.waiting()) == 1
        assert player.counters.deferred == before + 1
        assert player.play(2, [(RX, 1), (RX, 0)]) == 0
        assert player.received == [1, 0]
