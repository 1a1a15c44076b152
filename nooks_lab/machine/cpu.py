"""The IA-32 CPU: Unicorn runs the code, our TLB and walker translate, our clock counts.

What was measured about Unicorn, and why this file looks as it does: a hook in Python costs microseconds, so
those of every block and every page are C; ``hlt`` ends a run for nothing; a refused TLB fill ends it with
EIP at the faulting instruction; a nested ``emu_start`` kills the process at depth 64, so the CPU is always
stopped before Python calls the guest again.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any

import capstone
import unicorn
from unicorn import unicorn_const as uc_const
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import DECODE, Clock
from nooks_lab.machine.fault_address import fault_address
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SHIFT, PhysicalMemory
from nooks_lab.machine.paging import CR0_PE, PF_WRITE, P, PageFault
from nooks_lab.machine.tlb import WALK, Tlb

EFLAGS_IF = 0x200
EFLAGS_TF = 0x100
EFLAGS_NT = 0x4000
EFLAGS_VM = 0x20000

CR3_LOAD_CYCLES = 200
"""``mov %cr3`` serialises the pipeline; the misses that follow are counted apart."""

INVALID_OPCODE, PAGE_FAULT = 6, 14
_LONGEST_INSTRUCTION = 15

_SLICE = 20_000_000
"""The longest run in cycles without a return to Python, so that Ctrl-C gets in within half a second."""


class Stop(Enum):
    """Why the CPU stopped."""

    HLT = auto()
    DEADLINE = auto()
    EXCEPTION = auto()


REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags", "cr0", "cr2", "cr3")
_IDS = tuple(getattr(x86, f"UC_X86_REG_{name.upper()}") for name in REGISTERS)
_INDEX = {name: index for index, name in enumerate(REGISTERS)}
_COUNT = len(REGISTERS)
_SEGMENTS = tuple(getattr(x86, f"UC_X86_REG_{name}") for name in ("CS", "SS", "DS", "ES", "FS", "GS"))
_TABLES = (x86.UC_X86_REG_GDTR, x86.UC_X86_REG_IDTR, x86.UC_X86_REG_TR)
_ESP, _EIP, _EFLAGS, _CR0, _CR3 = (_INDEX[name] for name in ("esp", "eip", "eflags", "cr0", "cr3"))


# Callbacks of Unicorn's, as its header declares them.  Its Python binding would put two calls of its own around each.
_READ = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_void_p)
_WRITE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_uint64, ctypes.c_void_p
)
_IN = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_void_p)
_OUT = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p
)


class _TableRegister(ctypes.Structure):
    """``uc_x86_mmr`` of Unicorn: GDTR, IDTR and TR."""

    _fields_ = (
        ("selector", ctypes.c_uint16),
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


def _check(status: int, wanted: str) -> None:
    if status != uc_const.UC_ERR_OK:
        raise RuntimeError(f"Unicorn refused {wanted} (error {status})")


def _address_of(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value


class Cpu:
    """One CPU.

    Parameters
    ----------
    memory, clock, bus
        The machine it runs in.
    tlb : Tlb
        Answers for every page that the CPU touches.
    block_clock : Path
        The shared library compiled from ``block_clock.c``.
    """

    def __init__(self, memory: PhysicalMemory, clock: Clock, bus: Bus, tlb: Tlb, block_clock: Path) -> None:
        self.memory, self.clock, self.bus, self.tlb = memory, clock, bus, tlb
        self.cr3_loads = 0
        self.exception: tuple[int, int | None] | None = None
        self.fault_address = 0
        self._failure: BaseException | None = None
        self._disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
        self._lengths: dict[bytes, int] = {}

        self._uc: Any = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        self._handle = self._uc._uch
        self._uc.mem_map_ptr(0, memory.size, uc_const.UC_PROT_ALL, memory.address)
        above = 0x100000000 - memory.size
        # Held as long as Unicorn may call them.
        self._devices = _READ(self._mmio_read), _WRITE(self._mmio_write), _IN(self._on_in), _OUT(self._on_out)
        read, write, _, _ = self._devices
        _check(
            uclib.uc_mmio_map(
                self._handle, ctypes.c_uint64(memory.size), ctypes.c_size_t(above), read, None, write, None
            ),
            "device registers",
        )
        self._uc.ctl_set_tlb_mode(uc_const.UC_TLB_VIRTUAL)
        self._uc.ctl_exits_enabled(True)
        self._uc.ctl_set_exits([])
        values = (ctypes.c_uint32 * len(REGISTERS))()
        base, step = ctypes.addressof(values), ctypes.sizeof(ctypes.c_uint32)
        self._values = memoryview(values).cast("B").cast("I")
        self._ids = (ctypes.c_int * len(_IDS))(*_IDS)
        self._pointers = (ctypes.c_void_p * len(_IDS))(*(base + step * i for i in range(len(_IDS))))
        self._begin, self._zero, self._no_count = ctypes.c_uint64(), ctypes.c_uint64(0), ctypes.c_size_t(0)
        self._table_register, self._selector = _TableRegister(), ctypes.c_uint32()
        # Bit n stands for register n: set since Unicorn was last told.
        self._changed = 0
        self._batches: dict[int, tuple[Any, Any, int]] = {}
        self._watched: dict[int, tuple[Any, Any]] = {}
        self._add_hooks(block_clock)
        self._clean = self._uc.context_save()
        self._read_registers()

    def _add_hooks(self, block_clock: Path) -> None:
        tlb = self.tlb.block
        tlb.read_registers = _address_of(uclib.uc_reg_read_batch)
        if not self.tlb.walks_in_c:
            tlb.walk = self._walk = WALK(self._walk_in_python)
        self._add_hook(uc_const.UC_HOOK_TLB_FILL, self.tlb.code.on_tlb_fill, ctypes.byref(tlb))
        library = ctypes.CDLL(str(block_clock))
        block = self.clock.block
        block.stop = _address_of(uclib.uc_emu_stop)
        block.read_register = _address_of(uclib.uc_reg_read)
        self._decode = DECODE(self._count_instructions)
        block.decode = self._decode
        self._add_hook(uc_const.UC_HOOK_BLOCK, library.on_block, ctypes.byref(block))
        self._uc.hook_add(uc_const.UC_HOOK_INTR, self._on_interrupt)
        self._uc.hook_add(uc_const.UC_HOOK_INSN_INVALID, self._on_invalid)
        _, _, on_in, on_out = self._devices
        self._add_hook(uc_const.UC_HOOK_INSN, on_in, None, 1, 0, x86.UC_X86_INS_IN)
        self._add_hook(uc_const.UC_HOOK_INSN, on_out, None, 1, 0, x86.UC_X86_INS_OUT)

    def _add_hook(
        self, kind: int, callback: Any, data: Any, begin: int = 1, end: int = 0, *instruction: int
    ) -> Any:
        hook = ctypes.c_size_t()
        _check(
            uclib.uc_hook_add(
                self._handle,
                ctypes.byref(hook),
                ctypes.c_int(kind),
                callback,
                data,
                ctypes.c_uint64(begin),
                ctypes.c_uint64(end),
                *map(ctypes.c_int, instruction),
            ),
            f"a hook of kind {kind}",
        )
        return hook

    # Callbacks run inside Unicorn, where an exception would be printed and lost: each keeps it, stops the
    # CPU, and run() raises it again.  Ctrl-C arrives the same way.

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        uclib.uc_emu_stop(self._handle)

    def _walk_in_python(self, address: int, write: int) -> int:
        try:
            return self.tlb.walk(address, bool(write))
        except PageFault as fault:
            self.tlb.block.fault_address, self.tlb.block.fault_code = fault.address, fault.error_code
        except BaseException as error:  # noqa: BLE001 - kept for run(), see above
            self._fail(error)
        return 0

    def _count_instructions(self, address: int, size: int) -> int:
        try:
            code = self._code(address, size)
            count = self._lengths.get(code)
            if count is None:
                count = sum(1 for _ in self._disassembler.disasm_lite(code, address)) or 1
                self._lengths[code] = count
            return count
        except BaseException as error:  # noqa: BLE001 - kept for run()
            self._fail(error)
            return 0

    def _code(self, address: int, size: int) -> bytes:
        """Return the bytes of code that the CPU has just fetched; their page is in the TLB."""
        parts = []
        while size > 0:
            take = min(size, 0x1000 - (address & 0xFFF))
            entry = self.tlb.entries[address >> PAGE_SHIFT]
            if not entry & P:
                # A write to the code's own page has just dropped its translation.
                entry = self._translate(address)
            parts.append(self.memory.read(entry & PAGE_MASK | address & 0xFFF, take))
            address, size = address + take & 0xFFFFFFFF, size - take
        return b"".join(parts)

    def _translate(self, address: int) -> int:
        """Walk without counting a miss, for a look that the CPU itself does not take."""
        try:
            return self.tlb.walk(address, False)
        except PageFault:
            return address & PAGE_MASK

    def _on_interrupt(self, _uc: Any, number: int, _data: Any) -> None:
        self.exception = (number, None)
        uclib.uc_emu_stop(self._handle)

    def _on_invalid(self, _uc: Any, _data: Any) -> bool:
        self.exception = (INVALID_OPCODE, None)
        uclib.uc_emu_stop(self._handle)
        return False

    def _on_in(self, _engine: int | None, port: int, size: int, _data: int | None) -> int:
        try:
            return self.bus.port_read(port, size)
        except BaseException as error:  # noqa: BLE001 - kept for run()
            self._fail(error)
            return 0

    def _on_out(self, _engine: int | None, port: int, size: int, value: int, _data: int | None) -> None:
        try:
            self.bus.port_write(port, size, value)
        except BaseException as error:  # noqa: BLE001 - kept for run()
            self._fail(error)

    def _mmio_read(self, _engine: int | None, offset: int, size: int, _data: int | None) -> int:
        try:
            return self.bus.mmio_read(self.memory.size + offset, size)
        except BaseException as error:  # noqa: BLE001 - kept for run()
            self._fail(error)
            return 0

    def _mmio_write(self, _engine: int | None, offset: int, size: int, value: int, _data: int | None) -> None:
        try:
            self.bus.mmio_write(self.memory.size + offset, size, value)
        except BaseException as error:  # noqa: BLE001 - kept for run()
            self._fail(error)

    def get(self, register: str) -> int:
        """Return a register of the stopped CPU, by Intel's name in lower case."""
        return self._values[_INDEX[register]]

    def set(self, register: str, value: int) -> None:
        """Write a register of the stopped CPU; Unicorn is told before it runs again."""
        index = _INDEX[register]
        self._values[index] = value & 0xFFFFFFFF
        self._changed |= 1 << index

    def registers(self) -> dict[str, int]:
        """Return every register this machine shows, by name."""
        return dict(zip(REGISTERS, self._values, strict=True))

    def _write_registers(self) -> None:
        """Tell Unicorn what was set, in one call: through ctypes one register costs as much as several."""
        batch = self._batches.get(self._changed)
        if batch is None:
            indices = [index for index in range(_COUNT) if self._changed >> index & 1]
            count = len(indices)
            ids = (ctypes.c_int * count)(*(self._ids[index] for index in indices))
            pointers = (ctypes.c_void_p * count)(*(self._pointers[index] for index in indices))
            batch = self._batches[self._changed] = (ids, pointers, count)
        self._changed = 0
        uclib.uc_reg_write_batch(self._handle, *batch)

    def _read_registers(self) -> None:
        uclib.uc_reg_read_batch(self._handle, self._ids, self._pointers, len(_IDS))

    def set_registers(self, values: dict[str, int]) -> None:
        """Write several general registers, EIP or EFLAGS; what stays the same costs nothing."""
        current = self._values
        for name, value in values.items():
            if current[_INDEX[name]] != value:
                self.set(name, value)

    def load_cr3(self, value: int) -> None:
        """``mov %cr3``: change the page directory and flush the TLB."""
        self.set("cr3", value)
        self.tlb.block.cr3 = value
        self.tlb.flush()
        self.cr3_loads += 1
        self.clock.block.now += CR3_LOAD_CYCLES

    def load_cr0(self, value: int) -> None:
        """``mov %cr0``: change protection and paging modes."""
        self.set("cr0", value | CR0_PE)
        self._write_registers()
        self._read_registers()
        self.tlb.load(self.cr3, self.cr0)

    def invlpg(self, address: int) -> None:
        """Drop one page's translation."""
        self.tlb.invalidate(address)
        self._forget_fills()

    def _forget_fills(self) -> None:
        """Flush Unicorn's own TLB; refills find the entries of ours, so no miss is counted."""
        self.set("cr3", self.cr3)

    def load_tables(self, gdt: tuple[int, int], idt: tuple[int, int]) -> None:
        """``lgdt`` and ``lidt``: linear base and limit in bytes of each table."""
        self._uc.reg_write(x86.UC_X86_REG_GDTR, (0, gdt[0], gdt[1], 0))
        self._uc.reg_write(x86.UC_X86_REG_IDTR, (0, idt[0], idt[1], 0))

    def load_segments(self, code: int, data: int) -> None:
        """Load CS with one selector and every data segment register with another."""
        for name in ("DS", "ES", "SS", "FS", "GS"):
            self._uc.reg_write(getattr(x86, f"UC_X86_REG_{name}"), data)
        self._uc.reg_write(x86.UC_X86_REG_CS, code)
        self._write_registers()
        self._clean = self._uc.context_save()

    def idt(self) -> tuple[int, int]:
        """Return the IDT's base and limit as IDTR holds them now."""
        return self._table(x86.UC_X86_REG_IDTR)

    def gdt(self) -> tuple[int, int]:
        """Return the GDT's base and limit as GDTR holds them now."""
        return self._table(x86.UC_X86_REG_GDTR)

    def _table(self, register: int) -> tuple[int, int]:
        # Every interrupt asks; Unicorn's own reg_read takes five times as long.
        uclib.uc_reg_read(self._handle, register, ctypes.byref(self._table_register))
        return self._table_register.base, self._table_register.limit

    def code_segment(self) -> int:
        """Return the selector in CS."""
        uclib.uc_reg_read(self._handle, x86.UC_X86_REG_CS, ctypes.byref(self._selector))
        return self._selector.value

    def task_register(self) -> int:
        """Return the selector in TR."""
        return int(self._uc.reg_read(x86.UC_X86_REG_TR)[0])

    def set_task_register(self, selector: int) -> None:
        """``ltr``: the TSS that a task switch saves into."""
        self._uc.reg_write(x86.UC_X86_REG_TR, (selector, 0, 0x67, 0x8B00))

    def run(self, eip: int, deadline: int) -> Stop:
        """Run from ``eip`` until ``hlt``, an exception, or the first block at or after ``deadline`` cycles.

        After ``Stop.EXCEPTION``, ``exception`` holds vector and error code and, for a page fault,
        ``fault_address`` the linear address; EIP is where the CPU would push it from.
        """
        if self.memory.code_written:
            self.flush_code()
        if self._changed:
            self._write_registers()
        block, tlb, values = self.clock.block, self.tlb.block, self._values
        limit = block.now + _SLICE
        self.clock.stop_at(deadline if deadline < limit else limit)
        block.last_size = 0
        self.exception = None
        tlb.fault_access = 0
        self._begin.value = eip
        status = uclib.uc_emu_start(self._handle, self._begin, self._zero, self._zero, self._no_count)
        uclib.uc_reg_read_batch(self._handle, self._ids, self._pointers, _COUNT)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if values[_CR3] != tlb.cr3 or values[_CR0] != tlb.cr0:
            self.tlb.load(values[_CR3], values[_CR0])
        if tlb.fault_access:
            self.exception = (PAGE_FAULT, tlb.fault_code)
        elif status == uc_const.UC_ERR_FETCH_PROT:
            # Code on a page beyond RAM: the bus answers with ones, and ff ff is no instruction.
            self.exception, status = (INVALID_OPCODE, None), uc_const.UC_ERR_OK
        if self.exception is not None:
            self._uncount_unexecuted(values[_EIP])
            if self.exception[0] == PAGE_FAULT:
                self._find_fault_address()
            else:
                self._forget_exception()
            return Stop.EXCEPTION
        if status != uc_const.UC_ERR_OK:
            raise RuntimeError(f"Unicorn stopped at {values[_EIP]:08x} with error {status}")
        return Stop.HLT if block.last_size else Stop.DEADLINE

    def _find_fault_address(self) -> None:
        """Make the faulting page, which is all that Unicorn tells, an exact address."""
        page, eip = self.tlb.block.fault_address & PAGE_MASK, self.eip
        if self.tlb.block.fault_access == uc_const.UC_MEM_FETCH:
            self.fault_address = eip if eip & PAGE_MASK == page else page
            return
        assert self.exception is not None
        write = bool((self.exception[1] or 0) & PF_WRITE)
        self.fault_address = fault_address(
            self._code(eip, _LONGEST_INSTRUCTION), self.registers(), page, write
        )

    def _forget_exception(self) -> None:
        """Clear Unicorn's note of the last exception; with it, the next #GP would come as a #DF.

        The note can only be cleared by restoring a context that lacks it, so everything else is put back.
        """
        values = self.registers()
        # Those of virtual-8086 mode mean nothing to a protected-mode CPU, and it leaves that mode for every exception.
        kept = () if self.eflags & EFLAGS_VM else _SEGMENTS
        segments = {register: self._uc.reg_read(register) for register in kept}
        tables = {register: self._uc.reg_read(register) for register in _TABLES}
        self._uc.context_restore(self._clean)
        for register, table in tables.items():
            self._uc.reg_write(register, table)
        for name, value in values.items():
            self.set(name, value)
        for register, selector in segments.items():
            if selector != self._uc.reg_read(register):
                self._uc.reg_write(register, selector)

    def leave_virtual_8086(self) -> None:
        """Go back to ring 0 and its flat segments, where an ``iret`` with EFLAGS.VM has led away from."""
        self._forget_exception()
        self.set("eflags", self.eflags & ~EFLAGS_VM)

    def _uncount_unexecuted(self, eip: int) -> None:
        """Take back the instructions of the last block from the faulting one on: they did not retire."""
        block = self.clock.block
        start, size = block.last_address, block.last_size
        if start <= eip < start + size:
            unexecuted = sum(
                1 for _ in self._disassembler.disasm_lite(self._code(eip, start + size - eip), eip)
            )
            block.now -= unexecuted
            block.instructions -= unexecuted

    @property
    def tlb_misses(self) -> int:
        """TLB misses since power-on."""
        return int(self.tlb.block.misses)

    @property
    def cr0(self) -> int:
        """CR0 at the last stop."""
        return self._values[_CR0]

    @property
    def cr3(self) -> int:
        """CR3 at the last stop."""
        return self._values[_CR3]

    @property
    def eip(self) -> int:
        """EIP at the last stop."""
        return self._values[_EIP]

    @property
    def esp(self) -> int:
        """ESP at the last stop."""
        return self._values[_ESP]

    @property
    def eflags(self) -> int:
        """EFLAGS at the last stop."""
        return self._values[_EFLAGS]

    def flush_code(self) -> None:
        """Forget translated code, after Python or a device wrote into it."""
        self._uc.ctl_flush_tb()
        ctypes.memset(self.clock.block.table, 0, ctypes.sizeof(self.clock.block.table))
        self.memory.code_frames[:] = bytes(len(self.memory.code_frames))
        self.memory.code_written = False
        # Frames are noted at fetch fills, so the fills must come again.
        self._forget_fills()

    @contextmanager
    def traced(self, start: int, end: int, seen: Callable[[int, int], object]) -> Iterator[None]:
        """See every block of machine code that begins in a range, within a ``with``.

        Parameters
        ----------
        start, end : int
            Linear addresses, half open.
        seen : callable (address, size)
            Called before each block runs; it must not touch the CPU.
        """

        def on_block(_uc: Any, address: int, size: int, _data: Any) -> None:
            try:
                seen(address, size)
            except BaseException as error:  # noqa: BLE001 - kept for run()
                self._fail(error)

        hook = self._uc.hook_add(uc_const.UC_HOOK_BLOCK, on_block, begin=start, end=end - 1)
        # A hook is not called from code that was translated before it was there.
        self.flush_code()
        try:
            yield
        finally:
            # Taking a hook away makes Unicorn look its code up, and ask our TLB with the CR3 that it knows.
            if self._changed:
                self._write_registers()
            self._uc.hook_del(hook)
            self.flush_code()

    def watch(self, address: int, callback: Any, data: Any) -> Any:
        """Have a C function called whenever the instruction at a linear address is about to run.

        Code that was translated before calls it only after :meth:`flush_code`.

        Parameters
        ----------
        callback : C function (engine, address, size, data)
            It must not touch the CPU; it may only take notes.

        Returns
        -------
        handle
            For :meth:`unwatch`.
        """
        handle = self._add_hook(uc_const.UC_HOOK_CODE, callback, data, address, address)
        # Unicorn knows only addresses: what they point to has to stay.
        self._watched[handle.value] = callback, data
        return handle

    def unwatch(self, *handles: Any) -> None:
        """Undo :meth:`watch`; the CPU must have stopped."""
        # As after a trace.
        if self._changed:
            self._write_registers()
        for handle in handles:
            uclib.uc_hook_del(self._handle, handle)
            self._watched.pop(handle.value, None)
        self.flush_code()

    def registers_in_hook(self) -> dict[str, int]:
        """Return every register of a CPU that runs, for a callback of :meth:`traced`."""
        values = (ctypes.c_uint32 * _COUNT)()
        base, step = ctypes.addressof(values), ctypes.sizeof(ctypes.c_uint32)
        pointers = (ctypes.c_void_p * _COUNT)(*(base + step * index for index in range(_COUNT)))
        uclib.uc_reg_read_batch(self._handle, self._ids, pointers, _COUNT)
        return dict(zip(REGISTERS, values, strict=True))

    def save(self) -> Any:
        """Return all registers, as Unicorn's own context."""
        self._write_registers()
        return self._uc.context_save(), self.tlb.save(), self.tlb_misses, self.cr3_loads

    def load(self, state: Any) -> None:
        """Take back a state from :meth:`save`."""
        context, entries, self.tlb.block.misses, self.cr3_loads = state
        self._uc.context_restore(context)
        self._changed = 0
        self._read_registers()
        self._forget_fills()
        self.tlb.load(self.cr3, self.cr0)
        self.tlb.restore(entries)

    def close(self) -> None:
        """Free the engine; it holds a gigabyte of address space until then."""
        # The binding offers no close; its finalizer is what the garbage collector would call, some day.
        self._uc._Uc__finalizer()
