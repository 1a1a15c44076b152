"""Interrupts that stay off."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, removed
from nooks_lab.faults.injector.classes.allocation_failure import CALL
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

_STI, _POPF = 0xFB, 0x9D
_PUSH_REGISTER, _GROUP_5, _PUSH = range(0x50, 0x58), 0xFF, 6
RESTORERS = frozenset(("spin_unlock_irqrestore", "spin_unlock_irq", "restore_flags", "local_irq_restore"))
"""Where these are functions, not inlines."""


class InterruptState(FaultClass):
    """Interrupts are not turned on again: ``sti``, or a ``push`` with the ``popf`` behind it, is left out.

    That is what ``sti``, ``restore_flags`` and ``spin_unlock_irqrestore`` compile to.  (The Rio injector removed a
    ``push`` and the ``popf`` behind it.)
    """

    name: ClassVar[str] = "interrupt state"
    summary: ClassVar[str] = "Interrupts are not turned on again at the end of a critical section."
    search: ClassVar[Search] = "function"

    def qualifies(self, text: Text, instruction: Instruction) -> bool:
        """``sti``; ``push`` before ``popf``; a call that does the same."""
        if instruction.opcode == _STI or (instruction.opcode == CALL and instruction.callee in RESTORERS):
            return True
        return _is_push(instruction) and _pops_flags(text.after(instruction))

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """NOPs."""
        return removed(self.length(text, instruction))

    def length(self, text: Text, instruction: Instruction) -> int:
        """With the ``popf``, so that the stack stays balanced."""
        following = text.after(instruction)
        pair = _is_push(instruction) and following is not None and _pops_flags(following)
        return instruction.length + (following.length if pair and following else 0)


def _is_push(instruction: Instruction) -> bool:
    if instruction.opcode == _GROUP_5:
        return instruction.extension == _PUSH
    return instruction.opcode in _PUSH_REGISTER


def _pops_flags(instruction: Instruction | None) -> bool:
    return instruction is not None and instruction.opcode == _POPF
