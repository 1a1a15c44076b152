"""The TLB's two sides, C for the CPU and Python for the kernel: they must not differ in anything."""

import ctypes
from collections.abc import Iterator

import pytest
from bare_pc import CODE, STACK, make_pc, run, set_pte
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import unicorn_const as uc_const

from nooks_lab.machine.clock import Clock
from nooks_lab.machine.machine import TLB_SOURCE, Machine
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from nooks_lab.machine.paging import CR0_PE, CR0_PG, CR0_WP, RW, A, D, P, PageFault, PageWalker
from nooks_lab.machine.tlb import Tlb
from nooks_lab.toolchain import compiler

FRAMES = 6
LOAD, STORE = b"\x8b\x03", b"\x89\x0b"  # mov (%ebx),%eax; mov %ecx,(%ebx)

READ_REGISTERS = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.POINTER(ctypes.c_uint32)),
    ctypes.c_int,
)


class Answer(ctypes.Structure):
    _fields_ = (("paddr", ctypes.c_uint64), ("perms", ctypes.c_int))


class Side:
    """RAM, control registers and a TLB, asked by Python or as Unicorn asks it."""

    def __init__(self, words: list[int], in_c: bool) -> None:
        self.memory = PhysicalMemory(FRAMES * PAGE_SIZE)
        for index, word in enumerate(words):
            self.set_word(index, word)
        self.clock = Clock()
        self.tlb = Tlb(self.memory, self.clock, PageWalker(), compiler.compile_host_library(TLB_SOURCE))
        self.control = (0, CR0_PE)
        self.callback = READ_REGISTERS(self._read_registers)
        self.tlb.block.read_registers = ctypes.cast(self.callback, ctypes.c_void_p).value
        self.ask = self._ask_c if in_c else self._ask_python

    def _read_registers(self, _engine: object, _ids: object, values: object, _count: int) -> int:
        values[0][0], values[1][0] = self.control
        return 0

    def set_word(self, index: int, word: int) -> None:
        """Set one of the first eight words of a frame, or one of its last eight."""
        frame, place = divmod(index, 16)
        self.memory.words[frame * 1024 + (place if place < 8 else 1024 - 16 + place)] = word

    def _ask_c(self, address: int, access: int) -> object:
        answer = Answer()
        fill = self.tlb.code.on_tlb_fill
        fill.restype = ctypes.c_bool
        block = ctypes.byref(self.tlb.block)
        if fill(None, ctypes.c_uint64(address), access, ctypes.byref(answer), block):
            return answer.paddr, answer.perms
        assert self.tlb.block.fault_access == access
        return "fault", self.tlb.block.fault_address, self.tlb.block.fault_code

    def _ask_python(self, address: int, access: int) -> object:
        self.tlb.load(*self.control)
        try:
            entry = self.tlb.lookup(address, access == uc_const.UC_MEM_WRITE)
        except PageFault as fault:
            return "fault", fault.address, fault.error_code
        if access == uc_const.UC_MEM_FETCH and entry >> PAGE_SHIFT < FRAMES:
            self.memory.code_frames[entry >> PAGE_SHIFT] = 1
        writable = entry & D and (entry & RW or not self.control[1] & CR0_WP)
        perms = uc_const.UC_PROT_ALL if writable else uc_const.UC_PROT_READ | uc_const.UC_PROT_EXEC
        return entry & PAGE_MASK, perms

    def state(self) -> object:
        tlb = self.tlb
        block = tlb.block
        return (
            tlb.save(),
            (block.misses, self.clock.now, block.cr3, block.cr0),
            bytes(self.memory.code_frames),
            bytes(self.memory.bytes),
        )

    def close(self) -> None:
        self.tlb.close()
        self.memory.close()


# Most entries are present and name frames that are there; some name one beyond the end of RAM.
_frames = st.sampled_from([*range(FRAMES), *range(FRAMES), *range(FRAMES), FRAMES, 0x7FFFF, 0xFFFFF])
_bits = st.one_of(st.sampled_from([P, P | RW, P | RW | A, P | A, P | RW | A | D]), st.integers(0, 0xFFF))
_words = st.builds(lambda frame, bits: frame << 12 | bits, _frames, _bits)
_slots = st.sampled_from([*range(8), *range(1016, 1024)])
_addresses = st.builds(
    lambda table, page, offset: table << 22 | page << 12 | offset, _slots, _slots, st.integers(0, 0xFFF)
)
_accesses = st.sampled_from([uc_const.UC_MEM_READ, uc_const.UC_MEM_WRITE, uc_const.UC_MEM_FETCH])
_control = st.tuples(
    st.builds(lambda frame, bits: frame << 12 | bits, _frames, st.integers(0, 0xFFF)),
    st.sampled_from([CR0_PE | CR0_PG, CR0_PE | CR0_PG | CR0_WP, CR0_PE | CR0_PG | CR0_WP | 8, CR0_PE]),
)
_ram = st.lists(_words, min_size=16 * FRAMES, max_size=16 * FRAMES)


@settings(max_examples=300)
@given(words=_ram, control=_control, address=_addresses, access=_accesses)
def test_the_walk_in_c_is_that_of_the_page_walker(
    words: list[int], control: tuple[int, int], address: int, access: int
) -> None:
    side = Side(words, in_c=True)
    cr3, cr0 = side.control = control[0], control[1] | CR0_PG
    ram = bytearray(side.memory.bytes)
    expected: object
    try:
        write = access == uc_const.UC_MEM_WRITE
        expected = {
            address >> PAGE_SHIFT: PageWalker().walk(memoryview(ram).cast("I"), cr3, cr0, address, write)
        }
    except PageFault as fault:
        expected = "fault", fault.address, fault.error_code
    answer = side.ask(address, access)
    assert (side.tlb.save() or answer) == expected
    assert bytes(side.memory.bytes) == ram
    side.close()


# Few pages, so that they are met again.
_few = st.builds(lambda table, page: table << 22 | page << 12, *2 * [st.sampled_from([0, 1, 1023])])
_steps = st.one_of(
    st.tuples(st.just("ask"), _few, _accesses),
    st.tuples(st.just("ask"), _few, _accesses),
    st.tuples(st.just("set_word"), st.integers(0, 16 * FRAMES - 1), _words),
    st.tuples(st.just("control"), _control),
    st.tuples(st.just("invalidate"), _few),
    st.tuples(st.just("flush")),
)


@settings(max_examples=300)
@given(words=_ram, control=_control, steps=st.lists(_steps, max_size=40))
def test_c_and_python_keep_the_same_tlb(
    words: list[int], control: tuple[int, int], steps: list[tuple[str, object]]
) -> None:
    sides = [Side(words, in_c) for in_c in (False, True)]
    for side in sides:
        side.control = control
    for name, *arguments in steps:
        if name == "control":
            for side in sides:
                (side.control,) = arguments
        else:
            owners = sides if name in ("ask", "set_word") else [side.tlb for side in sides]
            python, c = [getattr(owner, name)(*arguments) for owner in owners]
            assert python == c
    # A change of the control registers is seen at the next access.
    assert sides[0].ask(0, uc_const.UC_MEM_READ) == sides[1].ask(0, uc_const.UC_MEM_READ)
    assert sides[0].state() == sides[1].state()
    for side in sides:
        side.close()


@pytest.fixture
def pc() -> Iterator[Machine]:
    with make_pc() as machine:
        yield machine


def test_a_page_dropped_and_touched_again_and_again_takes_one_place(pc: Machine) -> None:
    run(pc, LOAD, ebx=0x50010)
    places = pc.tlb.block.touched_count
    for _ in range(50):
        pc.cpu.invlpg(0x50000)
        run(pc, LOAD, ebx=0x50010)
        pc.tlb.invalidate(0x50000)
        pc.linear.u32(0x50010)
    assert pc.tlb.block.touched_count == places


def test_a_flush_leaves_nothing(pc: Machine) -> None:
    run(pc, LOAD + STORE, ebx=0x50010)
    pc.linear.u32(0x51000)
    pc.tlb.invalidate(0x50000)
    pc.tlb.flush()
    assert not any(pc.tlb.entries)


@pytest.mark.parametrize(
    ("cr3", "changed", "kept"),
    [(0, 0, True), (0, 8, True), (0x1000, 0, False), (0, CR0_WP, False), (0, CR0_PG, False)],
    ids=["nothing", "CR0.TS", "CR3", "CR0.WP", "CR0.PG"],
)
def test_what_a_change_of_control_registers_flushes(pc: Machine, cr3: int, changed: int, kept: bool) -> None:
    run(pc, LOAD, ebx=0x50010)
    pc.tlb.load(pc.cpu.cr3 ^ cr3, pc.cpu.cr0 ^ changed)
    assert bool(pc.tlb.save()) == kept


def test_a_snapshot_keeps_the_entries_exactly(pc: Machine) -> None:
    run(pc, LOAD + STORE, ebx=0x50010)
    pc.linear.u32(0x52000)
    pc.cpu.invlpg(0x52000)
    kept, snapshot = pc.tlb.save(), pc.save()
    assert set(kept) >= {CODE >> 12, 0x50}
    assert 0x52 not in kept
    run(pc, LOAD, ebx=0x53000)
    pc.cpu.invlpg(0x50000)
    pc.load(snapshot)
    assert pc.tlb.save() == kept


class Own(PageWalker):
    """A student's walk: anything but the built-in one is asked through Python."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []

    def walk(self, words: memoryview, cr3: int, cr0: int, address: int, write: bool) -> int:
        self.asked.append((address, write))
        return super().walk(words, cr3, cr0, address, write)


def test_a_walk_of_ones_own_is_asked_and_counts_the_same(pc: Machine) -> None:
    own = Own()
    with make_pc(own) as machine:
        for each in (pc, machine):
            set_pte(each, 0x50000, 0x50000 | P | RW)
            set_pte(each, 0x51000, 0)
            run(each, LOAD + STORE, ebx=0x50010)
            run(each, STORE, ebx=0x51010, esp=STACK)
            assert each.cpu.get("cr2") == 0x51010
        asked = [(address & PAGE_MASK, write) for address, write in own.asked]
        assert {(0x50000, False), (0x50000, True)} <= set(asked)
        assert machine.counters() == pc.counters()
        assert machine.tlb.save() == pc.tlb.save()
        assert bytes(machine.memory.bytes) == bytes(pc.memory.bytes)


def test_a_walk_that_fails_is_heard_outside() -> None:
    class Failing(PageWalker):
        def walk(self, words: memoryview, cr3: int, cr0: int, address: int, write: bool) -> int:
            if address & PAGE_MASK == 0x50000:
                raise LookupError("no idea")
            return super().walk(words, cr3, cr0, address, write)

    with make_pc(Failing()) as machine:
        with pytest.raises(LookupError, match="no idea"):
            run(machine, LOAD, ebx=0x50010)
        run(machine, LOAD, ebx=0x51010)


def test_code_near_the_end_of_the_address_space_faults_there(pc: Machine) -> None:
    pc.memory.words[0x1FFC >> 2] = 0x6000 | P | RW
    pc.memory.words[0x6FFC >> 2] = 0x50000 | P | RW
    pc.memory.write(0x50FFE, LOAD)
    set_pte(pc, 0x52000, 0)
    pc.cpu.set_registers({"ebx": 0x52010})
    pc.cpu.run(0xFFFFFFFE, pc.clock.now + 1000)
    assert (pc.cpu.fault_address, pc.cpu.eip) == (0x52010, 0xFFFFFFFE)
