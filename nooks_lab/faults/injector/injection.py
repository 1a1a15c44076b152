"""Putting chosen faults into a running system, and what is written down about them."""

from contextlib import suppress
from dataclasses import dataclass

import capstone

from nooks_lab.faults.injector.activation import Activation, load_library
from nooks_lab.faults.injector.catalogue import CLASSES
from nooks_lab.faults.injector.change import BitFlip, Detour, Rewrite
from nooks_lab.faults.injector.fault_class import FaultClass, sites
from nooks_lab.faults.injector.plan import PlannedFault
from nooks_lab.faults.injector.record import FaultRecord
from nooks_lab.faults.injector.strike import STRIKE_WINDOW, Strike
from nooks_lab.faults.injector.stub import branch, stub
from nooks_lab.faults.injector.stub_room import StubRoom
from nooks_lab.faults.injector.text import text_of
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_MASK
from nooks_lab.toolchain.elf import ElfError, ObjectFile
from nooks_lab.toolchain.lines import line_table, locate

_disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
_disassembler.syntax = capstone.CS_OPT_SYNTAX_ATT

_CALL_SIZE = 5


@dataclass(frozen=True)
class _InText:
    """A fault that has been written into the text."""

    fault: PlannedFault
    address: int
    before: bytes
    after: bytes
    activation: Activation
    stub_at: int = 0
    stub_code: bytes = b""


@dataclass(frozen=True)
class _InData:
    """A fault that strikes later."""

    fault: PlannedFault
    strike: Strike


class Injection:
    """The faults of one trial in one system.

    Native and Nooks get the same faults: each is applied to the bytes that stand in memory, which differ only where
    the loader has put addresses.

    Parameters
    ----------
    lab : Lab
    extension : str
        The name under which it is loaded.
    planned : tuple of PlannedFault
        From :func:`~nooks_lab.faults.injector.plan.choose`.
    window : int
        Cycles from the injection in which bit flips in stack and heap strike.

    Raises
    ------
    LookupError
        When no such extension is loaded.
    """

    def __init__(
        self, lab: Lab, extension: str, planned: tuple[PlannedFault, ...], window: int = STRIKE_WINDOW
    ) -> None:
        module = lab.kernel.modules.loaded.get(extension)
        if module is None:
            there = ", ".join(lab.kernel.modules.loaded) or "none"
            raise LookupError(f"no extension {extension!r} is loaded; there are: {there}")
        self._lab, self._module, self._planned, self._window = lab, module, planned, window
        self._done: list[_InText | _InData] = []
        self._room = StubRoom(lab.kernel, module)

    def inject(self) -> None:
        """Write the faults into the extension's text, and arm those that strike later.

        Raises
        ------
        MemoryError
            When there is no room for the stub of a changed call.
        """
        for number, fault in enumerate(self._planned):
            if isinstance(fault.change, BitFlip):
                strike = Strike(self._lab, self._module, fault.change, number)
                strike.arm(self._window)
                self._done.append(_InData(fault, strike))
            else:
                self._done.append(self._write(fault))

    def _write(self, fault: PlannedFault) -> _InText:
        address = self._module.base + fault.offset
        places = self._places(address, fault.length)
        memory = self._lab.machine.memory
        before = b"".join(memory.read(place, 1) for place in places)
        at, code = 0, b""
        if isinstance(fault.change, Detour):
            at, code = self._stub(fault.change, address, before)
            after = branch(before[0], address, at)
        else:
            assert isinstance(fault.change, Rewrite)
            after = fault.change.applied(before)
        # The hook comes first: code that was translated before would not call it.
        activation = Activation(self._lab.machine, address, places, after)
        for place, byte in zip(places, after, strict=True):
            memory.write(place, bytes((byte,)))
        return _InText(fault, address, before, after, activation, at, code)

    def _stub(self, detour: Detour, address: int, before: bytes) -> tuple[int, bytes]:
        """Make the code of a detour; returns where it lies, and the code."""
        at = self._room.take()
        function = address + _CALL_SIZE + int.from_bytes(before[1:_CALL_SIZE], "little") & 0xFFFFFFFF
        release = self._module.bindings[detour.release] if detour.release else 0
        code = stub(detour, at, function, release)
        for place, byte in zip(self._places(at, len(code)), code, strict=True):
            self._lab.machine.memory.write(place, bytes((byte,)))
        return at, code

    def _places(self, first: int, length: int) -> list[int]:
        """Return the physical address of each byte, by the kernel's page table: a domain's says read-only."""
        table = self._lab.kernel.page_table
        return [table.pte(at) & PAGE_MASK | at & ~PAGE_MASK for at in range(first, first + length)]

    def withdraw(self) -> None:
        """Take hooks, armed flips and stubs out of the machine again; the changed text stays as it is.

        To be called before the machine goes back to a snapshot, or when the trial is over.  The records stay.
        """
        in_text = [each for each in self._done if isinstance(each, _InText)]
        if in_text:
            self._lab.machine.cpu.unwatch(*(each.activation.handle for each in in_text))
        for each in self._done:
            if isinstance(each, _InData):
                each.strike.withdraw()
        self._room.give_back()

    def records(self) -> tuple[FaultRecord, ...]:
        """Return what is to be written down about each fault, and whether it was activated until now."""
        return tuple(
            self._text_record(each) if isinstance(each, _InText) else self._data_record(each)
            for each in self._done
        )

    def _text_record(self, done: _InText) -> FaultRecord:
        after = _disassembled(done.after, done.address)
        if done.stub_code:
            after += f" -> {_disassembled(done.stub_code, done.stub_at)}"
        return FaultRecord(
            done.fault.kind,
            done.fault.offset,
            done.address,
            self._function(done.fault.offset),
            self._line(done.fault.offset),
            done.before.hex(),
            done.after.hex(),
            _disassembled(done.before, done.address),
            after,
            done.activation.ran,
        )

    def _data_record(self, done: _InData) -> FaultRecord:
        struck = done.strike.struck
        if struck is None:
            return FaultRecord(done.fault.kind, 0, 0, "", "", "", "", "", "")
        offset = struck.eip - self._module.base
        return FaultRecord(
            done.fault.kind,
            offset,
            struck.address,
            self._function(offset),
            self._line(offset),
            f"{struck.before:02x}",
            f"{struck.after:02x}",
            struck.what,
            struck.what,
            activated=True,
        )

    def _function(self, offset: int) -> str:
        function = text_of(self._module.object).function_at(offset)
        return function[2] if function else "?"

    def _line(self, offset: int) -> str:
        obj = self._module.object
        try:
            return locate(obj, *text_of(obj).section_offset(offset)) or ""
        except ElfError:
            # A user's own object, whose debugging information is damaged, can be tried all the same.
            return ""


def prepare(obj: ObjectFile) -> None:
    """Do once what is needed for every injection into an object, so that copies of this process need not.

    Raises
    ------
    ElfError
        When the object cannot be laid out.
    """
    text = text_of(obj)
    for each in CLASSES.values():
        if isinstance(each, FaultClass):
            sites(each, text)
    with suppress(ElfError):
        line_table(obj)
    load_library()


def _disassembled(code: bytes, address: int) -> str:
    """Return instructions in AT&T syntax; what is none as its bytes."""
    parts, at = [], 0
    while at < len(code):
        size = 0
        for start, size, mnemonic, operands in _disassembler.disasm_lite(code[at:], address + at, 1):  # noqa: B007
            parts.append(f"{mnemonic} {operands}".strip())
        if not size:
            parts.append("(bad)" if not parts else f".byte {code[at:].hex(' ')}")
            break
        at += size
    return "; ".join(parts)
