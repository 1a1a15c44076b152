"""How software gets at the registers of a 3C905C: windows, widths, I/O and memory space.

Source: 3Com 3C90xC NICs Technical Reference, chapter 4 and appendix A.
"""

from abc import abstractmethod
from collections.abc import Callable

from nooks_lab.machine.devices import c905_registers as reg
from nooks_lab.machine.devices.c905_state import C905State
from nooks_lab.machine.devices.network_card import NetworkCard
from nooks_lab.machine.pci import PciFunction

RAM_BYTES = 8192
_RECEIVE_EIGHTHS = (5, 6, 4, 3)
"""By ramPartition of InternalConfig: how much of the packet RAM is the receive FIFO."""


class RegisterFile(NetworkCard):
    """128 bytes of registers, the first 14 of them in eight windows; they can be accessed in any width.

    A register is plain memory, as far as software can write it (:data:`~.c905_registers.WRITABLE`), unless there is
    a reader or an effect for it.
    """

    state: C905State

    def __init__(self, name: str, function: PciFunction) -> None:
        super().__init__(name, function)
        self._readers: dict[int, tuple[int, int, Callable[[], int]]] = {}
        """For each byte: its register's offset and width, and what reads the whole register."""
        self._effects: dict[int, tuple[int, Callable[[], None]]] = {}
        """For each byte: which register it belongs to, and what happens when that has been written."""

    @abstractmethod
    def command(self, value: int) -> None:
        """Execute what has been written to the command register."""

    def io_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """Return the registers through I/O space."""
        return self._read(offset, size)

    def io_write(self, bar: int, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Write the registers through I/O space."""
        self._write(offset, size, value)

    def mmio_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """Return the same registers through memory space."""
        return self._read(offset, size)

    def mmio_write(self, bar: int, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Write the same registers through memory space."""
        self._write(offset, size, value)

    def _read(self, offset: int, size: int) -> int:
        """Read bytes; a register that takes part in the access is read once, whole."""
        result, position = 0, 0
        while position < size:
            at = offset + position
            found = self._readers.get(self._key(at))
            if found is None:
                value, count = self._memory(at), 1
            else:
                start, width, reader = found
                value = reader() >> 8 * (at - start)
                count = min(width - (at - start), size - position)
            result |= (value & (1 << 8 * count) - 1) << 8 * position
            position += count
        return result

    def _write(self, offset: int, size: int, value: int) -> None:
        """Store the bytes that can be written, then let the registers among them act."""
        touched = {}
        for position in range(size):
            at = offset + position
            key = self._key(at)
            self._store(at, value >> 8 * position & 0xFF)
            if key in self._effects:
                start, effect = self._effects[key]
                touched[start] = effect
        if offset <= reg.COMMAND and offset + size >= reg.COMMAND + 2:
            self.command(value >> 8 * (reg.COMMAND - offset) & 0xFFFF)
        for effect in touched.values():
            effect()

    def _key(self, offset: int) -> int:
        """Return what tells registers of one offset in different windows apart."""
        return offset | self.state.window << 8 if offset < reg.WINDOW_BYTES else offset | reg.FIXED << 8

    def _memory(self, offset: int) -> int:
        if offset < reg.WINDOW_BYTES:
            return self.state.windows[self.state.window][offset]
        return self.state.fixed[offset] if offset < reg.REGISTER_BYTES else 0xFF

    def _store(self, offset: int, byte: int) -> None:
        mask = reg.WRITABLE.get(self._key(offset), 0)
        if not mask:
            return
        inside = offset < reg.WINDOW_BYTES
        memory = self.state.windows[self.state.window] if inside else self.state.fixed
        memory[offset] = memory[offset] & ~mask | byte & mask

    def _window(self, window: int, offset: int, size: int = 2) -> int:
        return int.from_bytes(self.state.windows[window][offset : offset + size], "little")

    def _set_window(self, window: int, offset: int, value: int, size: int = 2) -> None:
        self.state.windows[window][offset : offset + size] = value.to_bytes(size, "little")

    def _fixed(self, offset: int, size: int = 4) -> int:
        return int.from_bytes(self.state.fixed[offset : offset + size], "little")

    def _set_fixed(self, offset: int, value: int, size: int = 4) -> None:
        self.state.fixed[offset : offset + size] = value.to_bytes(size, "little")

    def _receive_bytes(self) -> int:
        partition = self._window(3, reg.INTERNAL_CONFIG, 4) >> reg.CONFIG_RAM_PARTITION_SHIFT & 3
        return RAM_BYTES // 8 * _RECEIVE_EIGHTHS[partition]
