"""Modules on modules: what one exports another uses, and nobody takes it away from under a user."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.kernel import TaskDied
from nooks_lab.kernel.module import Module, ModuleInfo
from nooks_lab.kernel.modules import ModuleError
from nooks_lab.lab import Lab
from nooks_lab.toolchain.elf import ObjectFile

HEADERS = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/init.h>
"""

BASE = """
int base_calls;
int base_add(int a, int b) { base_calls++; return a + b; }
int base_secret(void) { return 1; }
int init_module(void) { return 0; }
void cleanup_module(void) { printk("base: %d calls\\n", base_calls); }
EXPORT_SYMBOL(base_add);
EXPORT_SYMBOL(base_calls);
"""

USER = """
extern int base_calls;
int base_add(int a, int b);
static int fail;
MODULE_PARM(fail, "i");
int init_module(void)
{
	printk("sum %d\\n", base_add(40, 2));
	base_calls += 10;
	return fail;
}
void cleanup_module(void) { }
"""

EMPTY = "int init_module(void) { return 0; }\nvoid cleanup_module(void) { }\n"


def build(name: str, text: str) -> ObjectFile:
    return extensions.build(f"{name}.c", HEADERS + text)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot() as booted:
        # The first load brings the page table that stays.
        booted.insmod(build("first", EMPTY))
        booted.kernel.rmmod("first")
        yield booted


def state(lab: Lab) -> tuple[object, ...]:
    kernel = lab.kernel
    return (
        kernel.pages.nr_free_pages,
        kernel.slab.active(),
        [area.size for area in kernel.vmalloc.areas()],
        kernel.lsmod(),
        list(kernel.modules.loaded),
        kernel.memory.u32(kernel.variable("module_list")),
    )


@pytest.fixture
def unchanged(lab: Lab) -> Iterator[Lab]:
    """Nothing may be left of the test: no object, page or module."""
    before = state(lab)
    yield lab
    assert state(lab) == before


@pytest.fixture
def base(unchanged: Lab) -> Iterator[Module]:
    """The module ``base``, loaded; the test must end with nobody using it."""
    module = unchanged.insmod(build("base", BASE))
    before = state(unchanged)
    yield module
    assert state(unchanged) == before
    unchanged.kernel.rmmod("base")


def refused(lab: Lab, name: str, text: str, sentence: str) -> None:
    """The module is refused with just this sentence, and the kernel is as before."""
    before = state(lab)
    with pytest.raises(ModuleError) as error:
        lab.insmod(build(name, text))
    assert str(error.value) == sentence
    assert state(lab) == before


# Symbols


def test_a_call_of_an_exported_function_runs_in_the_module_that_exports_it(lab: Lab, base: Module) -> None:
    user = lab.insmod(build("user", USER))
    assert "sum 42" in lab.dmesg()
    assert base.image is not None
    assert user.bindings["base_add"] == base.image.symbols["base_add"]
    assert lab.kernel.memory.u32(base.image.symbols["base_calls"]) == 11
    lab.kernel.rmmod("user")


def test_a_static_function_can_be_exported(unchanged: Lab) -> None:
    hidden = "static int deep(int a) { return a * 3; }\nEXPORT_SYMBOL(deep);\n" + EMPTY
    unchanged.insmod(build("hidden", hidden))
    caller = 'int deep(int); int init_module(void) { printk("deep %d\\n", deep(5)); return 0; }'
    unchanged.insmod(build("caller", caller + "void cleanup_module(void) { }"))
    assert "deep 15" in unchanged.dmesg()
    unchanged.kernel.rmmod("caller")
    unchanged.kernel.rmmod("hidden")


def test_the_table_lies_in_the_image_and_struct_module_points_to_it(lab: Lab, base: Module) -> None:
    record, types = base.struct, lab.kernel.types
    assert record.nsyms == 2
    assert base.holds(record.syms, 2 * types.size("module_symbol"))
    table = [types.view("module_symbol", record.syms + i * types.size("module_symbol")) for i in range(2)]
    names = {lab.kernel.memory.string(entry.name).decode(): entry.value for entry in table}
    assert base.image is not None
    assert names == {name: base.image.symbols[name] for name in ("base_add", "base_calls")}


def test_what_is_not_exported_cannot_be_used(lab: Lab, base: Module) -> None:
    text = "int base_secret(void); int init_module(void) { return base_secret(); }"
    refused(lab, "user", text, "module user: undefined symbol base_secret")


@pytest.mark.parametrize("declaration", ["", "EXPORT_NO_SYMBOLS;"])
def test_a_module_without_exports_gives_nothing(unchanged: Lab, declaration: str) -> None:
    unchanged.insmod(build("closed", f"{declaration} int closed(void) {{ return 1; }}\n{EMPTY}"))
    assert unchanged.kernel.modules.loaded["closed"].struct.nsyms == 0
    text = "int closed(void); int init_module(void) { return closed(); }"
    refused(unchanged, "user", text, "module user: undefined symbol closed")
    unchanged.kernel.rmmod("closed")


def test_without_the_module_its_symbols_are_gone(unchanged: Lab) -> None:
    refused(unchanged, "user", USER, "module user: undefined symbol base_add")
    unchanged.insmod(build("base", BASE))
    unchanged.kernel.rmmod("base")
    refused(unchanged, "user", USER, "module user: undefined symbol base_add")


def test_the_table_is_read_from_guest_memory(lab: Lab, base: Module) -> None:
    nsyms = base.struct.nsyms
    base.struct.nsyms = 0
    refused(lab, "user", USER, "module user: undefined symbol base_add")
    base.struct.nsyms = nsyms
    lab.insmod(build("user", USER))
    lab.kernel.rmmod("user")


def test_a_module_whose_init_died_exports_nothing() -> None:
    with nl.boot() as lab:
        text = BASE.replace("init_module(void) { return 0; }", "init_module(void) { return *(int *)16; }")
        with pytest.raises(TaskDied):
            lab.insmod(build("base", text))
        refused(lab, "user", USER, "module user: undefined symbol base_add")


def test_two_modules_cannot_export_the_same_name(lab: Lab, base: Module) -> None:
    text = f"int base_add(int a, int b) {{ return a - b; }}\nEXPORT_SYMBOL(base_add);\n{EMPTY}"
    refused(lab, "rival", text, "module rival: symbol base_add is already exported by module base")
    lab.insmod(build("user", USER))
    lab.kernel.rmmod("user")


def test_a_module_cannot_export_a_name_of_the_kernels(unchanged: Lab) -> None:
    text = 'int mine; extern int kfree __attribute__((alias("mine")));\nEXPORT_SYMBOL(kfree);\n' + EMPTY
    refused(unchanged, "rival", text, "module rival: symbol kfree is already exported by the kernel")


# Who uses whom


def test_a_module_that_is_used_stays_until_its_user_has_gone(lab: Lab, base: Module) -> None:
    lab.insmod(build("user", USER))
    before = state(lab)
    with pytest.raises(ModuleError, match=r"^module base is used by user$"):
        lab.kernel.rmmod("base")
    assert state(lab) == before
    assert not base.struct.flags & 2
    lab.kernel.rmmod("user")


def test_every_user_is_named(lab: Lab, base: Module) -> None:
    for name in ("one", "two", "three"):
        lab.insmod(build(name, USER))
    with pytest.raises(ModuleError, match=r"^module base is used by three, two, one$"):
        lab.kernel.rmmod("base")
    lab.kernel.rmmod("two")
    with pytest.raises(ModuleError, match=r"^module base is used by three, one$"):
        lab.kernel.rmmod("base")
    lab.kernel.rmmod("three")
    lab.kernel.rmmod("one")


def test_lsmod_shows_size_count_and_users(lab: Lab, base: Module) -> None:
    user = lab.insmod(build("user", USER))
    lab.kernel.modules.mod_inc_use_count(user.struct.address)
    assert lab.kernel.lsmod() == [
        ModuleInfo("user", user.size, 1, ()),
        ModuleInfo("base", base.size, 0, ("user",)),
    ]
    lab.kernel.modules.mod_dec_use_count(user.struct.address)
    lab.kernel.rmmod("user")


def test_a_module_can_stack_on_two_that_stack_on_each_other(lab: Lab, base: Module) -> None:
    middle = """
int base_add(int, int);
int middle_add(int a) { return base_add(a, 1); }
EXPORT_SYMBOL(middle_add);
"""
    top = """
int base_add(int, int);
int middle_add(int);
int init_module(void) { printk("top %d\\n", middle_add(base_add(1, 1))); return 0; }
void cleanup_module(void) { }
"""
    lab.insmod(build("middle", middle + EMPTY))
    module = lab.insmod(build("top", top))
    assert "top 3" in lab.dmesg()
    assert module.struct.ndeps == 2
    assert {info.name: info.users for info in lab.kernel.lsmod()} == {
        "top": (),
        "middle": ("top",),
        "base": ("top", "middle"),
    }
    with pytest.raises(ModuleError, match=r"^module middle is used by top$"):
        lab.kernel.rmmod("middle")
    lab.kernel.rmmod("top")
    lab.kernel.rmmod("middle")


def test_two_symbols_of_one_module_make_one_reference(lab: Lab, base: Module) -> None:
    user = lab.insmod(build("user", USER))
    reference = lab.kernel.types.view("module_ref", user.struct.deps)
    assert user.struct.ndeps == 1
    assert (reference.dep, reference.ref, reference.next_ref) == (
        base.struct.address,
        user.struct.address,
        0,
    )
    assert base.struct.refs == reference.address
    lab.kernel.rmmod("user")
    assert base.struct.refs == 0


def test_a_user_whose_init_fails_holds_nothing(lab: Lab, base: Module) -> None:
    before = state(lab)
    with pytest.raises(ModuleError, match=r"^module user: init_module returned error 5$"):
        lab.insmod(build("user", USER), {"fail": -5})
    assert state(lab) == before


def test_a_user_that_is_refused_holds_nothing(lab: Lab, base: Module) -> None:
    before = state(lab)
    with pytest.raises(ModuleError, match=r"^module user has no parameter absent$"):
        lab.insmod(build("user", USER), {"absent": 1})
    assert state(lab) == before
    text = USER.replace("base_calls += 10", "absent()") + "int absent(void);"
    refused(lab, "user", "int absent(void);" + text, "module user: undefined symbol absent")


def test_a_user_for_whose_references_there_is_no_memory_is_refused(
    lab: Lab, base: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = lab.kernel.types.size("module_ref")
    zalloc = lab.kernel.slab.zalloc
    monkeypatch.setattr(lab.kernel.slab, "zalloc", lambda size: 0 if size == refs else zalloc(size))
    refused(lab, "user", USER, "module user: no memory for its references")


def test_a_module_unloaded_from_under_its_user_is_forgotten_by_it(unchanged: Lab) -> None:
    base = unchanged.insmod(build("base", BASE))
    unchanged.insmod(build("user", USER))
    unchanged.kernel.modules.unload(base)
    assert unchanged.kernel.lsmod()[0].name == "user"
    unchanged.kernel.rmmod("user")


# Bad tables

OUTSIDE = "0xc0100000"


def table(value: str, name: str) -> str:
    entry = 'static const struct module_symbol entry __attribute__((section("__ksymtab"), used))'
    return f"int ok;\n{EMPTY}\n{entry} = {{ {value}, {name} }};\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (table(OUTSIDE, '"ok"'), "exported symbol ok lies outside of it"),
        (table("0", '"ok"'), "exported symbol ok lies outside of it"),
        (
            table("(unsigned long)&ok", f"(const char *){OUTSIDE}"),
            "the name of exported symbol 0 lies outside of it",
        ),
        (table("(unsigned long)&ok", "0"), "the name of exported symbol 0 lies outside of it"),
        (table("(unsigned long)&ok", '""'), "the name of exported symbol 0 is no name of C"),
        (table("(unsigned long)&ok", '"a b"'), "the name of exported symbol 0 is no name of C"),
        (table("(unsigned long)&ok", '"\\xff"'), "the name of exported symbol 0 is no name of C"),
        (
            "static const char text[300] = { [0 ... 299] = 'x' };\n" + table("(unsigned long)&ok", "text"),
            "the name of exported symbol 0 does not end",
        ),
        (
            "static char last[4096] __attribute__((aligned(4096))) = { [0 ... 4095] = 'x' };\n"
            + table("(unsigned long)&init_module", "last + 4090").replace("int ok;", ""),
            "the name of exported symbol 0 does not end",
        ),
        (
            'static const char tail[4] __attribute__((section("__ksymtab"), used)) = "abc";\n' + EMPTY,
            "its __ksymtab ends within an entry",
        ),
    ],
    ids=[
        "value outside",
        "value null",
        "name outside",
        "name null",
        "name empty",
        "name with a space",
        "name not ASCII",
        "name too long",
        "name at the end",
        "half an entry",
    ],
)
def test_a_bad_table_is_refused(unchanged: Lab, text: str, sentence: str) -> None:
    refused(unchanged, "bad", text, f"module bad: {sentence}")


def test_a_name_exported_twice_is_refused(unchanged: Lab) -> None:
    text = table("(unsigned long)&ok", '"ok"') + "EXPORT_SYMBOL(ok);\n"
    refused(unchanged, "bad", text, "module bad exports ok twice")


@pytest.mark.parametrize("member", ["syms", "nsyms"])
def test_a_loaded_table_that_was_overwritten_is_noticed(lab: Lab, base: Module, member: str) -> None:
    before = getattr(base.struct, member)
    setattr(base.struct, member, 0x40000000)
    refused(lab, "user", USER, "module base: its table of exported symbols lies outside of it")
    setattr(base.struct, member, before)


@given(st.lists(st.tuples(st.integers(0, 23), st.integers(1, 255)), min_size=1, max_size=6))
def test_wild_stores_into_a_table_end_in_a_sentence(
    lab: Lab, base: Module, stores: list[tuple[int, int]]
) -> None:
    kernel, record = lab.kernel, base.struct
    ranges = [(record.offset_of("nsyms"), 4), (record.offset_of("syms"), 4), (record.syms, 16)]
    places = [at + i for at, size in ranges for i in range(size)]
    kept = {at: kernel.memory.u8(at) for at in places}
    before = state(lab)
    for place, change in stores:
        kernel.memory.set_u8(places[place], kernel.memory.u8(places[place]) ^ change)
    # Anything else than a ModuleError fails the test; a table may also still be a good one.
    with suppress(ModuleError):
        kernel.modules.unload(kernel.modules.load("user", build("user", USER)))
    for at, byte in kept.items():
        kernel.memory.set_u8(at, byte)
    assert state(lab) == before


# The hook


def test_the_hook_learns_who_provides_a_symbol(
    lab: Lab, base: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, tuple[int | None, Module | None]] = {}

    def note(module: Module, name: str, address: int | None, provider: Module | None) -> int | None:
        seen[name] = (address, provider)
        return address

    monkeypatch.setattr(lab.kernel.hooks, "bind_symbol", note)
    lab.insmod(build("user", USER))
    assert base.image is not None
    assert seen["base_add"] == (base.image.symbols["base_add"], base)
    assert seen["printk"] == (lab.kernel.exported["printk"], None)
    lab.kernel.rmmod("user")


def test_nooks_refuses_a_symbol_of_a_module_in_another_domain() -> None:
    with nl.boot(nooks=True) as lab:
        lab.insmod(build("base", BASE))
        before = state(lab)
        with pytest.raises(ModuleError, match=r"^module user: no wrapper for base_\w+ of module base$"):
            lab.insmod(build("user", USER))
        assert state(lab) == before
        lab.kernel.rmmod("base")
        assert lab.nooks is not None
        assert lab.nooks.domains == []


def test_nooks_links_modules_of_one_domain_straight_to_each_other() -> None:
    with nl.boot(nooks=True) as lab:
        base = lab.insmod(build("base", BASE))
        place = lab.kernel.hooks.module_placed

        def join(module: Module) -> None:
            place(module)
            nooks = lab.nooks
            assert nooks is not None
            nooks._domain_of[module.name] = nooks._domain_of["base"]

        lab.kernel.hooks.module_placed = join
        user = lab.insmod(build("user", USER))
        assert "sum 42" in lab.dmesg()
        assert base.image is not None
        assert user.bindings["base_add"] == base.image.symbols["base_add"]
