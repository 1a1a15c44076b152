"""The benchmarks measure what they say: their parts add up, and their counts are the machine's."""

import deferred_packets
import ledger
import netperf_pair
import pytest
import survival
import thousand_recoveries
import xpc_cost

import nooks_lab as nl
from nooks_lab.machine.tlb import TLB_MISS_CYCLES
from nooks_lab.nooks.xpc.calls import RESTORE_CYCLES, SAVE_CYCLES, STACK_CYCLES, Xpc


@pytest.fixture(scope="module")
def costs():
    return xpc_cost.measure(calls=20, repeats=4)


def test_the_steps_of_an_xpc_add_up_to_the_call(costs):
    assert len(costs) == 3
    for cost in costs:
        steps = cost.steps.values()
        assert sum(step.cycles for step in steps) == pytest.approx(cost.cycles)
        assert sum(step.microseconds for step in steps) == pytest.approx(cost.microseconds)


def test_the_steps_of_an_xpc_have_the_cycles_that_are_charged_for_them(costs):
    for cost in costs:
        assert cost.xpcs == 1
        assert cost.steps["save context"].cycles == SAVE_CYCLES
        assert cost.steps["find stack"].cycles == STACK_CYCLES
        assert cost.steps["restore context"].cycles == RESTORE_CYCLES
        refill = cost.steps[xpc_cost.REFILL]
        assert refill.cycles == refill.misses * TLB_MISS_CYCLES > 0


def test_only_the_calls_that_check_track_and_copy_take_time_for_it(costs):
    state, queue, ioctl = (cost.steps for cost in costs)
    assert state["tracker"].microseconds == state["copies"].microseconds == queue["copies"].microseconds == 0
    assert queue["tracker"].microseconds != 0
    assert ioctl["copies"].microseconds > 0


def test_measuring_leaves_the_classes_as_they_were(costs):
    assert not hasattr(Xpc._save_context, "__wrapped__")
    assert "alloc" not in vars(xpc_cost.Heap)


def test_a_ledger_charges_the_innermost_step():
    class Machinery:
        def outer(self, lab):
            lab.machine.clock.advance(10)
            self.inner(lab)
            lab.machine.clock.advance(100)

        def inner(self, lab):
            lab.machine.clock.advance(1000)

    with nl.boot() as lab:
        book = ledger.Ledger()
        steps = {"out": [(Machinery, "outer")], "in": [(Machinery, "inner")]}
        with book.wrapped(steps), book.on(lab.machine):
            lab.machine.clock.advance(1)
            Machinery().outer(lab)
        Machinery().outer(lab)
    cycles = {step: entry.cycles for step, entry in book.entries.items()}
    assert cycles == {ledger.REST: 1, "out": 110, "in": 1000}
    assert [book.entries[step].calls for step in ("out", "in")] == [1, 1]
    assert [book.entries[step].inner_calls for step in (ledger.REST, "out", "in")] == [1, 1, 0]


def test_deferral_saves_xpcs_and_delivers_the_same_packets():
    at_once, batched = deferred_packets.measure(repeats=2, batches=(1, 16))
    assert at_once.delivered == batched.delivered == deferred_packets.PACKETS
    assert batched.deferred > at_once.deferred
    assert batched.xpcs < at_once.xpcs
    assert batched.busy_cycles < at_once.busy_cycles


def test_a_soak_shows_what_it_found_and_ends_at_once_when_told_to(monkeypatch):
    soak = thousand_recoveries.measure(2)
    assert soak.findings.clean
    assert not soak.interrupted
    shown = thousand_recoveries.show(soak)
    assert shown.row_count > 10

    def interrupt(_self, _count, _tick):
        raise KeyboardInterrupt

    monkeypatch.setattr(thousand_recoveries.ManyRecoveries, "run", interrupt)
    assert thousand_recoveries.measure(2).interrupted


def test_survival_shows_a_row_for_each_extension():
    measured = survival.measure(["e1000"], count=1)
    ((found, seconds),) = measured
    assert found.clean
    assert seconds > 0
    assert survival.show(measured).row_count == 1


def test_netperf_on_a_pair_has_the_four_rows_of_table_4():
    measured = netperf_pair.measure(messages=4)
    assert all(stream.ok for stream, _ in measured.values())
    assert netperf_pair.show(measured).row_count == 4
    for test in netperf_pair.TESTS:
        assert measured[test, False][0].near_cpu < measured[test, True][0].near_cpu
