import pytest
from scapy.layers.inet import ICMP

from nooks_lab.kernel.bug import KernelBug


def test_reception_waits_until_bottom_halves_are_on_again(lab, station):
    bottom_halves = lab.kernel.inet.icmp._bh
    kernel = lab.kernel

    def body():
        with bottom_halves, bottom_halves:
            station.send(ICMP(id=1) / b"data")
            lab.machine.idle(lab.machine.clock.now + 1_000_000)
            kernel.softirqs.raise_softirq(2)
            kernel.softirqs.do_softirq()
            inside = kernel.irq_stat.softirq_pending
        return inside, kernel.irq_stat.softirq_pending, kernel.irq_stat.local_bh_count

    assert kernel.in_task("sender", body) == (1 << 2, 0, 0)


def test_an_oops_leaves_bottom_halves_off(lab):
    """So the kernel says that it died in an interrupt, as Linux does."""
    kernel = lab.kernel
    with pytest.raises(KernelBug), kernel.inet.icmp._bh:
        raise KernelBug("found in the middle")
    assert kernel.irq_stat.local_bh_count == 1
    kernel.irq_stat.local_bh_count = 0


def test_a_timer_that_expires_in_an_interrupt_waits_and_can_still_be_stopped(lab):
    kernel = lab.kernel
    calls = []
    address = kernel.slab.zalloc(kernel.types.size("timer_list"))
    timer_bh = kernel.inet._timer_bh
    for stopped in (True, False):
        kernel.irq_stat.local_irq_count += 1
        assert timer_bh.defer(address)
        kernel.irq_stat.local_irq_count -= 1
        if stopped:
            assert kernel.timers.del_timer(address)
        original, timer_bh._call = timer_bh._call, lambda *arguments: calls.append(arguments) or 0
        kernel.softirqs.do_softirq()
        timer_bh._call = original
    assert calls == [(0, 0)]
    assert not timer_bh.defer(address)
    kernel.slab.free(address)
