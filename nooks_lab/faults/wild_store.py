"""A seeded source bug: a store through a garbage pointer in the e1000's interrupt handler."""

import random

from nooks_lab import extensions
from nooks_lab.toolchain.elf import ObjectFile

_FUNCTION = "static void e1000_intr("
_FIRST_INTERRUPT, _LAST_INTERRUPT = 100, 124
"""Late in the recording, on purpose: the counter starts anew with each load, so an early call fails again and
again (calls 8 to 24: five recoveries and half of the frames lost, with seed 1)."""


class PatchError(ValueError):
    """The driver's source has no place for this bug."""


def plan(seed: int) -> tuple[int, int]:
    """Return which call of the handler goes wrong, and the address that it writes to.

    The address is any 32-bit word address: most are mapped to nothing, some are the kernel's memory.
    """
    dice = random.Random(seed)
    return dice.randint(_FIRST_INTERRUPT, _LAST_INTERRUPT), dice.randrange(0, 1 << 32, 4)


def patched_source(text: str, seed: int) -> str:
    """Return the driver's source with the bug.

    Raises
    ------
    PatchError
        When the interrupt handler is not found.
    """
    call, address = plan(seed)
    start = text.find(_FUNCTION)
    body = text.find("{\n", start)
    if start < 0 or body < 0:
        raise PatchError("e1000.c has no interrupt handler e1000_intr")
    counter = "static int e1000_intr_calls;\n\n"
    bug = f"\tif (++e1000_intr_calls == {call})\n\t\t*(volatile int *){address:#010x} = e1000_intr_calls;\n"
    end = text.find("\n\n", body) + 1
    return text[:start] + counter + text[start:end] + bug + text[end:]


def wild_store(seed: int) -> ObjectFile:
    """Compile the e1000 with the bug that this seed stands for."""
    path = extensions.source("e1000")
    return extensions.build("e1000.c", patched_source(path.read_text(), seed), include=(path.parent,))
