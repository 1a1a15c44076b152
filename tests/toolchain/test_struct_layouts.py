import pytest

from nooks_lab.toolchain.compiler import compile_c, headers_dir
from nooks_lab.toolchain.elf import ElfError, read_object
from nooks_lab.toolchain.header_layouts import read_header_layouts
from nooks_lab.toolchain.layouts import CType, place_in, read_layouts


@pytest.fixture(scope="module")
def layouts(include):
    return read_header_layouts(["lab/device.h"], [include])


def test_offsets_and_sizes_are_the_compilers(layouts, include):
    device = layouts.structs["device"]
    checks = "".join(
        f"_Static_assert(__builtin_offsetof(struct device, {field.name}) == {field.offset}"
        f' && sizeof(((struct device *)0)->{field.name}) == {field.type.size}, "");\n'
        for field in device.fields.values()
    )
    checks += f'_Static_assert(sizeof(struct device) == {device.size}, "");\n'
    compile_c("checks.c", text="#include <lab/device.h>\n" + checks, include=[include])


def test_field_types_are_resolved(layouts):
    fields = layouts.structs["device"].fields
    assert {name: str(field.type) for name, field in fields.items()} == {
        "name": "char[16]",
        "list": "struct list_head",
        "low": "unsigned char",
        "high": "unsigned char",
        "word": "unsigned int",
        "open": "int (*)(struct device *)",
        "users": "atomic_t",
        "state": "enum state",
        "queue": "device.queue[2]",
        "bus": "struct never_defined *",
        "grid": "unsigned char[2][3]",
        "up": "_Bool",
    }
    assert fields["word"].offset == fields["low"].offset == fields["high"].offset - 1
    assert fields["word"].type.kind == "uint"
    assert fields["up"].type.kind == "bool"
    assert fields["name"].type.count == 16
    assert fields["grid"].type.target.count == 3


def test_a_recursive_struct_is_referred_to_by_name(layouts):
    following = layouts.structs["list_head"].fields["next"].type
    assert following.kind == "pointer"
    assert following.target.struct == "list_head"
    assert following.target.size == layouts.structs["list_head"].size == 8


def test_structs_without_a_tag_have_names(layouts):
    assert layouts.structs["atomic_t"].fields["counter"].type.kind == "int"
    assert layouts.structs["device"].fields["users"].type.struct == "atomic_t"
    assert list(layouts.structs["device.queue"].fields) == ["in", "out"]


def test_an_undefined_struct_has_no_layout(layouts):
    assert "never_defined" not in layouts.structs
    assert layouts.structs["device"].fields["bus"].type.target.size == 0


def test_a_function_pointer_knows_its_function(layouts):
    function = layouts.structs["device"].fields["open"].type.target.function
    assert function.result.kind == "int"
    assert [ctype.target.struct for _, ctype in function.params] == ["device"]


def test_declared_variables_typedefs_and_enumerators_are_there(layouts):
    assert str(layouts.variables["first_device"].type) == "struct device *"
    assert layouts.variables["jiffies"].type.kind == "uint"
    assert layouts.typedefs["loff_t"].size == 8
    assert layouts.enums == {"STOPPED": 0, "RUNNING": 5}
    assert not any(name.startswith("__nooks_lab") for name in layouts.variables)


def test_a_kept_result_equals_a_fresh_one(include, empty_cache):
    fresh = read_header_layouts(["lab/device.h"], [include])
    assert read_header_layouts(["lab/device.h"], [include]) == fresh


def test_a_driver_describes_its_own_functions(driver):
    layouts = read_layouts(driver)
    function = layouts.functions["driver_open"]
    assert [(name, str(ctype)) for name, ctype in function.params] == [("dev", "struct device *")]
    assert layouts.variables["opened"].type.kind == "int"


def test_a_union_lies_at_one_offset():
    text = "union both { int number; char letters[4]; } both;\n"
    layout = read_layouts(read_object(compile_c("union.c", text=text).data, "union.c")).structs["both"]
    assert layout.is_union
    assert {field.offset for field in layout.fields.values()} == {0}


def test_a_bit_field_has_the_offset_of_its_unit():
    text = "struct bits { int before; unsigned a : 3, b : 30; } bits;\n"
    layout = read_layouts(read_object(compile_c("bits.c", text=text).data, "bits.c")).structs["bits"]
    assert [layout.fields[name].offset for name in ("before", "a", "b")] == [0, 4, 8]


def test_floating_point_is_one_sentence():
    obj = read_object(compile_c("float.c", text="double x;\n").data, "float.c")
    with pytest.raises(ElfError, match=r"^float\.c: .*double\.$"):
        read_layouts(obj)


def test_the_kernels_own_headers_are_described():
    include = headers_dir()
    headers = sorted(path.relative_to(include).as_posix() for path in include.rglob("*.h"))
    layouts = read_header_layouts(headers, [include], ["__KERNEL__", "MODULE"])
    assert layouts.structs["net_device"].fields["open"].type.target.function is not None
    assert layouts.functions["kmalloc"].params[0][0] == "size"
    assert layouts.variables["jiffies"].type.kind == "uint"


@pytest.mark.parametrize(
    ("member", "offset", "place"),
    [("word", 3, ".word"), ("list", 4, ".list.prev"), ("queue", 0, ".queue[0]"), ("grid", 5, ".grid")],
)
def test_a_place_in_a_struct_is_named_as_in_c(layouts, member, offset, place):
    device = layouts.structs["device"]
    ctype = CType("struct", "struct device", device.size, struct="device")
    assert place_in(layouts, ctype, device.fields[member].offset + offset).startswith(place)


def test_a_place_in_an_array_of_structs_has_its_index(layouts):
    queue = layouts.structs["device"].fields["queue"].type
    assert queue.target is not None
    for index in range(2):
        for field in layouts.structs["device.queue"].fields.values():
            offset = index * queue.target.size + field.offset
            assert place_in(layouts, queue, offset) == f"[{index}].{field.name}"


def test_a_place_behind_a_struct_has_no_name(layouts):
    device = layouts.structs["device"]
    ctype = CType("struct", "struct device", device.size, struct="device")
    assert place_in(layouts, ctype, device.size) == ""
    assert place_in(layouts, layouts.structs["device"].fields["word"].type, 0) == ""
