"""Halted cycles are counted, and a joined machine waits at its horizon wherever it is."""

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.machine import NEVER

BUSY = """
#include <linux/module.h>
#include <linux/delay.h>
int init_module(void)
{
	volatile unsigned int i;
	for (i = 0; i < 1000000; i++)
		;
	return 0;
}
void cleanup_module(void) { }
"""
STEP = 50_000


@pytest.fixture
def lab():
    with nl.boot(devices=()) as booted:
        yield booted


def shares(lab: Lab, body) -> tuple[int, int]:
    machine = lab.machine
    before = machine.clock.now, machine.idle_cycles
    body()
    return machine.clock.now - before[0], machine.idle_cycles - before[1]


def test_a_machine_with_nothing_to_do_is_halted_but_for_its_timer(lab: Lab) -> None:
    passed, idle = shares(lab, lambda: lab.run(0.5))
    assert 0.99 * passed < idle < passed
    assert lab.machine.counters()["idle_cycles"] == lab.machine.idle_cycles


def test_a_loop_is_not_idle(lab: Lab) -> None:
    passed, idle = shares(lab, lambda: lab.insmod(extensions.build("busy.c", BUSY)))
    assert passed > 3_000_000
    assert idle < 0.01 * passed


def test_a_snapshot_keeps_the_count(lab: Lab) -> None:
    saved, idle = lab.machine.save(), lab.machine.idle_cycles
    lab.run(0.1)
    assert lab.machine.idle_cycles > idle
    lab.machine.load(saved)
    assert lab.machine.idle_cycles == idle


@pytest.mark.parametrize("busy", [False, True])
def test_a_horizon_is_met_halted_and_in_the_middle_of_machine_code(lab: Lab, busy: bool) -> None:
    machine = lab.machine
    met: list[int] = []
    late: list[int] = []

    def wait() -> None:
        met.append(machine.clock.now)
        late.append(machine.clock.now - machine.horizon)
        machine.horizon += STEP

    machine.at_horizon, machine.horizon = wait, machine.clock.now + STEP
    passed, _ = shares(lab, lambda: lab.insmod(extensions.build("busy.c", BUSY)) if busy else lab.run(0.002))
    assert len(met) >= passed // STEP - 1
    assert met == sorted(met)
    # A block of machine code, or the handler of the timer, is not cut in two.
    assert 0 <= min(late) <= max(late) < STEP
    machine.horizon = NEVER


def test_without_others_a_horizon_is_passed(lab: Lab) -> None:
    lab.machine.horizon = lab.machine.clock.now + STEP
    passed, _ = shares(lab, lambda: lab.run(0.01))
    assert passed >= CPU_HZ // 100
    assert lab.machine.horizon == NEVER
