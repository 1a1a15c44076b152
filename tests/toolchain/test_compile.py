import ctypes
import shutil
import subprocess

import pytest

from nooks_lab.toolchain import compiler, store
from nooks_lab.toolchain.compiler import CompileError, compile_c, compile_host_library
from nooks_lab.toolchain.elf import read_object


def forbid_running(monkeypatch):
    def run(*arguments, **settings):
        raise AssertionError("the compiler ran")

    monkeypatch.setattr(subprocess, "run", run)


def test_a_copied_tree_gives_identical_bytes(tree, tmp_path, monkeypatch):
    copy = tmp_path / "elsewhere" / "with a longer name"
    shutil.copytree(tree, copy)
    objects = []
    for number, root in enumerate((tree, copy)):
        monkeypatch.setattr(store, "cache_dir", lambda number=number: tmp_path / f"cache{number}")
        objects.append(compile_c(root / "driver.c", include=[root / "include"]))
    assert objects[0].data == objects[1].data
    assert objects[0].sha256 == objects[1].sha256
    assert str(tmp_path).encode() not in objects[0].data


def test_a_text_gives_the_bytes_of_the_file(tree):
    from_file = compile_c(tree / "driver.c", include=[tree / "include"])
    text = (tree / "driver.c").read_text()
    assert compile_c("driver.c", text=text, include=[tree / "include"]).data == from_file.data


def test_a_header_beside_the_source_is_found(tree, empty_cache):
    (tree / "driver_hw.h").write_text("#define CTRL 7\n")
    (tree / "two.c").write_text('#include "driver_hw.h"\nint ctrl = CTRL;\n')
    first = compile_c(tree / "two.c")
    (tree / "driver_hw.h").write_text("#define CTRL 8\n")
    assert compile_c(tree / "two.c").sha256 != first.sha256


def test_nothing_is_defined_unasked():
    text = "#if defined(__KERNEL__) || defined(MODULE)\n#error defined\n#endif\nint x;\n"
    compile_c("plain.c", text=text)
    with pytest.raises(CompileError, match="defined"):
        compile_c("plain.c", text=text, defines=["__KERNEL__"])


def test_defines_reach_the_source():
    data = compile_c("value.c", text="int value = VALUE;\n", defines=["VALUE=0x1234"]).data
    section = read_object(data, "value.c").section_named(".data")
    assert section is not None
    assert section.data == b"\x34\x12\0\0"


def test_the_object_has_no_wide_registers(driver):
    assert all(b"xmm" not in section.data for section in driver.sections)
    assert driver.section_named(".text").exec


def test_an_error_names_source_and_line(include):
    with pytest.raises(CompileError) as caught:
        compile_c(
            "bad.c", text="#include <lab/device.h>\nint f(void) { return nobody; }\n", include=[include]
        )
    first, rest = str(caught.value).split("\n", 1)
    assert first == "bad.c does not compile:"
    assert "bad.c:2:22: error: use of undeclared identifier 'nobody'" in rest
    assert str(include) not in str(caught.value)


def test_an_error_in_a_header_has_a_relative_name(tree):
    (tree / "include" / "lab" / "broken.h").write_text("int x\nint y;\n")
    with pytest.raises(CompileError) as caught:
        compile_c("bad.c", text="#include <lab/broken.h>\n", include=[tree / "include"])
    assert "lab/broken.h:1:6: error:" in str(caught.value)
    assert str(tree) not in str(caught.value)


def test_warnings_are_kept_with_the_object(empty_cache, monkeypatch):
    text = "int f(void) { int unused; return 1; }\n"
    said = compile_c("warn.c", text=text).warnings
    assert "warn.c:1:19: warning: unused variable 'unused'" in said
    forbid_running(monkeypatch)
    assert compile_c("warn.c", text=text).warnings == said


@pytest.mark.parametrize("make", ["missing", "folder", "binary"])
def test_an_unreadable_source_is_one_sentence(tmp_path, make):
    path = tmp_path / "source.c"
    if make == "folder":
        path.mkdir()
    if make == "binary":
        path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(CompileError, match=r"source\.c (cannot be read|is not a text file)") as caught:
        compile_c(path)
    assert "\n" not in str(caught.value)


def test_an_odd_name_of_a_text_compiles():
    assert compile_c("answer of a student", text="int x;\n").source == "answer of a student"


def test_a_second_compilation_runs_no_compiler(tree, empty_cache, monkeypatch):
    first = compile_c(tree / "driver.c", include=[tree / "include"])
    forbid_running(monkeypatch)
    assert compile_c(tree / "driver.c", include=[tree / "include"]) == first


def test_a_changed_header_recompiles_and_changing_it_back_does_not(tree, empty_cache, monkeypatch):
    header = tree / "include" / "lab" / "types.h"
    before = header.read_text()
    first = compile_c(tree / "driver.c", include=[tree / "include"])
    header.write_text(before.replace("volatile int counter", "int counter, more"))
    assert compile_c(tree / "driver.c", include=[tree / "include"]).sha256 != first.sha256
    header.write_text(before)
    forbid_running(monkeypatch)
    assert compile_c(tree / "driver.c", include=[tree / "include"]) == first


def test_a_header_that_comes_to_stand_before_another_recompiles(tmp_path, empty_cache):
    near, far = tmp_path / "near", tmp_path / "far"
    near.mkdir()
    far.mkdir()
    (far / "value.h").write_text("#define VALUE 1\n")
    text = "#include <value.h>\nint value = VALUE;\n"
    first = compile_c("value.c", text=text, include=[near, far])
    (near / "value.h").write_text("#define VALUE 2\n")
    assert compile_c("value.c", text=text, include=[near, far]).sha256 != first.sha256


@pytest.mark.parametrize("kind", ["results", "manifests"])
@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_a_damaged_cache_entry_is_made_again(empty_cache, kind, damage):
    first = compile_c("one.c", text="int one = 1;\n")
    for entry in (empty_cache / kind).glob("*/*"):
        content = entry.read_bytes()
        entry.write_bytes(content[:-1] + b"?" if damage is None else damage)
    assert compile_c("one.c", text="int one = 1;\n") == first


def test_nothing_is_left_but_the_cache(tree, empty_cache, monkeypatch):
    work = tree / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = sorted(tree.rglob("*"))
    compile_c(tree / "driver.c", include=[tree / "include"])
    assert sorted(tree.rglob("*")) == before
    assert list((empty_cache / "scratch").iterdir()) == []


def test_the_environment_does_not_reach_the_compiler(tree, empty_cache, monkeypatch):
    monkeypatch.setenv("CPATH", str(tree / "include"))
    with pytest.raises(CompileError, match=r"lab/device\.h"):
        compile_c(tree / "driver.c")


def test_a_host_library_runs_and_is_kept(tmp_path, empty_cache, monkeypatch):
    source = tmp_path / "add.c"
    source.write_text("unsigned add(unsigned a, unsigned b) { return a + b; }\n")
    library = compile_host_library(source)
    assert ctypes.CDLL(str(library)).add(2, 3) == 5
    forbid_running(monkeypatch)
    assert compile_host_library(source) == library


def test_a_missing_compiler_is_one_sentence(empty_cache, monkeypatch):
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CompileError, match="ziglang is not installed"):
        compile_c("new.c", text="int brand_new;\n")
