"""Translation: our walker and TLB against Unicorn's own MMU, and what the TLB may keep."""

import ctypes
import struct
from collections.abc import Iterator

import pytest
import unicorn
from bare_pc import CODE, DIRECTORY, RAM, TABLE, make_pc, run, set_pte
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import x86_const as x86

from nooks_lab.machine.cpu import Stop
from nooks_lab.machine.machine import Machine
from nooks_lab.machine.paging import (
    CR0_PE,
    CR0_PG,
    CR0_WP,
    PF_PRESENT,
    PF_WRITE,
    RW,
    A,
    D,
    P,
    PageFault,
    PageWalker,
)

LOAD, STORE = b"\x8b\x03", b"\x89\x0b"  # mov (%ebx),%eax; mov %ecx,(%ebx)
PUSHA = "60"
SECOND_TABLE = 0x6000
WINDOW = 0x400000


@pytest.fixture
def pc() -> Iterator[Machine]:
    with make_pc() as machine:
        yield machine


class Mmu:
    """Unicorn with the MMU it emulates itself, on RAM of its own."""

    def __init__(self) -> None:
        self.ram = ctypes.create_string_buffer(RAM)
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        self.uc.mem_map_ptr(0, RAM, unicorn.UC_PROT_ALL, ctypes.addressof(self.ram))
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        self.clean = self.uc.context_save()

    def _on_exception(self, uc: unicorn.Uc, number: int, _data: object) -> None:
        assert number == 14
        self.faulted = True
        uc.emu_stop()

    def run(self, ram: bytes, code: bytes, cr0: int, **registers: int) -> int | None:
        """Return CR2 when the code faults."""
        self.faulted = False
        ctypes.memmove(self.ram, ram, RAM)
        self.uc.ctl_flush_tb()
        # With the last exception still noted, the next page fault would come as a double fault.
        self.uc.context_restore(self.clean)
        self.uc.reg_write(x86.UC_X86_REG_CR0, CR0_PE)
        self.uc.reg_write(x86.UC_X86_REG_CR3, DIRECTORY)
        self.uc.reg_write(x86.UC_X86_REG_CR0, cr0)
        for name, value in registers.items():
            self.uc.reg_write(getattr(x86, f"UC_X86_REG_{name.upper()}"), value)
        self.uc.emu_start(CODE, CODE + len(code))
        return self.uc.reg_read(x86.UC_X86_REG_CR2) if self.faulted else None


@pytest.fixture(scope="module")
def mmu() -> Mmu:
    return Mmu()


@pytest.fixture(scope="module")
def shared() -> Iterator[Machine]:
    with make_pc() as machine:
        machine.fresh = bytes(machine.memory.bytes)
        yield machine


# Rights only: where the page lies is drawn apart, so that frames overlap neither code nor tables.
_entries = st.tuples(
    st.sampled_from([0, P, P | RW, P | RW | A, P | A, RW, P | RW | A | D]), st.integers(0x40, 0x60)
)


@settings(max_examples=150)
@given(
    directory_rights=st.sampled_from([0, P, P | RW, P | RW | A, RW]),
    table=st.lists(_entries, min_size=4, max_size=4),
    offset=st.one_of(st.integers(0, 0x3FFB), st.sampled_from([0xFFC, 0xFFE, 0x1FFD, 0x2FFF])),
    write=st.booleans(),
    protect=st.booleans(),
)
def test_an_access_translates_and_faults_as_in_unicorns_own_mmu(
    shared: Machine,
    mmu: Mmu,
    directory_rights: int,
    table: list[tuple[int, int]],
    offset: int,
    write: bool,
    protect: bool,
) -> None:
    machine = shared
    code = STORE if write else LOAD
    cr0 = CR0_PE | CR0_PG | (CR0_WP if protect else 0)
    machine.memory.write(0, machine.fresh)
    machine.memory.words[(DIRECTORY >> 2) + (WINDOW >> 22)] = SECOND_TABLE | directory_rights
    machine.memory.write(SECOND_TABLE, struct.pack("<4I", *(frame << 12 | rights for rights, frame in table)))
    for frame in range(0x40, 0x61):
        machine.memory.write(frame << 12, struct.pack("<I", frame) * 1024)
    machine.memory.write(CODE, code + b"\xf4")
    before = bytes(machine.memory.bytes)
    registers = {"ebx": WINDOW + offset, "ecx": 0x12345678, "eax": 0}
    theirs = mmu.run(before, code, cr0, **registers)

    machine.cpu.load_cr0(cr0)
    machine.cpu.load_cr3(DIRECTORY)
    machine.cpu.set_registers(registers)
    stop = machine.cpu.run(CODE, machine.clock.now + 1000)

    if theirs is None:
        assert stop is Stop.HLT
        assert bytes(machine.memory.bytes) == mmu.ram.raw
        assert machine.cpu.get("eax") == mmu.uc.reg_read(x86.UC_X86_REG_EAX)
    else:
        assert stop is Stop.EXCEPTION
        assert machine.cpu.fault_address == theirs
        with pytest.raises(PageFault) as fault:
            PageWalker().walk(memoryview(before).cast("I"), DIRECTORY, cr0, theirs, write)
        assert machine.cpu.exception == (14, fault.value.error_code)


@pytest.mark.parametrize(("code", "bits"), [(LOAD, A), (STORE, A | D)], ids=["load", "store"])
def test_the_cpu_sets_accessed_and_dirty_bits(pc: Machine, code: bytes, bits: int) -> None:
    set_pte(pc, 0x50000, 0x50000 | P | RW)
    run(pc, code, ebx=0x50010)
    assert pc.memory.words[(TABLE >> 2) + 0x50] == 0x50000 | P | RW | bits


def test_a_store_after_a_load_sets_the_dirty_bit(pc: Machine) -> None:
    set_pte(pc, 0x50000, 0x50000 | P | RW)
    run(pc, LOAD + STORE, ebx=0x50010)
    assert pc.memory.words[(TABLE >> 2) + 0x50] & D


def test_a_store_to_a_read_only_page_lands_only_with_write_protection_off(pc: Machine) -> None:
    set_pte(pc, 0x50000, 0x50000 | P)
    run(pc, STORE, ebx=0x50010, ecx=7)
    assert pc.cpu.get("cr2") == 0x50010
    assert pc.memory.words[0x50010 >> 2] == 0
    pc.cpu.set("esp", 0x20000)
    pc.cpu.load_cr0(CR0_PG)
    run(pc, STORE, ebx=0x50010, ecx=7)
    assert pc.memory.words[0x50010 >> 2] == 7


@pytest.mark.parametrize(
    ("rights", "write", "error"),
    [(0, False, 0), (0, True, PF_WRITE), (P, True, PF_PRESENT | PF_WRITE)],
    ids=["load of nothing", "store to nothing", "store to read-only"],
)
def test_the_error_code_says_what_was_wrong(pc: Machine, rights: int, write: bool, error: int) -> None:
    set_pte(pc, 0x50000, 0x50000 | rights)
    run(pc, STORE if write else LOAD, ebx=0x50010)
    assert pc.linear.u32(pc.cpu.esp) == error


def test_a_stale_entry_lives_until_invlpg(pc: Machine) -> None:
    pc.memory.words[0x50010 >> 2], pc.memory.words[0x51010 >> 2] = 50, 51
    run(pc, LOAD, ebx=0x50010)
    set_pte(pc, 0x50000, 0x51000 | P | RW)
    run(pc, LOAD, ebx=0x50010)
    assert (pc.cpu.get("eax"), pc.linear.u32(0x50010)) == (50, 50)
    pc.cpu.invlpg(0x50000)
    run(pc, LOAD, ebx=0x50010)
    assert (pc.cpu.get("eax"), pc.linear.u32(0x50010)) == (51, 51)


def test_the_guests_own_mov_to_cr3_flushes(pc: Machine) -> None:
    pc.memory.words[0x50010 >> 2], pc.memory.words[0x51010 >> 2] = 50, 51
    run(pc, LOAD, ebx=0x50010)
    set_pte(pc, 0x50000, 0x51000 | P | RW)
    other = 0x7000
    pc.memory.words[other >> 2] = TABLE | P | RW
    misses = pc.cpu.tlb_misses
    run(pc, b"\x0f\x22\xda" + LOAD, ebx=0x50010, edx=other)  # mov %edx,%cr3
    assert pc.cpu.get("eax") == 51
    assert pc.cpu.get("cr3") == other
    assert pc.cpu.tlb_misses > misses


def test_a_page_misses_once_after_each_flush(pc: Machine) -> None:
    run(pc, b"\x90")
    misses = pc.cpu.tlb_misses
    run(pc, LOAD * 20, ebx=0x50010)
    assert pc.cpu.tlb_misses == misses + 1
    run(pc, LOAD * 20, ebx=0x50010)
    pc.linear.u32(0x50FF0)
    assert pc.cpu.tlb_misses == misses + 1
    pc.cpu.load_cr3(DIRECTORY)
    run(pc, LOAD, ebx=0x50010)
    assert pc.cpu.tlb_misses == misses + 3  # code and data


def touch_pages() -> dict[str, int]:
    # Stores to 600 pages, more than Unicorn's own TLB holds, twice over.
    loop = bytes.fromhex("bf00001000b958020000890f81c70010000049 75f5".replace(" ", ""))
    with make_pc() as machine:
        for _ in range(2):
            run(machine, loop, limit=100_000)
        return machine.counters() | machine.cpu.registers()


def test_two_identical_runs_count_the_same() -> None:
    first = touch_pages()
    assert first["tlb_misses"] == 601
    assert touch_pages() == first


# Each case: code, registers, CR2.  Page 50 is not mapped.
@pytest.mark.parametrize(
    ("code", "registers", "address"),
    [
        ("8b03", {"ebx": 0x50123}, 0x50123),
        ("8b449bfc", {"ebx": 0x10008, "eax": 0}, 0x50024),
        ("8803", {"ebx": 0x50FFF}, 0x50FFF),
        ("8903", {"ebx": 0x4FFFE}, 0x50000),
        ("8b03", {"ebx": 0x50FFE}, 0x50FFE),
        ("50", {"esp": 0x50124}, 0x50120),
        ("50", {"esp": 0x51002}, 0x50FFE),
        ("6650", {"esp": 0x50124}, 0x50122),
        ("58", {"esp": 0x50124}, 0x50124),
        ("e800000000", {"esp": 0x50124}, 0x50120),
        ("c3", {"esp": 0x50124}, 0x50124),
        ("c9", {"ebp": 0x50124}, 0x50124),
        (PUSHA, {"esp": 0x51008}, 0x50FFC),
        ("61", {"esp": 0x4FFF8}, 0x50000),
        ("f3a4", {"esi": 0x4FFF0, "edi": 0x30000, "ecx": 100}, 0x50000),
        ("a5", {"esi": 0x30000, "edi": 0x50404}, 0x50404),
        ("f3aa", {"edi": 0x4FFF0, "ecx": 100}, 0x50000),
        ("fdf3ab", {"edi": 0x51000, "ecx": 100}, 0x50FFC),
        ("ff33", {"ebx": 0x50123}, 0x50123),
        ("ff30", {"eax": 0x30000, "esp": 0x50010}, 0x5000C),
        ("8f03", {"ebx": 0x50123}, 0x50123),
        ("ff13", {"ebx": 0x50321}, 0x50321),
        ("ffe3", {"ebx": 0x50321}, 0x50321),
        ("0103", {"ebx": 0x50321}, 0x50321),
        ("0fab03", {"ebx": 0x4FF00, "eax": 0x1000}, 0x50100),
        ("0fab03", {"ebx": 0x51000, "eax": 0xFFFFFFFF}, 0x50FFC),
        ("f00fb10b", {"ebx": 0x50321}, 0x50321),
        ("678b07", {"ebx": 0x50321}, None),
    ],
)
def test_cr2_holds_the_exact_address(
    pc: Machine, mmu: Mmu, code: str, registers: dict[str, int], address: int | None
) -> None:
    set_pte(pc, 0x50000, 0)
    text = bytes.fromhex(code)
    pc.memory.write(CODE, text + b"\xf4")
    start = {
        "eax": 0,
        "ecx": 0,
        "ebx": 0,
        "esp": 0x20000,
        "ebp": 0,
        "esi": 0x30000,
        "edi": 0x30000,
        "eflags": 2,
    }
    theirs = mmu.run(bytes(pc.memory.bytes), text, CR0_PE | CR0_PG | CR0_WP, **(start | registers))
    if code != PUSHA:  # Unicorn writes its eight words lowest first
        assert theirs == address
    pc.cpu.set_registers(start | registers)
    stop = pc.cpu.run(CODE, pc.clock.now + 1000)
    assert (pc.cpu.fault_address if stop is Stop.EXCEPTION else None) == address


def test_a_fetch_that_runs_into_an_unmapped_page_reports_its_first_byte(pc: Machine) -> None:
    set_pte(pc, 0x50000, 0)
    pc.memory.write(0x4FFFE, b"\xb8\x01")
    pc.cpu.run(0x4FFFE, pc.clock.now + 1000)
    assert (pc.cpu.fault_address, pc.cpu.eip) == (0x50000, 0x4FFFE)
