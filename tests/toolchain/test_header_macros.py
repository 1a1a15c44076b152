import pytest

from nooks_lab.toolchain.compiler import CompileError
from nooks_lab.toolchain.macros import read_macros


def test_integer_constants_and_nothing_else(include):
    values = read_macros(["lab/device.h"], [include])
    size = values.pop("DEVICE_SIZE")
    assert size > 0
    assert values == {
        "DEVICE_ALL": 0x15,
        "DEVICE_BIG": 0xFFFFFFFFFF,
        "DEVICE_BIT": 0x10,
        "DEVICE_LETTER": ord("d"),
        "DEVICE_MASK": 0xFFFFFFFF,
        "DEVICE_NONE": -1,
    }


def test_a_broken_header_is_an_error(tmp_path):
    (tmp_path / "broken.h").write_text("int x\nint y;\n#define ONE 1\n")
    with pytest.raises(CompileError, match=r"broken\.h:1"):
        read_macros(["broken.h"], [tmp_path])


def test_a_changed_header_changes_the_values(tmp_path, empty_cache):
    header = tmp_path / "value.h"
    header.write_text("#define VALUE 1\n")
    assert read_macros(["value.h"], [tmp_path]) == {"VALUE": 1}
    header.write_text("#define VALUE 2\n")
    assert read_macros(["value.h"], [tmp_path]) == {"VALUE": 2}
