"""A booted lab with an address, and the station that it talks to."""

from collections.abc import Callable, Iterator

import pytest
from net_station import OURS, Station

import nooks_lab as nl
from nooks_lab.lab import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot() as booted:
        booted.insmod("e1000")
        booted.kernel.ifconfig_up("eth0")
        booted.run(0.05)
        booted.kernel.inet.configure("eth0", OURS, "255.255.255.0")
        Station(booted).ask_for(OURS)
        booted.run(0.01)
        yield booted


PG_SLAB = 1 << 8


def memory_in_use(lab: Lab) -> tuple[dict[str, int], int]:
    """Return the objects in use, and the pages not in use; a slab's page counts as not in use, since it may
    be kept by an object that was there before.
    """
    kernel = lab.kernel
    size, flags = kernel.types.size("page"), kernel.types.offset("page", "flags")
    mem_map = kernel.memory.read(kernel.pages.mem_map, size * kernel.memory.u32(kernel.variable("max_mapnr")))
    slabs = sum(1 for at in range(flags, len(mem_map), size) if mem_map[at + 1] & PG_SLAB >> 8)
    return kernel.slab.active(), kernel.pages.nr_free_pages + slabs


@pytest.fixture
def station(lab: Lab) -> Iterator[Station]:
    """The peer; after the test, the kernel must hold as much memory as before it."""
    station = Station(lab)
    before = memory_in_use(lab)
    yield station
    lab.run(0.02)
    if lab.kernel.inet.tcp.table.connections():
        # Long enough for the last one to leave TIME-WAIT.
        lab.run(1.1)
    assert memory_in_use(lab) == before
    assert not lab.kernel.irq_stat.local_bh_count


@pytest.fixture
def count(lab: Lab) -> Callable[[str, str], int]:
    """Tell by how much a counter of ``/proc/net/snmp`` has grown since the test began."""
    before = lab.kernel.inet.snmp()

    def grown(protocol: str, name: str) -> int:
        return lab.kernel.inet.snmp()[protocol][name] - before[protocol][name]

    return grown
