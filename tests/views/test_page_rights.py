import struct

import pytest

import nooks_lab as nl
from nooks_lab.machine.paging import PS, RW, P
from nooks_lab.views import page_rights
from nooks_lab.views.page_rights import Region, Rights

DIRECTORY, TABLE = 0x1000, 0x2000
ADDRESS = 0xC0403000


def memory(pde: int, pte: int) -> bytes:
    made = bytearray(0x3000)
    struct.pack_into("<I", made, DIRECTORY + 4 * (ADDRESS >> 22), pde)
    struct.pack_into("<I", made, TABLE + 4 * (ADDRESS >> 12 & 0x3FF), pte)
    return bytes(made)


@pytest.mark.parametrize(
    ("pde", "pte", "expected"),
    [
        (0, 0x5000 | P | RW, Rights.NOT_MAPPED),
        (TABLE | P | RW, 0x5000 | RW, Rights.NOT_MAPPED),
        (TABLE | P | RW, 0x5000 | P, Rights.READ_ONLY),
        (TABLE | P, 0x5000 | P | RW, Rights.READ_ONLY),
        (TABLE | P | RW, 0x5000 | P | RW, Rights.WRITABLE),
        (0x40000000 | P | RW, 0, Rights.NOT_MAPPED),
    ],
)
def test_a_page_has_the_rights_of_both_entries(pde, pte, expected):
    assert page_rights.rights(memory(pde, pte), DIRECTORY, ADDRESS) is expected


def test_the_page_size_bit_means_nothing_while_cr4_pse_is_clear():
    assert page_rights.rights(memory(TABLE | P | RW | PS, 0), DIRECTORY, ADDRESS) is Rights.NOT_MAPPED


def test_a_region_has_a_cell_for_every_page():
    region = Region("three", ADDRESS - 0x1000, ADDRESS + 0x2000)
    cells = page_rights.region_rights(memory(TABLE | P | RW, 0x5000 | P), DIRECTORY, region)
    assert list(cells) == [Rights.NOT_MAPPED, Rights.READ_ONLY, Rights.NOT_MAPPED]


@pytest.fixture(scope="module")
def lab():
    with nl.boot() as booted:
        booted.insmod("e1000")
        yield booted


def test_the_map_agrees_with_the_kernels_own_account(lab):
    directory = lab.kernel.page_table.directory
    table = page_rights.page_rights(lab, "kernel", directory)
    shown = {
        region.start + 4096 * page: cell
        for region, cells in zip(table.regions, table.cells, strict=True)
        for page, cell in enumerate(cells)
        if cell
    }
    mapped = {at: entry for at, entry in lab.kernel.page_table.mapped().items() if at < table.regions[-1].end}
    assert shown == {at: Rights.WRITABLE if entry & RW else Rights.READ_ONLY for at, entry in mapped.items()}


def test_reading_a_table_leaves_the_machine_alone(lab):
    before, misses = bytes(lab.machine.memory.bytes), lab.machine.tlb.save()
    page_rights.page_rights(lab, "kernel", lab.kernel.page_table.directory)
    assert bytes(lab.machine.memory.bytes) == before
    assert lab.machine.tlb.save() == misses
