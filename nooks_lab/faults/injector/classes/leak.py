"""Memory that is never freed."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, replaced
from nooks_lab.faults.injector.classes.allocation_failure import CALL, JUMP
from nooks_lab.faults.injector.fault_class import FaultClass
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

RELEASES = frozenset(
    (
        "kfree",
        "vfree",
        "free_pages",
        "pci_free_consistent",
        "kfree_skb",
        "dev_kfree_skb",
        "dev_kfree_skb_any",
        "dev_kfree_skb_irq",
        "kmem_cache_free",
    )
)
"""The kernel's functions that free memory."""

_RET = b"\xc3"


class Leak(FaultClass):
    """A call that frees memory is left out.

    (The released injector left out one call in some thousands.)
    """

    name: ClassVar[str] = "leak"
    summary: ClassVar[str] = "Memory is not freed."

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """A call of a function that frees, or a jump to one at a function's end."""
        return instruction.opcode in (CALL, JUMP) and instruction.callee in RELEASES

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """NOPs, or for a jump the return alone."""
        return replaced(_RET if instruction.opcode == JUMP else b"", instruction.length)
