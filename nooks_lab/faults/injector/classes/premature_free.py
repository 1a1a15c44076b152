"""Memory that is freed while it is in use."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Detour, Dice
from nooks_lab.faults.injector.classes.allocation_failure import CALL, JUMP
from nooks_lab.faults.injector.fault_class import FaultClass
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

RELEASE_OF = {
    "kmalloc": "kfree",
    "alloc_etherdev": "kfree",
    "vmalloc": "vfree",
    "dev_alloc_skb": "dev_kfree_skb_any",
}
"""What frees that which an allocator has returned, called with it alone."""


class PrematureFree(FaultClass):
    """What an allocator returns is freed at once, and the extension goes on with it.

    A call of an allocator goes through a stub that frees the result before it returns it; the extension's own call
    that frees it later is the second one.  An extension that does not itself import the function that frees has no
    such call and stays out.  (The released injector freed the object allocated last before its time.)
    """

    name: ClassVar[str] = "free"
    summary: ClassVar[str] = "Memory is freed too early: used after it was freed, and freed twice."

    def qualifies(self, text: Text, instruction: Instruction) -> bool:
        """A call of an allocator whose counterpart the extension imports."""
        return (
            instruction.opcode in (CALL, JUMP)
            and instruction.callee in RELEASE_OF
            and RELEASE_OF[instruction.callee] in text.imports
        )

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """A detour through the stub."""
        return Detour(release=RELEASE_OF[instruction.callee])
