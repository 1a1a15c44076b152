"""The checks of the page-walk exercise, steps 1 to 4: indices, reads, rights, accessed and dirty bits."""

import random
from collections.abc import Callable, Mapping
from functools import partial

from nooks_lab.grading.problems.facts import Fact, attempt, report, show_fault, show_word
from nooks_lab.grading.problems.page_tables import Kind, Tables, make_tables
from nooks_lab.grading.problems.page_tables import Mapping as PageMapping
from nooks_lab.machine.memory import PAGE_MASK
from nooks_lab.machine.paging import (
    CR0_PE,
    CR0_PG,
    CR0_WP,
    PCD,
    PF_PRESENT,
    PF_WRITE,
    PWT,
    RW,
    US,
    A,
    D,
    P,
    Walker,
)

_PROTECTED = CR0_PG | CR0_WP | CR0_PE
_UNPROTECTED = CR0_PG | CR0_PE
_FRAME_GARBAGE = US | PWT | PCD


def check_indices(
    directory_index: Callable[[int], int],
    table_index: Callable[[int], int],
    page_offset: Callable[[int], int],
    *,
    seed: int,
) -> None:
    """Step 1: take addresses apart.

    Raises
    ------
    WrongAnswer
        With the facts marked.
    """
    rng = random.Random(seed)
    facts = []
    for address in (rng.getrandbits(32) | 0x80000801 for _ in range(5)):
        parts = (
            ("directory index", directory_index, address >> 22, {address >> 20: "a shift by 20, not by 22"}),
            (
                "table index",
                table_index,
                address >> 12 & 0x3FF,
                {address >> 12: "the directory index is still in the upper bits: keep 10 bits"},
            ),
            (
                "offset",
                page_offset,
                address & 0xFFF,
                {
                    address & 0x3FF: "10 bits kept, and an offset has 12",
                    address & 0xFF: "8 bits kept, not 12",
                },
            ),
        )
        for what, function, right, wrong in parts:
            mistakes = {show_word(value, 3): cause for value, cause in wrong.items()}
            got = attempt(partial(function, address), partial(show_word, digits=3))
            facts.append(Fact(f"{what} of {address:08x}", got, show_word(right, 3), mistakes))
    report(facts)


def check_reads(translate_read: Callable[[memoryview, int, int], int], *, seed: int) -> None:
    """Step 2: walk for reads.

    Raises
    ------
    WrongAnswer
        With the facts marked.
    """
    tables = make_tables(seed)
    facts = []
    for mapping in tables.mappings:
        address = mapping.address
        got = attempt(partial(translate_read, tables.words, tables.cr3, address), show_word)
        physical = mapping.frame | address & 0xFFF
        expected = show_word(physical) if mapping.present else show_fault(address, 0)
        facts.append(
            Fact(f"read {address:08x} ({mapping.kind.value})", got, expected, _read_mistakes(tables, mapping))
        )
    report(facts)


def _read_mistakes(tables: Tables, mapping: PageMapping) -> Mapping[str, str]:
    address, entry = mapping.address, tables.words[mapping.pte_at]
    if not mapping.present:
        absent = "directory" if mapping.kind is Kind.NO_TABLE else "table"
        return {
            show_word(mapping.frame | address & 0xFFF): f"the P bit of the {absent} entry is not looked at",
            show_fault(address, PF_PRESENT): "error code bit 0 means that the page *was* present",
            show_fault(address & PAGE_MASK, 0): "CR2 gets the whole address, not that of the page",
            "a read outside RAM (IndexError)": f"garbage followed: P of the {absent} entry is not looked at",
        }
    return {
        show_word(mapping.frame): "the offset is missing",
        show_word(entry | address & 0xFFF): "the flags in the entry's low 12 bits are still there",
        show_word(entry): "this is the entry itself: mask its flags and put the offset in",
        show_fault(
            address, 0
        ): "a wrong entry was read: is CR3 masked (its low bits are flags), and are positions"
        " in words, not bytes?",
        "a read outside RAM (IndexError)": "words[a >> 2] is the word at physical address a",
    }


def check_rights(check: Callable[[int, int, int, int, bool], int], *, seed: int) -> None:
    """Step 3: rights, CR0.WP and error codes.

    Raises
    ------
    WrongAnswer
        With the facts marked.
    """
    rng = random.Random(seed)
    cases = [(pde, pte, cr0, write) for pde in (RW, 0) for pte in (RW, 0) for cr0, write in _ACCESSES]
    facts = []
    for pde_right, pte_right, cr0, write in rng.sample(cases, 10):
        facts.append(_rights_fact(check, rng, P | pde_right, P | pte_right, cr0, write))
    for pde_bits, pte_bits in ((RW, P | RW), (P | RW, RW)):
        for write in (False, True):
            facts.append(
                _rights_fact(check, rng, pde_bits, pte_bits, rng.choice((_PROTECTED, _UNPROTECTED)), write)
            )
    rng.shuffle(facts)
    report(facts)


_ACCESSES = ((_PROTECTED, False), (_PROTECTED, True), (_UNPROTECTED, False), (_UNPROTECTED, True))


def _rights_fact(
    check: Callable[[int, int, int, int, bool], int],
    rng: random.Random,
    pde_bits: int,
    pte_bits: int,
    cr0: int,
    write: bool,
) -> Fact:
    pde, pte = (rng.getrandbits(32) & (PAGE_MASK | _FRAME_GARBAGE) | bits for bits in (pde_bits, pte_bits))
    address = rng.getrandbits(32)
    present, rights = pde & pte & P, pde & pte & RW
    access = PF_WRITE if write else 0
    if not present:
        expected = show_fault(address, access)
    elif write and not rights and cr0 & CR0_WP:
        expected = show_fault(address, PF_PRESENT | PF_WRITE)
    else:
        expected = show_word(rights, 1)
    what = (
        f"{'write' if write else 'read '} {address:08x}, PDE {_bits(pde)}, PTE {_bits(pte)},"
        f" WP={1 if cr0 & CR0_WP else 0}"
    )
    mistakes = {
        show_fault(address, 0): "bit 1 of the error code tells a write from a read",
        show_fault(address, PF_PRESENT): "bit 1 of the error code tells a write from a read",
        show_word(RW, 1): "an entry was not asked: P and RW must be set in both of them",
        show_word(0, 1): "a write to a read-only page faults while WP is set",
    }
    if present and expected == show_word(rights, 1):
        mistakes[show_fault(address, PF_PRESENT | PF_WRITE)] = (
            "at ring 0, RW counts only for writes and only with WP"
        )
    elif present:
        mistakes[show_fault(address, PF_WRITE)] = (
            "the page is present, so bit 0 of the error code must be set"
        )
        mistakes[show_word(RW, 1)] = "RW must be set in both entries"
    else:
        mistakes[show_fault(address, access | PF_PRESENT)] = (
            "nothing is there, so bit 0 of the error code is 0"
        )
    got = attempt(partial(check, pde, pte, cr0, address, write), partial(show_word, digits=1))
    return Fact(what, got, expected, mistakes)


def _bits(entry: int) -> str:
    return ("P" if entry & P else "-") + ("RW" if entry & RW else "--")


def check_walk(walker: Walker, *, seed: int) -> None:
    """Step 4: the whole walk, with accessed and dirty bits.

    Raises
    ------
    WrongAnswer
        With the facts marked.
    """
    rng = random.Random(seed)
    tables = make_tables(seed)
    facts = []
    for mapping in tables.mappings:
        for write in rng.sample((False, True), 2):
            # As a page scanner does; else the first translation of a table would hide who sets A too early.
            tables.words[mapping.pde_at] &= ~(A if rng.randrange(2) else 0)
            facts.append(_walk_fact(walker, tables, mapping, rng.choice((_PROTECTED, _UNPROTECTED)), write))
    report(facts)


def _walk_fact(walker: Walker, tables: Tables, mapping: PageMapping, cr0: int, write: bool) -> Fact:
    words, address = tables.words, mapping.address
    before = bytes(words)
    result = attempt(partial(walker.walk, words, tables.cr3, cr0, address, write), show_word)
    got = f"{result}; {_changes(before, words, mapping)}"
    # Each access starts from the right tables, so that one mistake is not counted again and again.
    words.cast("B")[:] = before
    expected = _right_walk(words, mapping, cr0, write)
    what = (
        f"{'write' if write else 'read '} {address:08x}, WP={1 if cr0 & CR0_WP else 0} ({mapping.kind.value})"
    )
    return Fact(what, got, expected, _walk_mistakes(expected, result, got))


def _right_walk(words: memoryview, mapping: PageMapping, cr0: int, write: bool) -> str:
    """Do to the tables what the walk should have done, and return the fact."""
    address = mapping.address
    if not mapping.present:
        return f"{show_fault(address, PF_WRITE if write else 0)}; tables unchanged"
    if write and not mapping.rights and cr0 & CR0_WP:
        return f"{show_fault(address, PF_PRESENT | PF_WRITE)}; tables unchanged"
    before = bytes(words)
    words[mapping.pde_at] |= A
    words[mapping.pte_at] |= A | (D if write else 0)
    entry = mapping.frame | words[mapping.pte_at] & D | mapping.rights | P
    return f"{show_word(entry)}; {_changes(before, words, mapping)}"


def _changes(earlier: bytes, words: memoryview, mapping: PageMapping) -> str:
    """Name the bits that changed in the two entries, and count other changes."""
    if bytes(words) == earlier:
        return "tables unchanged"
    before = memoryview(earlier).cast("I")
    entries = {mapping.pde_at: "PDE"}
    if mapping.kind is not Kind.NO_TABLE:
        entries[mapping.pte_at] = "PTE"
    parts = [
        _changed_bits(name, before[at], words[at]) for at, name in entries.items() if before[at] != words[at]
    ]
    elsewhere = sum(before[at] != words[at] for at in range(len(words)) if at not in entries)
    if elsewhere:
        parts.append(f"{elsewhere} other words changed")
    return ", ".join(parts)


def _changed_bits(name: str, before: int, after: int) -> str:
    text, changed = name, before ^ after
    for flag, bit in (("A", A), ("D", D)):
        if changed & bit:
            text += f" {'+' if after & bit else '-'}{flag}"
    other = changed & ~(A | D)
    return f"{text} other bits {other:x}" if other else text


def _walk_mistakes(expected: str, result: str, got: str) -> Mapping[str, str]:
    right, _, right_changes = expected.partition("; ")
    if right.startswith("page fault"):
        if result == right:
            return {got: "a walk that faults sets no bit: look at the rights before you write to the tables"}
        return {}
    if result != right and result.count(" ") == 0:
        difference = int(result, 16) ^ int(right, 16)
        names = {RW: "RW", D: "D (as it is after this access)", P: "P"}
        if difference in names:
            return {got: f"the result's {names[difference]} bit is wrong"}
        if difference & ~PAGE_MASK == difference:
            return {got: "the result has other flags than D, RW and P"}
        return {got: "the result is the frame's address, without the offset"}
    return {
        got: f"A belongs in both entries, D only in the table entry and only for a write ({right_changes})"
    }
