"""A call from a module into a kernel function written in Python, and back."""

import time

import nooks_lab as nl
from nooks_lab import extensions

CALLS = 10_000
"""Half of those after which the watchdog takes a loop of them under Nooks for one without an end."""

MODULE = """
#include <linux/module.h>
#include <linux/sched.h>
int calls;
MODULE_PARM(calls, "i");
int init_module(void)
{
	while (calls--)
		set_task_state(current, TASK_RUNNING);
	return 0;
}
"""
EMPTY = MODULE.replace("set_task_state(current, TASK_RUNNING)", 'asm volatile("")')


def microseconds(repeats: int, *, nooks: bool = False) -> float:
    """Return the time of one call: a loop of calls less the same loop without them.

    Under Nooks each call is an XPC round trip: two page-table switches, and every TLB miss counted.
    """
    times = []
    with nl.boot(nooks=nooks) as lab:
        modules = {"calls": extensions.build("calls.c", MODULE), "empty": extensions.build("empty.c", EMPTY)}
        for _ in range(repeats):
            spent = {}
            for name, obj in modules.items():
                begin = time.perf_counter()
                lab.kernel.insmod(name, obj, {"calls": CALLS})
                spent[name] = time.perf_counter() - begin
                lab.kernel.modules.unload(lab.kernel.modules.loaded[name])
            times.append((spent["calls"] - spent["empty"]) / CALLS * 1e6)
    return sorted(times)[repeats // 2]
