"""Addresses to names: the kernel image, its entry points and the loaded modules."""

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class Symbol:
    """An address as ``name+offset``, with the module that holds it (None: the kernel)."""

    name: str
    offset: int
    module: str | None

    def __str__(self) -> str:
        where = f" [{self.module}]" if self.module else ""
        return f"{self.name}{where} {self.offset:#x}"


class SymbolTable:
    """Ranges of text, each with its sorted symbols."""

    def __init__(self) -> None:
        self._ranges: dict[tuple[str | None, int], tuple[int, int, list[int], list[str]]] = {}

    def add(self, module: str | None, start: int, end: int, symbols: dict[str, int]) -> None:
        """Describe the addresses from ``start`` to ``end``; None is the kernel, which has two ranges."""
        inside = sorted((address, name) for name, address in symbols.items() if start <= address < end)
        addresses, names = [address for address, _ in inside], [name for _, name in inside]
        self._ranges[module, start] = (start, end, addresses, names)

    def remove(self, module: str) -> None:
        """Forget a module."""
        self._ranges = {key: span for key, span in self._ranges.items() if key[0] != module}

    def find(self, address: int) -> Symbol | None:
        """Return the symbol at or before an address, or None outside all text."""
        for (module, _), (start, end, addresses, names) in self._ranges.items():
            if start <= address < end:
                index = bisect_right(addresses, address) - 1
                if index >= 0:
                    return Symbol(names[index], address - addresses[index], module)
        return None
