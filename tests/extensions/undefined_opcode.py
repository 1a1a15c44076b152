"""A fault in the text of a running extension: at a given cycle an instruction becomes ``ud2``."""

import random
from typing import Any

from nooks_lab.kernel.module import Module
from nooks_lab.lab import Lab
from nooks_lab.toolchain.lines import line_table

_UD2 = b"\x0f\x0b"


class UndefinedOpcode:
    """Strikes one extension of a running system; a part of the machine's clock.

    Parameters
    ----------
    functions : tuple of str
        Where to strike.

    Attributes
    ----------
    strikes : int
        How often it has written.
    """

    def __init__(self, lab: Lab, extension: str, functions: tuple[str, ...]) -> None:
        self._functions = functions
        self.name, self.strikes = f"undefined opcode in {extension}", 0
        self._lab, self._extension = lab, extension
        self._before: tuple[Module, list[int], bytes] | None = None
        lab.machine.clock.parts[self.name] = self

    def arm(self, seed: int | str, most: int) -> None:
        """Have one instruction overwritten, at most ``most`` cycles from now.

        The instruction is the first of a line of the source, so that nothing is hit halfway.
        """
        dice = random.Random(seed)
        self._lab.machine.clock.after(dice.randrange(most), self.name, "strike", dice.getrandbits(32))

    def disarm(self) -> None:
        """Take back what has not struck, and what nobody has met."""
        self._lab.machine.clock.cancel(self.name, "strike")
        before, self._before = self._before, None
        if before is not None and self._lab.kernel.modules.loaded.get(self._extension) is before[0]:
            self._write(before[1], before[2])

    def _write(self, places: list[int], code: bytes) -> None:
        for place, byte in zip(places, code, strict=True):
            self._lab.machine.memory.write(place, bytes((byte,)))

    def strike(self, number: int) -> None:
        """Write, if the extension is loaded just now."""
        module = self._lab.kernel.modules.loaded.get(self._extension)
        if module is None or module.image is None:
            return
        image = module.image
        starts = sorted(
            image.sections[row.section] + row.offset
            for row in line_table(module.object)
            if row.section in image.sections
        )
        spans = [
            (image.symbols[each], image.symbols[each] + image.sizes[each])
            for each in self._functions
            if each in image.symbols
        ]
        places = [at for at in starts if any(low <= at < high - 1 for low, high in spans)]
        at = places[number % len(places)]
        # Through the kernel's page table: in the extension's own its text is read-only.
        table = self._lab.kernel.page_table
        physical = [table.pte(each) & ~0xFFF | each & 0xFFF for each in (at, at + 1)]
        code = b"".join(self._lab.machine.memory.read(place, 1) for place in physical)
        self._before = module, physical, code
        self._write(physical, _UD2)
        self.strikes += 1

    def save(self) -> Any:
        """Return the state."""
        return self.strikes, self._before

    def load(self, state: Any) -> None:
        """Take a state back."""
        self.strikes, self._before = state
