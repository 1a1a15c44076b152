"""The 3c90x with the bug that Nooks found in 3Com's driver (paper, section 5.2): it frees a buffer and zeroes it then.

Natively nobody notices, as long as nobody else has got the pages in between.  In a domain, the right to write them
ended when they were freed.
"""

from nooks_lab import extensions
from nooks_lab.faults.wild_store import PatchError
from nooks_lab.toolchain.elf import ObjectFile

_ZERO = "\t\tmemset(list->memory, 0, list->bytes);\n"
_FREE = "\t\tpci_free_consistent(nic->pci, list->bytes, list->memory, list->dma);\n"


def patched_source(text: str) -> str:
    """Return the driver's source with the two statements the wrong way round.

    Raises
    ------
    PatchError
        When they are not found one after the other.
    """
    if text.count(_ZERO + _FREE) != 1:
        raise PatchError("3c90x.c does not zero its lists just before it frees them")
    return text.replace(_ZERO + _FREE, _FREE + _ZERO)


def free_then_zero() -> ObjectFile:
    """Compile the 3c90x with this bug; the object is called 3c90x."""
    path = extensions.source("3c90x")
    return extensions.build(
        "3c90x.c", patched_source(path.read_text(encoding="utf-8")), include=(path.parent,)
    )
