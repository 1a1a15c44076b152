"""What is written down about one injected fault."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FaultRecord:
    """One injected fault.

    Attributes
    ----------
    kind : str
        Its class: ``source``, ``branch``, ``text``, ...
    offset : int
        Of the changed instruction in the extension's memory.  Of a bit flipped in data: of the code that ran then.
    address : int
        Linear address, in this system, of what was changed; 0 for a flip that has not struck.
    symbol : str
        The function that the instruction is in, or that ran when the bit flipped.
    line : str
        File and line of its C source, from the debugging information; empty when there is none.
    before, after : str
        The bytes, in hexadecimal.
    disassembly_before, disassembly_after : str
        In AT&T syntax.  Of a bit flipped in data: what it is part of.
    activated : bool
        Whether the CPU ever ran it; of a bit flipped in data: whether it flipped.
    """

    kind: str
    offset: int
    address: int
    symbol: str
    line: str
    before: str
    after: str
    disassembly_before: str
    disassembly_after: str
    activated: bool = False
