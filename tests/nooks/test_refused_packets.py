"""A driver that refuses a packet must still have it."""

from collections.abc import Iterator
from contextlib import contextmanager

import armed_driver
import census
import pytest
from armed_driver import BROADCAST, boot_up, ping

from nooks_lab import extensions
from nooks_lab.lab import Lab
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.tracking.validate import validate

GIVES_AWAY = {
    "dev_kfree_skb_any": "dev_kfree_skb_any(skb);",
    "kfree_skb": "kfree_skb(skb);",
    "dev_kfree_skb_irq, through the shadow": "dev_kfree_skb_irq(skb);",
    "netif_rx, which is deferred": "skb->dev = netdev; netif_rx(skb);",
    "a new packet in its place": "kfree_skb(skb); dev_alloc_skb(100);",
}


@contextmanager
def refusing(statement: str) -> Iterator[tuple[Lab, Nooks]]:
    """The e1000 with a statement before it returns 1 from hard_start_xmit, once it is told to."""
    text = armed_driver.armed_source()
    bug = "\tif (bug_place == 2)\n\t\t*(volatile int *)bug_address = 0x0badf00d;\n"
    assert text.count(bug) == 1
    text = text.replace(bug, f"\tif (bug_place == 2) {{\n\t\t{statement}\n\t\treturn 1;\n\t}}\n")
    obj = extensions.build("e1000.c", text, include=(extensions.source("e1000").parent,))
    with boot_up(obj) as lab:
        assert lab.nooks is not None
        yield lab, lab.nooks


@pytest.mark.parametrize("what", GIVES_AWAY)
def test_to_refuse_a_packet_that_was_given_away_is_a_failure(what: str) -> None:
    with refusing(GIVES_AWAY[what]) as (lab, nooks):
        counts = []
        for turn in range(3):
            armed_driver.strike(lab, "transmit", 0)
            assert len(nooks.recoveries) == turn + 1
            recovery = nooks.recoveries[-1]
            assert recovery.trigger.startswith("hard_start_xmit refuses packet ")
            assert recovery.trigger.endswith(", which it has given away")
            assert (recovery.ok, recovery.leaked) == (True, 0)
            assert ping(lab)
            counts.append(census.take(lab))
            assert validate(nooks) == []
        assert counts[1] == counts[2]
        # The packet was freed once: a second time is a BUG() of the kernel's.
        assert "BUG" not in lab.dmesg()


def test_to_refuse_a_packet_that_it_still_has_is_a_drivers_right() -> None:
    with refusing("netif_stop_queue(netdev);") as (lab, nooks):
        before = census.take(lab)
        sent: list[bytes] = []
        lab.peer.on_frame = lambda peer, frame: sent.append(frame)
        armed_driver.arm(lab, "transmit", 0)
        lab.kernel.send_frame("eth0", BROADCAST)
        lab.run(0.1)
        assert (nooks.recoveries, sent) == ([], [])
        (domain,) = nooks.domains
        queued = lab.kernel.net.by_name("eth0").qdisc.next
        # The kernel has it back in its queue, and its pages are no longer the driver's.
        assert not domain.may_write(lab.kernel.skbs.view(queued).head)
        assert validate(nooks) == []
        lab.kernel.memory.set_u32(armed_driver.symbol(lab, "bug_place"), 0)
        lab.kernel.net.netif_wake_queue(lab.kernel.net.by_name("eth0").address)
        lab.run(0.1)
        assert BROADCAST in sent
        lab.peer.on_frame = armed_driver.answer
        assert ping(lab)
        assert census.take(lab) == before
