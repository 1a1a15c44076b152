"""A module with one small function for each class of faults, whose result shows the fault."""

from functools import cache
from typing import Any

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.faults.injector import CLASSES, Injection, PlannedFault
from nooks_lab.faults.injector.change import Dice
from nooks_lab.faults.injector.fault_class import FaultClass, sites
from nooks_lab.faults.injector.text import text_of
from nooks_lab.lab import Lab
from nooks_lab.toolchain.elf import ObjectFile

SOURCE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/system.h>

static volatile int counter;
int numbers[4] = { 1, 10, 100, 1000 };

int init_module(void) { return 0; }
void cleanup_module(void) { }

int copies(char *to, const char *from, unsigned long n)
{
    memcpy(to, from, n);
    return 7;
}

int copies_inline(char *to, const char *from)
{
    int c, d, s;

    __asm__ __volatile__("movl $16, %%ecx\\n\\trep\\n\\tmovsb"
                 : "=&c" (c), "=&D" (d), "=&S" (s) : "1" (to), "2" (from) : "memory");
    return 7;
}

void *allocates(unsigned int size)
{
    void *p = kmalloc(size, GFP_KERNEL);

    counter++;
    return p;
}

void *allocates_last(unsigned int size)
{
    return kmalloc(size, GFP_KERNEL);
}

void frees(void *p)
{
    kfree(p);
    counter++;
}

int restores(void)
{
    unsigned long flags;

    save_flags(flags);
    cli();
    counter++;
    restore_flags(flags);
    save_flags(flags);
    return (flags & 0x200) != 0;
}

int counts(int n)
{
    int i, sum = 0;

#pragma clang loop unroll(disable)
    for (i = 0; i < n; i++)
        sum += ((volatile int *)numbers)[i];
    return sum;
}

int spins(int n)
{
    while (n--)
        counter = n;
    return 1;
}

int decides(int a)
{
    if (a > 3)
        counter = a;
    return counter;
}

int local(void)
{
    volatile int x = 42;

    return x;
}

int takes(int a, int b)
{
    return 3 * a + b;
}
"""


@cache
def specimen() -> ObjectFile:
    return extensions.build("specimen.c", SOURCE)


def booted(*, nooks: bool) -> Lab:
    lab = nl.boot(nooks=nooks)
    lab.insmod(specimen())
    return lab


def call(lab: Lab, function: str, *arguments: int) -> int:
    """Call a function of the specimen in a process, in its domain if it has one."""
    module = lab.kernel.modules.loaded["specimen"]
    address = module.image.symbols[function]
    if lab.nooks is None:
        return lab.kernel.in_task("test", lambda: lab.kernel.execution.call(address, *arguments))
    domain = lab.nooks.domain_with("specimen")
    return lab.kernel.in_task("test", lambda: lab.nooks.xpc.nooks_driver_call(domain, address, *arguments))


def fault_in(
    kind: str, function: str, wanted: Any = lambda change: True, where: Any = lambda site: True
) -> PlannedFault:
    """Plan a fault of a class at its first such site in a function, with a change that is wanted."""
    chosen, text = CLASSES[kind], text_of(specimen())
    assert isinstance(chosen, FaultClass)
    site = next(each for each in sites(chosen, text) if each.function == function and where(each))
    changes = (chosen.change(text, site, Dice(str(seed))) for seed in range(500))
    change = next(each for each in changes if wanted(each))
    return PlannedFault(kind, site.offset, chosen.length(text, site), change)


def injected(lab: Lab, *faults: PlannedFault) -> Injection:
    injection = Injection(lab, "specimen", faults)
    injection.inject()
    return injection
