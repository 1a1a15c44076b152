"""Whole pages, I/O regions and the limit of an extension's memory: the good calls and the mistakes."""

from collections.abc import Iterator

import census
import napper
import pytest

import nooks_lab as nl
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        booted.insmod(napper.driver())
        # The first recovery, and a first block, set up what stays.
        napper.do(booted, "fault")
        booted.run(0.1)
        yield booted


def manager(lab: Lab) -> Nooks:
    assert lab.nooks is not None
    return lab.nooks


def only_domain(lab: Lab) -> Domain:
    (domain,) = manager(lab).domains
    return domain


def unsigned(lab: Lab, name: str, *arguments: int) -> int:
    return napper.do(lab, name, *arguments) & 0xFFFFFFFF


# Pages


@pytest.mark.parametrize("order", [0, 1, 3])
def test_pages_are_the_extensions_until_it_frees_them(lab: Lab, order: int) -> None:
    before, domain = census.take(lab), only_domain(lab)
    held = domain.heap.pages.held
    pages = unsigned(lab, "get_pages", order)
    assert pages
    assert not pages & PAGE_SIZE - 1
    assert domain.may_write(pages, PAGE_SIZE << order)
    assert domain.heap.pages.held == held + (1 << order)
    assert validate(manager(lab)) == []
    assert napper.do(lab, "give_pages", pages, order) == 0
    assert not domain.may_write(pages)
    assert domain.heap.pages.held == held
    assert census.take(lab) == before


@pytest.mark.parametrize("order", [10, 11, 31, 32, 0x7FFFFFFF, -1])
def test_no_block_is_larger_than_the_largest(lab: Lab, order: int) -> None:
    before = census.take(lab)
    assert napper.do(lab, "get_pages", order) == 0
    assert census.take(lab) == before
    assert not only_domain(lab).failed


PAGE_MISTAKES: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "with a lower order": ("give_pages", 0, (0,)),
    "with a higher order": ("give_pages", 0, (2,)),
    "from their second page on": ("give_pages", PAGE_SIZE, (0,)),
    "a byte too high": ("give_pages", 1, (1,)),
    "as a heap block": ("give_memory", 0, ()),
}


@pytest.mark.parametrize("mistake", PAGE_MISTAKES)
def test_pages_are_freed_as_they_were_allocated(lab: Lab, mistake: str) -> None:
    before, done = census.take(lab), len(manager(lab).recoveries)
    pages = unsigned(lab, "get_pages", 1)
    name, offset, rest = PAGE_MISTAKES[mistake]
    assert napper.do(lab, name, pages + offset, *rest) == -5
    recovered(lab, done, "kfree: " if name == "give_memory" else "free_pages: ")
    assert census.take(lab) == before


def test_pages_are_freed_once(lab: Lab) -> None:
    before, done = census.take(lab), len(manager(lab).recoveries)
    pages = unsigned(lab, "get_pages", 1)
    assert napper.do(lab, "give_pages", pages, 1) == 0
    assert napper.do(lab, "give_pages", pages, 1) == -5
    recovered(lab, done, f"free_pages: {pages:08x} is no pages of domain napper")
    assert census.take(lab) == before


def recovered(lab: Lab, done: int, trigger: str) -> None:
    lab.run(0.1)
    recoveries = manager(lab).recoveries
    assert len(recoveries) == done + 1
    assert (recoveries[-1].ok, recoveries[-1].leaked) == (True, 0)
    assert recoveries[-1].trigger.startswith(trigger)
    assert validate(manager(lab)) == []


def test_a_heap_block_is_not_freed_as_pages(lab: Lab) -> None:
    before, done = census.take(lab), len(manager(lab).recoveries)
    block = unsigned(lab, "get_memory", PAGE_SIZE)
    assert napper.do(lab, "give_pages", block, 0) == -5
    recovered(lab, done, f"free_pages: {block:08x} is no pages of domain napper")
    assert census.take(lab) == before


@pytest.mark.parametrize("size", [0, 1, 32, 33, PAGE_SIZE, 131072])
def test_a_block_is_the_extensions_until_it_frees_it(lab: Lab, size: int) -> None:
    before = census.take(lab)
    block = unsigned(lab, "get_memory", size)
    assert only_domain(lab).may_write(block, size)
    assert validate(manager(lab)) == []
    assert napper.do(lab, "give_memory", block) == 0
    assert census.take(lab) == before


@pytest.mark.parametrize("size", [131073, 1 << 24, 0x7FFFFFFF, -1])
def test_a_block_that_is_too_large_is_refused(lab: Lab, size: int) -> None:
    before = census.take(lab)
    assert napper.do(lab, "get_memory", size) == 0
    assert census.take(lab) == before


# Regions


def claimed(lab: Lab, tree: str = "ioport_resource") -> list[tuple[int, int]]:
    return lab.kernel.resources.claimed(lab.kernel.variable(tree))


def test_a_region_is_the_extensions_until_it_releases_it(lab: Lab) -> None:
    before, free = census.take(lab), claimed(lab)
    resource = unsigned(lab, "claim", 0x300, 16)
    assert claimed(lab) == sorted([*free, (0x300, 0x30F)])
    assert not only_domain(lab).may_write(resource)
    assert validate(manager(lab)) == []
    for start, size in ((0x300, 16), (0x2F8, 16), (0x30F, 1), (0x308, 2)):
        assert napper.do(lab, "claim", start, size) == 0
    assert napper.do(lab, "unclaim", 0x300, 16) == 0
    assert claimed(lab) == free
    assert census.take(lab) == before


def test_ports_and_memory_of_one_address_are_two_regions(lab: Lab) -> None:
    before = census.take(lab)
    for ports_first in (True, False):
        assert unsigned(lab, "claim", 0x300, 16)
        assert unsigned(lab, "claim_memory", 0x300, 16)
        for name in ("unclaim", "unclaim_memory") if ports_first else ("unclaim_memory", "unclaim"):
            assert napper.do(lab, name, 0x300, 16) == 0
    assert census.take(lab) == before


@pytest.mark.parametrize(
    ("start", "size"), [(0x300, 0), (0x300, -1), (0xFFFF, 2), (0x10000, 1), (-1, 2), (0, 0x10001)]
)
def test_a_region_must_lie_in_its_tree(lab: Lab, start: int, size: int) -> None:
    before = census.take(lab)
    assert napper.do(lab, "claim", start, size) == 0
    assert census.take(lab) == before
    assert not only_domain(lab).failed


REGION_MISTAKES = {
    "one port less": ("unclaim", 0x300, 15),
    "one port more": ("unclaim", 0x300, 17),
    "one port on": ("unclaim", 0x301, 16),
    "its second half": ("unclaim", 0x308, 8),
    "of the other tree": ("unclaim_memory", 0x300, 16),
    "of nobody": ("unclaim", 0x400, 16),
    "of the kernel's": ("unclaim_memory", 0xFEBC0000, 0x20000),
}


@pytest.mark.parametrize("mistake", REGION_MISTAKES)
def test_a_region_is_released_as_it_was_claimed(lab: Lab, mistake: str) -> None:
    before, done = census.take(lab), len(manager(lab).recoveries)
    assert unsigned(lab, "claim", 0x300, 16)
    name, start, size = REGION_MISTAKES[mistake]
    assert napper.do(lab, name, start, size) == -5
    recovered(lab, done, f"__release_region: {size} bytes at {start:08x} are no region ")
    assert census.take(lab) == before


def test_a_region_is_released_once(lab: Lab) -> None:
    before, done = census.take(lab), len(manager(lab).recoveries)
    assert unsigned(lab, "claim", 0x300, 16)
    assert napper.do(lab, "unclaim", 0x300, 16) == 0
    assert napper.do(lab, "unclaim", 0x300, 16) == -5
    recovered(lab, done, "__release_region: ")
    assert census.take(lab) == before


# The limit

LIMIT = 12
GREEDY = {
    "blocks": (("get_memory", 4096), 1),
    "large blocks": (("get_memory", 16384), 4),
    "pages": (("get_pages", 0), 1),
    "runs of pages": (("get_pages", 2), 4),
}


def ask_until_refused(lab: Lab, call: tuple[str, int]) -> int:
    """How often a request is granted before one is not."""
    name, argument = call
    for granted in range(100):
        if unsigned(lab, name, argument) in (0, -5 & 0xFFFFFFFF):
            return granted
    raise AssertionError("nothing is ever refused")


def limited(resource_limit: str) -> Lab:
    lab = nl.boot(nooks=True)
    manager(lab).policy = Policy(Rule(heap_pages=LIMIT, resource_limit=resource_limit))
    lab.insmod(napper.driver())
    return lab


@pytest.mark.parametrize("what", GREEDY)
def test_at_its_limit_an_extensions_request_fails(what: str) -> None:
    call, pages = GREEDY[what]
    with limited("error") as lab:
        domain = only_domain(lab)
        free = LIMIT - domain.heap.pages.held
        assert ask_until_refused(lab, call) == free // pages
        assert domain.heap.pages.held == LIMIT - free % pages
        assert not domain.failed
        assert manager(lab).recoveries == []
        assert validate(manager(lab)) == []


@pytest.mark.parametrize("what", GREEDY)
def test_at_its_limit_an_extension_is_recovered_where_policy_says_so(what: str) -> None:
    call, _ = GREEDY[what]
    with limited("recover") as lab:
        counts = []
        for _ in range(3):
            ask_until_refused(lab, call)
            lab.run(0.1)
            recovery = manager(lab).recoveries[-1]
            assert recovery.trigger == f"resource limit: heap of {LIMIT} pages"
            assert (recovery.ok, recovery.leaked) == (True, 0)
            counts.append(census.take(lab))
        assert len(manager(lab).recoveries) == 3
        assert counts[1] == counts[2]
        assert validate(manager(lab)) == []
