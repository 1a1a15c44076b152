"""Faults are chosen by text and seed alone; the two placements differ as the released injector did."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.faults.injector import (
    CLASSES,
    PAPER_CLASSES,
    NothingQualifies,
    UnknownFaultClass,
    choose,
)
from nooks_lab.faults.injector.change import BitFlip
from nooks_lab.faults.injector.fault_class import sites
from nooks_lab.faults.injector.text import text_of
from nooks_lab.kernel.module import Module

EMPTY = """
#include <linux/module.h>
int init_module(void) { return 0; }
void cleanup_module(void) { }
"""


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[Module, Module, Module]]:
    """The e1000 natively, under Nooks, and natively at another address."""
    with nl.boot() as native, nl.boot(nooks=True) as nooks, nl.boot() as other:
        other.kernel.vmalloc.alloc(3 * 4096)
        yield native.insmod("e1000"), nooks.insmod("e1000"), other.insmod("e1000")


@pytest.fixture(scope="module")
def module(modules: tuple[Module, Module, Module]) -> Module:
    return modules[0]


def test_the_paper_has_eight_classes_and_the_released_injector_more() -> None:
    assert PAPER_CLASSES == (
        "source",
        "destination",
        "pointer",
        "interface",
        "branch",
        "loop",
        "text",
        "nop",
    )
    assert tuple(CLASSES)[:8] == PAPER_CLASSES
    assert len(CLASSES) == 17
    assert all(each.summary.endswith(".") for each in CLASSES.values())


@pytest.mark.parametrize("placement", ["uniform", "as-released"])
def test_native_and_nooks_get_the_same_faults_at_any_address(
    modules: tuple[Module, Module, Module], placement: str
) -> None:
    native, nooks, other = modules
    assert native.base != other.base
    assert native.bindings != nooks.bindings
    for seed in range(200):
        chosen = choose(native, f"{seed}", 5, tuple(CLASSES), placement)
        assert chosen == choose(nooks, f"{seed}", 5, tuple(CLASSES), placement)
        assert chosen == choose(other, f"{seed}", 5, tuple(CLASSES), placement)


def test_seeds_differ_and_no_two_faults_of_a_trial_overlap(module: Module) -> None:
    seen = set()
    for seed in range(300):
        chosen = choose(module, f"{seed}", 12, tuple(CLASSES))
        assert len(chosen) == 12
        in_text = [each for each in chosen if not isinstance(each.change, BitFlip)]
        assert not any(one.overlaps(two) for one, two in combinations(in_text, 2))
        seen.add(chosen)
    assert len(seen) == 300


def test_classes_are_drawn_alike_and_places_within_them_too(module: Module) -> None:
    faults = [fault for seed in range(1600) for fault in choose(module, f"{seed}")]
    kinds = Counter(fault.kind for fault in faults)
    assert set(kinds) == set(PAPER_CLASSES)
    assert all(abs(count / len(faults) - 1 / 8) < 0.02 for count in kinds.values())
    branches = Counter(fault.offset for fault in faults if fault.kind == "branch")
    sites_of = sites(CLASSES["branch"], text_of(module.object))
    assert set(branches) == {each.offset for each in sites_of}
    assert max(branches.values()) < 5 * sum(branches.values()) / len(sites_of)


def test_the_released_search_takes_the_first_match_of_a_function(module: Module) -> None:
    text = text_of(module.object)
    for kind in ("branch", "loop", "init", "interrupt state"):
        chosen = CLASSES[kind]
        firsts = set()
        for start, end, _ in text.functions:
            inside = (each for each in text.instructions if start <= each.offset < end)
            match = next((e for e in inside if not e.is_padding and chosen.matches_released(text, e)), None)
            if match is not None:
                firsts.add(match.offset)
        places = {
            fault.offset
            for seed in range(400)
            for fault in choose(module, f"{seed}", 1, (kind,), "as-released")
        }
        assert places <= firsts
        assert len(places) > len(firsts) / 2


def test_the_released_search_leaves_long_functions_more_faults_and_ignores_the_rest(module: Module) -> None:
    uniform = {f.offset for s in range(600) for f in choose(module, f"{s}", 1, ("branch",))}
    released = {f.offset for s in range(600) for f in choose(module, f"{s}", 1, ("branch",), "as-released")}
    assert len(released) < 25 < 100 < len(uniform)


def test_an_interface_match_is_passed_over_one_time_in_four(module: Module) -> None:
    text = text_of(module.object)
    released = CLASSES["interface"]
    matches = [each for each in text.instructions if released.matches_released(text, each)]
    per_function = Counter(each.function for each in matches)
    several = {name for name, count in per_function.items() if count > 1}
    first = {}
    for each in matches:
        first.setdefault(each.function, each.offset)
    hits = Counter()
    for seed in range(4000):
        for fault in choose(module, f"{seed}", 1, ("interface",), "as-released"):
            function = text.at(fault.offset).function
            if function in several:
                hits[fault.offset == first[function]] += 1
    # Of the functions with two parameters: 3/4 and 3/16, that is four in five of those that were found.
    assert abs(hits[True] / (hits[True] + hits[False]) - 0.8) < 0.06


def test_an_unsuccessful_search_is_not_repeated(module: Module) -> None:
    counts = Counter(len(choose(module, f"{seed}", 5, placement="as-released")) for seed in range(400))
    assert max(counts) == 5
    assert sum(count for length, count in counts.items() if length < 5) > 100


def test_a_class_that_does_not_exist_is_named() -> None:
    with (
        nl.boot() as lab,
        pytest.raises(UnknownFaultClass, match="unknown fault class 'sauce'; there are: source, destination"),
    ):
        choose(lab.insmod("e1000"), "1", classes=("sauce",))


def test_an_extension_without_such_instructions_is_named() -> None:
    with nl.boot() as lab:
        module = lab.insmod(extensions.build("empty.c", EMPTY))
        with pytest.raises(
            NothingQualifies, match="no instruction of empty qualifies for: branch, copy overrun"
        ):
            choose(module, "1", classes=("branch", "copy overrun"))
        # What has anything to change is chosen; classes without are left out.
        assert {each.kind for each in choose(module, "1", 3, ("branch", "nop"))} == {"nop"}
        assert len(choose(module, "1", 1000)) < 20


def test_a_placement_or_number_that_does_not_exist_is_named(module: Module) -> None:
    with pytest.raises(ValueError, match="unknown placement 'random'; there are: uniform, as-released"):
        choose(module, "1", placement="random")
    with pytest.raises(ValueError, match="-1 faults"):
        choose(module, "1", -1)
    assert choose(module, "1", 0) == ()
    assert choose(module, "1", classes=()) == choose(module, "1")
