"""The module loader: what it refuses, in one sentence, leaving the kernel as it was."""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.kernel import Hang, Panic, TaskDied, TripleFault
from nooks_lab.kernel.modules import ModuleError
from nooks_lab.lab import Lab
from nooks_lab.toolchain import compiler
from nooks_lab.toolchain.elf import ElfError, ObjectFile, read_object

GOOD = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/init.h>
static int answer = 42;
MODULE_PARM(answer, "i");
static char *name;
MODULE_PARM(name, "s");
int init_module(void) { printk("answer %d\\n", answer); return 0; }
void cleanup_module(void) { printk("gone\\n"); }
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot() as booted:
        # The first load brings the page table that stays.
        booted.insmod(extensions.build("first.c", GOOD))
        booted.kernel.rmmod("first")
        yield booted


def state(lab: Lab) -> tuple[object, ...]:
    kernel = lab.kernel
    return (
        kernel.pages.nr_free_pages,
        kernel.slab.active(),
        len(kernel.vmalloc.areas()),
        set(kernel.modules.loaded),
        kernel.memory.u32(kernel.variable("module_list")),
    )


@pytest.fixture
def unchanged(lab: Lab) -> Iterator[Lab]:
    """The kernel must be as before, and the good driver must load."""
    before = state(lab)
    yield lab
    assert state(lab) == before
    lab.insmod("e1000")
    lab.kernel.rmmod("e1000")
    assert state(lab) == before


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    return text


def test_a_module_runs_its_init_and_its_cleanup(unchanged: Lab) -> None:
    module = unchanged.insmod(extensions.build("good.c", GOOD), {"answer": -7})
    assert module.init_result == 0
    assert "answer -7" in unchanged.dmesg()
    unchanged.kernel.rmmod("good")
    assert unchanged.dmesg().endswith("gone\n")


@pytest.mark.parametrize(
    ("source", "parameters", "sentence"),
    [
        ("int init_module(void) { return absent(); }", {}, "module bad: undefined symbol absent"),
        ("int start(void) { return 0; }", {}, "module bad has no init_module"),
        ('__asm__(".globl init_module\\ninit_module = 5");', {}, "module bad has no init_module"),
        ("int init_module(void) { return -19; }", {}, "module bad: init_module returned error 19"),
        ("int init_module(void) { return 3; }", {}, "module bad: init_module returned error -3"),
        (GOOD, {"question": 1}, "module bad has no parameter question"),
        (GOOD, {"name": 1}, "module bad: parameter name is not an integer"),
        ("char big[64 << 20]; int init_module(void) { return big[5]; }", {}, "bad.o"),
    ],
    ids=["undefined", "no init", "init nowhere", "ENODEV", "positive", "parameter", "string", "too large"],
)
def test_a_bad_module_is_refused_by_name(
    unchanged: Lab, source: str, parameters: dict[str, int], sentence: str
) -> None:
    text = source if "#include" in source else f"int absent(void);\n{source}\n"
    obj = extensions.build("bad.c", text)
    with pytest.raises((ModuleError, ElfError)) as error:
        unchanged.insmod(obj, parameters)
    assert sentence in one_sentence(error.value)


def test_a_module_for_which_there_is_no_memory_is_refused(unchanged: Lab) -> None:
    pages = unchanged.kernel.pages
    taken = []
    while page := pages.alloc(0):
        taken.append(page)
    with pytest.raises(ModuleError, match=r"^no memory for module good \(\d+ bytes\)$"):
        unchanged.insmod(extensions.build("good.c", GOOD))
    for page in taken:
        pages.free(page, 0)


def test_a_module_that_is_loaded_already_is_refused(unchanged: Lab) -> None:
    good = extensions.build("good.c", GOOD)
    unchanged.insmod(good)
    with pytest.raises(ModuleError, match=r"^module good is already loaded$"):
        unchanged.insmod(good)
    unchanged.kernel.rmmod("good")


def test_an_unknown_module_cannot_be_unloaded(unchanged: Lab) -> None:
    with pytest.raises(ModuleError, match=r"^module ghost is not loaded$"):
        unchanged.kernel.rmmod("ghost")


def test_a_module_in_use_stays(unchanged: Lab) -> None:
    module = unchanged.insmod(extensions.build("good.c", GOOD))
    unchanged.kernel.modules.mod_inc_use_count(module.struct.address)
    with pytest.raises(ModuleError, match=r"^module good is in use$"):
        unchanged.kernel.rmmod("good")
    unchanged.kernel.modules.mod_dec_use_count(module.struct.address)
    unchanged.kernel.rmmod("good")


def test_an_unknown_extension_is_named_with_those_there_are(unchanged: Lab) -> None:
    with pytest.raises(LookupError, match=r"unknown extension 'e999'; there are: .*e1000"):
        unchanged.insmod("e999")


@pytest.fixture(scope="module")
def e1000_bytes() -> bytes:
    compiled = compiler.compile_c(
        extensions.source("e1000"), include=(compiler.headers_dir(),), defines=extensions.DEFINES
    )
    return compiled.data


def _other_machine(data: bytearray) -> None:
    struct.pack_into("<H", data, 18, 62)


def _truncated(data: bytearray) -> None:
    del data[len(data) // 2 :]


def _empty(data: bytearray) -> None:
    data.clear()


def _no_magic(data: bytearray) -> None:
    data[0] = 0


def _executable(data: bytearray) -> None:
    struct.pack_into("<H", data, 16, 2)


def _wild_sections(data: bytearray) -> None:
    struct.pack_into("<I", data, 32, 0xFFFFFF00)


@pytest.mark.parametrize(
    "spoil", [_other_machine, _truncated, _empty, _no_magic, _executable, _wild_sections]
)
def test_what_is_no_object_for_this_machine_is_refused(
    unchanged: Lab, e1000_bytes: bytes, spoil: Callable[[bytearray], None]
) -> None:
    data = bytearray(e1000_bytes)
    spoil(data)
    with pytest.raises(ElfError) as error:
        unchanged.insmod(read_object(bytes(data), "e1000.o"))
    assert "e1000.o" in one_sentence(error.value)


GUEST_EVENTS = (Panic, Hang, TripleFault, TaskDied, ModuleError, ElfError)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=12))
def test_a_mutated_driver_ends_in_a_declared_event(
    e1000_bytes: bytes, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(e1000_bytes)
    for place, change in changes:
        data[int(place * len(data))] ^= change
    load_and_open(lambda: read_object(bytes(data), "e1000.o"))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4))
def test_a_driver_with_mutated_code_ends_in_a_declared_event(
    e1000_bytes: bytes, changes: list[tuple[float, int]]
) -> None:
    obj = read_object(e1000_bytes, "e1000.o")
    text = next(section for section in obj.sections if section.name == ".text")
    at = e1000_bytes.index(text.data)
    data = bytearray(e1000_bytes)
    for place, change in changes:
        data[at + int(place * text.size)] ^= change
    load_and_open(lambda: read_object(bytes(data), "e1000.o"))


def load_and_open(make: Callable[[], ObjectFile]) -> None:
    with nl.boot() as lab, suppress(*GUEST_EVENTS):
        lab.insmod(make())
        if lab.kernel.net.by_name("eth0") is not None:
            lab.kernel.ifconfig_up("eth0")
            lab.run(0.03)
