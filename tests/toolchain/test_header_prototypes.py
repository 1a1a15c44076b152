import pytest

from nooks_lab.toolchain.compiler import CompileError
from nooks_lab.toolchain.prototypes import read_prototypes


@pytest.fixture(scope="module")
def prototypes(include):
    return read_prototypes(["lab/device.h"], [include])


def test_every_declared_function_is_there_and_no_inline(prototypes):
    assert list(prototypes) == [
        "register_device",
        "printk",
        "request_irq",
        "find_handler",
        "stop_all",
        "get_random",
    ]


def test_parameters_have_names_and_resolved_types(prototypes):
    function = prototypes["register_device"].type
    assert [(name, str(ctype)) for name, ctype in function.params] == [
        ("dev", "struct device *"),
        ("size", "unsigned int"),
        ("where", "long long"),
    ]
    assert str(function.result) == "int"
    assert not function.variadic


def test_a_parameter_without_a_name_is_numbered(prototypes):
    assert [name for name, _ in prototypes["get_random"].type.params] == ["arg0"]


def test_variadic_and_empty_parameter_lists(prototypes):
    assert prototypes["printk"].type.variadic
    assert prototypes["stop_all"].type.params == ()
    assert prototypes["stop_all"].type.result.kind == "void"


def test_function_pointers(prototypes):
    params = dict(prototypes["request_irq"].type.params)
    handler = params["handler"].target.function
    assert [ctype.kind for _, ctype in handler.params] == ["int", "pointer", "pointer"]
    assert handler.params[1][1].target is None
    assert str(params["name"]) == "char *"
    assert str(prototypes["find_handler"].type.result) == "void (*)(int)"


def test_header_and_line_are_those_of_the_text(prototypes, include):
    for prototype in prototypes.values():
        lines = (include / prototype.header).read_text().splitlines()
        assert f"{prototype.name}(" in lines[prototype.line - 1]
    assert prototypes["printk"].header == "lab/device.h"


def test_of_repeated_declarations_the_first_counts(tmp_path):
    (tmp_path / "one.h").write_text("extern int twice(int first);\n")
    (tmp_path / "two.h").write_text("#include <one.h>\nextern int twice(int second);\n")
    prototypes = read_prototypes(["two.h"], [tmp_path])
    assert (prototypes["twice"].header, prototypes["twice"].type.params[0][0]) == ("one.h", "first")


def test_a_declaration_by_a_macro_stands_where_the_macro_is_used(tmp_path):
    (tmp_path / "made.h").write_text("#define DECLARE(name) extern int name(int value)\n\n\nDECLARE(made);\n")
    assert read_prototypes(["made.h"], [tmp_path])["made"].line == 4


def test_a_missing_header_is_named(include):
    with pytest.raises(CompileError, match=r"lab/nowhere\.h"):
        read_prototypes(["lab/nowhere.h"], [include])


def test_the_types_of_parameters_are_there_as_written(tmp_path):
    (tmp_path / "own.h").write_text(
        "typedef unsigned int size_t;\nextern int put(const char *text, size_t n, void (*done)(int));\n"
    )
    prototype = read_prototypes(["own.h"], [tmp_path])["put"]
    assert prototype.written == ("const char *", "size_t", "void (*)(int)")
    assert [str(ctype) for _, ctype in prototype.type.params] == ["char *", "unsigned int", "void (*)(int)"]


def test_a_header_of_nothing_but_macros_declares_nothing(tmp_path):
    (tmp_path / "macros.h").write_text("#define ANSWER 42\n")
    assert read_prototypes(["macros.h"], [tmp_path]) == {}
