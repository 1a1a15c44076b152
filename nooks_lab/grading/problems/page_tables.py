"""A page directory and its tables, made from a seed; the maker knows every translation.

Source: Intel SDM volume 3A, section 4.3 (32-bit paging), tables 4-3 to 4-6.
"""

import random
from array import array
from dataclasses import dataclass
from enum import Enum

from nooks_lab.machine.memory import PAGE_SHIFT
from nooks_lab.machine.paging import PCD, PWT, RW, US, A, D, G, P

FRAMES = 16
"""Frames of the small RAM that holds the tables; the pages they map may lie anywhere."""

WORDS_PER_PAGE = 1024
_AVAILABLE = 0xE00


class Kind(Enum):
    """What stands behind a linear address."""

    WRITABLE = "a writable page"
    READ_ONLY_PAGE = "a page whose table entry is read-only"
    READ_ONLY_TABLE = "a page whose directory entry is read-only"
    NO_PAGE = "no page"
    NO_TABLE = "no table"


@dataclass(frozen=True)
class Mapping:
    """One linear address and where it leads.

    Attributes
    ----------
    address : int
        Linear address, with an offset.
    kind : Kind
        What stands there.
    pde_at, pte_at : int
        Positions of its entries in ``words``; ``pte_at`` counts only when there is a table.
    frame : int
        Physical address of the page, when there is one.
    """

    address: int
    kind: Kind
    pde_at: int
    pte_at: int
    frame: int

    @property
    def present(self) -> bool:
        """Whether the address leads to a page."""
        return self.kind not in (Kind.NO_PAGE, Kind.NO_TABLE)

    @property
    def rights(self) -> int:
        """``RW`` when both entries allow writing, else 0."""
        return RW if self.kind is Kind.WRITABLE else 0


@dataclass(frozen=True)
class Tables:
    """A small RAM with paging structures in it, and the addresses to try."""

    words: memoryview
    cr3: int
    mappings: tuple[Mapping, ...]


def make_tables(seed: int) -> Tables:
    """Lay out a directory with two tables, and return them with one address or two of each kind."""
    rng = random.Random(seed)
    words = memoryview(array("I", bytes(FRAMES * WORDS_PER_PAGE * 4)))
    frames = rng.sample(range(1, FRAMES), 3)
    directory = frames[0] * WORDS_PER_PAGE
    slots = rng.sample(range(1024), 4)
    # Absent entries hold garbage above a clear P bit, as entries of swapped-out pages do.
    for slot in slots[2:]:
        words[directory + slot] = rng.getrandbits(32) & ~P
    words[directory + slots[0]] = frames[1] << PAGE_SHIFT | RW | P | _noise(rng)
    words[directory + slots[1]] = frames[2] << PAGE_SHIFT | P | _noise(rng)
    plan = (
        (Kind.WRITABLE, 0),
        (Kind.WRITABLE, 0),
        (Kind.WRITABLE, 0),
        (Kind.READ_ONLY_PAGE, 0),
        (Kind.READ_ONLY_PAGE, 0),
        (Kind.NO_PAGE, 0),
        (Kind.READ_ONLY_TABLE, 1),
        (Kind.READ_ONLY_TABLE, 1),
        (Kind.NO_TABLE, 2),
    )
    indices = rng.sample(range(1024), len(plan))
    mappings = []
    for (kind, which), index in zip(plan, indices, strict=True):
        frame = rng.getrandbits(20) << PAGE_SHIFT
        pte_at = frames[1 + which] * WORDS_PER_PAGE + index if which < 2 else 0
        if which < 2:
            words[pte_at] = frame | _noise(rng) | rng.choice((0, G)) | _entry_rights(kind, rng)
        address = slots[which] << 22 | index << PAGE_SHIFT | rng.randrange(1, 0x1000)
        mappings.append(Mapping(address, kind, directory + slots[which], pte_at, frame))
    rng.shuffle(mappings)
    cr3 = frames[0] << PAGE_SHIFT | PWT | rng.choice((0, PCD))
    return Tables(words, cr3, tuple(mappings))


def _noise(rng: random.Random) -> int:
    """Return bits of an entry that decide nothing at ring 0."""
    return rng.getrandbits(32) & (US | PWT | PCD | _AVAILABLE)


def _entry_rights(kind: Kind, rng: random.Random) -> int:
    if kind is Kind.NO_PAGE:
        return rng.choice((0, RW))
    if kind is Kind.READ_ONLY_PAGE:
        return P | rng.choice((0, A))
    return P | RW | rng.choice((0, A, A | D))
