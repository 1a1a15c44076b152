"""An allocation that fails."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, replaced
from nooks_lab.faults.injector.fault_class import FaultClass
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

ALLOCATORS = frozenset(
    (
        "kmalloc",
        "vmalloc",
        "__get_free_pages",
        "get_zeroed_page",
        "pci_alloc_consistent",
        "alloc_skb",
        "dev_alloc_skb",
        "alloc_etherdev",
        "kmem_cache_alloc",
    )
)
"""The kernel's functions that return memory, or NULL when there is none."""

CALL, JUMP = 0xE8, 0xE9
_XOR_EAX_EAX, _RET = b"\x31\xc0", b"\xc3"


class AllocationFailure(FaultClass):
    """A call of an allocator is replaced by what a failed one returns: EAX is 0, and nothing was allocated.

    It fails every time, at this one place of the text.  (The released injector let one allocation in some thousands
    fail, wherever.)
    """

    name: ClassVar[str] = "allocation failure"
    summary: ClassVar[str] = "An allocation fails, and the extension may not have reckoned with that."

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """A call of an allocator, or a jump to one at a function's end."""
        return instruction.opcode in (CALL, JUMP) and instruction.callee in ALLOCATORS

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """``xor %eax,%eax``, and for a jump the return that the allocator would have made."""
        failed = _XOR_EAX_EAX + (_RET if instruction.opcode == JUMP else b"")
        return replaced(failed, instruction.length)
