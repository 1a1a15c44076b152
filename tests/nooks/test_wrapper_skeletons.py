"""The generator: what it writes is Python, cannot be shipped with a blank, and is what the committed wrappers are."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from wrapper_drift import drift, extension_skeletons, kernel_skeletons

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cli.main import main
from nooks_lab.kernel.modules import ModuleError
from nooks_lab.nooks.interposition import WRAPPER_MODULES
from nooks_lab.nooks.wrappers.declare import (
    EXTENSION_WRAPPERS,
    KERNEL_WRAPPERS,
    RUN_IN_PLACE,
    WrapperError,
    parse,
)
from nooks_lab.nooks.wrappers.generator.headers import (
    KernelFunction,
    all_headers,
    function_pointers,
    kernel_functions,
    wrapped_structs,
)
from nooks_lab.nooks.wrappers.generator.skeleton import skeletons
from nooks_lab.toolchain import compiler

ROOT = Path(__file__).parent.parent.parent

KERNEL = ROOT / "nooks_lab" / "kernel"

ONLY_THE_KERNEL_CALLS = {
    "dev_watchdog": "the function of every device's watchdog timer",
    "neigh_timer_handler": "the function of ARP's timers",
    "tcp_write_timer": "the function of TCP's timers",
    "ide_intr": "the interrupt handler of the kernel's own disk driver",
    "ide_timer_expiry": "the function of its timer",
    "end_buffer_io_sync": "b_end_io of the buffer cache",
    "end_buffer_io_async": "b_end_io of pages of files",
    "chrdev_open": "the open of every device's file",
    "soundcore_open": "the open of every sound device's file",
    "dcache_readdir": "an operation of ramfs",
} | {
    each.name: "an operation of ramfs or of a bad inode"
    for each in kernel_functions(["fs/vfs.h"], (KERNEL,))
    if each.name.startswith(("ramfs_", "bad_inode_", "bad_file_"))
}
"""Exported functions without a wrapper: vmlinux.h, net/inet.h, fs/vfs.h and sound/sound.h alone declare them."""


@pytest.fixture(autouse=True)
def declarations() -> Iterator[None]:
    with patch.dict(KERNEL_WRAPPERS), patch.dict(EXTENSION_WRAPPERS):
        yield


@pytest.fixture(scope="module")
def functions() -> list[KernelFunction]:
    return kernel_functions(all_headers())


def everything(include: tuple[Path, ...] = ()) -> str:
    """Skeletons of all headers, and of the structs that have extension wrappers."""
    headers = all_headers()
    pointers = [each for struct in wrapped_structs() for each in function_pointers(struct, headers, include)]
    return skeletons(kernel_functions(headers, include), pointers)


# Drift


def test_the_committed_wrappers_are_those_that_the_headers_ask_for() -> None:
    assert drift(everything()) == []


def test_no_committed_wrapper_has_a_blank() -> None:
    for module in WRAPPER_MODULES:
        assert not re.search(r"\bBLANK\b", inspect.getsource(module)), module.__name__


def test_each_exported_function_is_wrapped_or_called_by_the_kernel_alone(
    functions: list[KernelFunction],
) -> None:
    with nl.boot() as lab:
        exported = lab.kernel.functions.keys()
        in_place = lab.kernel.exported.keys() & RUN_IN_PLACE
    assert exported - KERNEL_WRAPPERS.keys() == ONLY_THE_KERNEL_CALLS.keys()
    assert in_place == RUN_IN_PLACE
    declared = {each.name for each in functions}
    assert not declared & ONLY_THE_KERNEL_CALLS.keys()
    assert declared - exported <= RUN_IN_PLACE


def test_each_function_pointer_of_a_wrapped_struct_is_wrapped() -> None:
    headers = all_headers()
    pointers = {each.kind for struct in wrapped_structs() for each in function_pointers(struct, headers)}
    assert pointers == EXTENSION_WRAPPERS.keys()


CHANGES = {
    "another type": ("linux/skbuff.h", "kfree_skb(struct sk_buff *skb)", "kfree_skb(void *skb)", "kfree_skb"),
    "another name": (
        "linux/skbuff.h",
        "kfree_skb(struct sk_buff *skb)",
        "kfree_skb(struct sk_buff *s)",
        "kfree_skb",
    ),
    "one more": ("linux/slab.h", "kfree(const void *objp)", "kfree(const void *objp, int now)", "kfree"),
    "another result": ("linux/netdevice.h", "extern int netif_rx", "extern long netif_rx", "netif_rx"),
    "a pointer now": ("linux/mm.h", "free_pages(unsigned long addr", "free_pages(void *addr", "free_pages"),
    "gone": ("linux/vmalloc.h", "extern void vfree(void *addr);", "", "vfree"),
    "a pointer's type": ("linux/netdevice.h", "int (*open)(struct", "long (*open)(struct", "net_device.open"),
    "a pointer's parameters": (
        "linux/timer.h",
        "(*function)(unsigned long",
        "(*function)(int",
        "timer_list.function",
    ),
    "a pointer gone": ("linux/netdevice.h", "int (*stop)(struct net_device *dev);", "", "net_device.stop"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_header_is_drift(change: str, tmp_path: Path) -> None:
    header, old, new, name = CHANGES[change]
    text = (compiler.headers_dir() / header).read_text()
    assert text.count(old) == 1
    (tmp_path / header).parent.mkdir()
    (tmp_path / header).write_text(text.replace(old, new))
    found = drift(everything((tmp_path,)))
    assert found
    assert {each.partition(":")[0] for each in found} == {name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decisions": {}}, "kfree: has no decision about ['objp']"),
        ({"parameters": ("p",)}, "kfree: has the parameters ('p',), and there are ('objp',)"),
        ({"body": lambda nooks, domain, other: None}, "kfree: has a body that takes ('other',)"),
    ],
)
def test_a_changed_wrapper_is_drift(change: dict[str, Any], said: str) -> None:
    KERNEL_WRAPPERS["kfree"] = replace(KERNEL_WRAPPERS["kfree"], **change)
    (found,) = drift(everything())
    assert found.startswith(said)


# What is written


def test_each_pointer_is_left_blank_and_nothing_else(functions: list[KernelFunction]) -> None:
    written = kernel_skeletons(skeletons(functions))
    assert written.keys() == {each.name for each in functions}
    for function in functions:
        blanks = written[function.name].blanks
        pointers = [
            name
            for (name, _), ctype in zip(function.type.params, function.written, strict=True)
            if "*" in ctype
        ]
        # copy_to_user has a parameter called from.
        assert {name.removesuffix("_") for name in blanks} == set(pointers)
        assert parse(function.prototype).pointers == set(pointers)


@pytest.mark.parametrize("header", all_headers())
def test_each_headers_skeletons_are_python_that_nobody_can_ship(header: str) -> None:
    functions = kernel_functions([header])
    code = compile(skeletons(functions), header, "exec")
    first = next(((each.name, name) for each in functions for name in each.pointers), None)
    if first is None:
        exec(code, {"__name__": "generated"})
    else:
        with pytest.raises(WrapperError) as refused:
            exec(code, {"__name__": "generated"})
        said = f"wrapper of {first[0]}: the decision about its pointer {first[1]} is still blank"
        assert str(refused.value) == said


def test_what_is_written_is_formatted_as_the_code_beside_it(tmp_path: Path) -> None:
    generated = tmp_path / "generated.py"
    generated.write_text(everything(), encoding="utf-8")
    for command in (["format", "--check"], ["check", "--ignore=ARG001"]):
        arguments = [
            sys.executable,
            "-m",
            "ruff",
            *command,
            "--config",
            str(ROOT / "pyproject.toml"),
            "--no-cache",
        ]
        done = subprocess.run(
            [*arguments, generated.name], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


MINE = """
#ifndef _LAB_MINE_H
#define _LAB_MINE_H
#include <linux/types.h>
struct pci_dev;
extern int snprintf(char *buf, size_t size, const char *fmt, ...);
extern int pci_enable_device(struct pci_dev *dev);
#endif
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "mine.h").write_text(MINE)
    return tmp_path


def fill(text: str, **decisions: str) -> str:
    text = text.replace("decisions import BLANK", "decisions import Text, Writes, held")
    for parameter, decision in decisions.items():
        assert text.count(f"{parameter}=BLANK") == 1
        text = text.replace(f"{parameter}=BLANK", f"{parameter}={decision}")
    return text


def test_a_skeleton_that_is_filled_in_is_a_wrapper_that_works(mine: Path) -> None:
    text = skeletons(kernel_functions(["lab/mine.h"], (mine,)))
    text = fill(text, buf='Writes("size")', fmt="Text()", dev='held("pci_dev")')
    namespace: dict[str, Any] = {"__name__": "filled"}
    exec(text, namespace)
    for name in ("snprintf", "pci_enable_device"):
        assert KERNEL_WRAPPERS[name].body is namespace[name]
    with nl.boot(nooks=True) as lab:
        lab.insmod("e1000")
        assert lab.kernel.net.by_name("eth0") is not None
        lab.insmod(
            module("good", 'static char b[8]; snprintf(b, 8, "%d%s", 4, "twelve"); printk("<%s>", b);')
        )
        assert "<4twelve>" in lab.dmesg()
        with pytest.raises(ModuleError):
            lab.insmod(module("bad", 'snprintf((char *)0xc0100000, 8, "%d", 4);'))
        assert "snprintf: c0100000 is no memory of domain bad" in lab.dmesg()


def module(name: str, body: str) -> Any:
    text = f"#include <linux/kernel.h>\nint init_module(void) {{ {body} return 0; }}\n"
    return extensions.build(f"{name}.c", text)


# Names, types and hints

ODD = """
#include <linux/types.h>
struct odd;
struct table { int size; int (*del)(struct table *t); void (*gone)(void *cookie, struct table *t, struct table *u); };
struct plain { int first; };
extern void __twice(struct odd *from, struct odd *domain);
extern int twice(const char *arguments, void *prototype, size_t len);
extern void (*find(int (*key)(void *), int (*rows)[4]))(int);
extern void nothing(void);
extern int unnamed(int, void *);
"""


@pytest.fixture
def odd(tmp_path: Path) -> tuple[Path]:
    (tmp_path / "odd.h").write_text(ODD)
    return (tmp_path,)


def test_odd_names_and_types_still_make_python(odd: tuple[Path]) -> None:
    functions = kernel_functions(["odd.h"], odd)
    text = skeletons(functions, function_pointers("table", ["odd.h"], odd))
    compile(text, "odd.py", "exec")
    written = kernel_skeletons(text)
    assert written["__twice"].takes == ("from_", "domain_")
    assert written["twice"].takes == ("arguments_", "prototype_", "len")
    assert written["find"].prototype == "void (*find(int (*key)(void *), int (*rows)[4]))(int)"
    assert written["find"].blanks == {"key", "rows"}
    assert written["unnamed"].takes == ("arg0", "arg1")
    assert re.findall(r"^def (\w+)", text, re.MULTILINE) == [
        "twice",
        "twice_",
        "find",
        "nothing",
        "unnamed",
        "table_del",
        "table_gone",
    ]
    assert extension_skeletons(text) == {
        "table.del": ("int (*)(struct table *)", {1}),
        "table.gone": ("void (*)(void *, struct table *, struct table *)", {3}),
    }


def test_a_prototype_is_taken_apart_as_it_was_put_together(odd: tuple[Path]) -> None:
    for function in kernel_functions(["odd.h"], odd):
        parsed = parse(function.prototype)
        assert (parsed.name, parsed.result) == (function.name, str(function.type.result))
        assert list(parsed.parameters) == [name for name, _ in function.type.params]
        assert parsed.pointers == set(function.pointers)


@pytest.mark.parametrize(
    ("name", "hints"),
    [
        ("kfree_skb", ['held("sk_buff")', "devices can reach it"]),
        ("register_netdev", ['held("net_device")', "other threads use it"]),
        ("copy_from_user", ['Reads("n")', "points to const"]),
        ("snprintf", ['Writes("size")', "Text()"]),
        ("request_irq", ["Callback()", "Cookie()", "cannot be deferred"]),
        ("pci_read_config_word", ["Writes(2)"]),
        ("memcpy", ["runs in place"]),
        ("netif_rx", ["Only if no caller looks at the int"]),
    ],
)
def test_what_is_known_helps_to_decide(name: str, hints: list[str], functions: list[KernelFunction]) -> None:
    text = skeletons([each for each in functions if each.name == name])
    comments = " ".join(line.strip("# ") for line in text.splitlines() if line.strip().startswith("#"))
    for hint in [*hints, "Until when does it live? Is it written by the extension? Do other threads use it?"]:
        assert hint in comments


# The command


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["wrappers", *arguments])
    return int(end.value.code or 0)


def test_the_command_prints_skeletons_or_writes_a_new_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("linux/netdevice.h", "--struct", "net_device")
    assert run(*arguments) == 0
    printed = capsys.readouterr().out
    pointers = function_pointers("net_device", ["linux/netdevice.h"])
    assert printed == skeletons(kernel_functions(["linux/netdevice.h"]), pointers)
    out = tmp_path / "net.py"
    assert run(*arguments, "--out", str(out)) == 0
    assert capsys.readouterr().out == ""
    assert out.read_text(encoding="utf-8") == printed
    out.write_text("mine")
    assert run(*arguments, "--out", str(out)) == 2
    assert capsys.readouterr().err == f"nooks-lab: {out}: File exists\n"
    assert out.read_text() == "mine"


def test_json_lists_what_was_decided(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "--struct", "pci_driver") == 0
    said = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in said["rows"]}
    assert rows.keys() == {each.name for each in kernel_functions(all_headers())}
    assert {name for name, row in rows.items() if row["wrapped"]} == KERNEL_WRAPPERS.keys()
    deferral = KERNEL_WRAPPERS["netif_rx"].deferral
    assert deferral is not None
    assert rows["netif_rx"] == {
        "name": "netif_rx",
        "prototype": "int netif_rx(struct sk_buff *skb)",
        "header": "linux/netdevice.h",
        "line": rows["netif_rx"]["line"],
        "pointers": ["skb"],
        "wrapped": True,
        "decisions": {"skb": "must be held: sk_buff, its lifetime ends here"},
        "deferral": deferral.reason,
    }
    lines = (compiler.headers_dir() / "linux/netdevice.h").read_text().splitlines()
    assert "netif_rx(" in lines[rows["netif_rx"]["line"] - 1]
    assert (rows["memcpy"]["wrapped"], rows["memcpy"]["decisions"], rows["memcpy"]["deferral"]) == (
        False,
        {},
        None,
    )
    assert said["extension_rows"] == [
        {
            "name": "pci_driver.probe",
            "prototype": "int (*)(struct pci_dev *, struct pci_device_id *)",
            "wrapped": True,
        },
        {"name": "pci_driver.remove", "prototype": "void (*)(struct pci_dev *)", "wrapped": True},
    ]


def test_headers_of_ones_own_are_found(odd: tuple[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("odd.h", "--include", str(odd[0])) == 0
    assert kernel_skeletons(capsys.readouterr().out).keys() == {
        "__twice",
        "twice",
        "find",
        "nothing",
        "unnamed",
    }


BAD = {
    "unknown header": (
        ("linux/skbuf.h",),
        r"there is no header 'linux/skbuf\.h' to include; perhaps you mean linux/skbuff\.h",
    ),
    "own header without its folder": (
        ("odd.h",),
        r"there is no header 'odd\.h' to include; give its folder with --include",
    ),
    "absolute path": (
        ("{folder}/odd.h",),
        r"there is no header '.*odd\.h' to include; give its folder with --include",
    ),
    "does not compile": (
        ("broken.h", "--include", "."),
        r"headers\.c does not compile: broken\.h:2:\d+: error: .*nonsense.*",
    ),
    "includes what is not there": (
        ("lost.h", "--include", "."),
        r".*lost\.h:1:\d+: fatal error: 'nowhere\.h' file not found",
    ),
    "unknown struct": (
        ("linux/netdevice.h", "--struct", "net_devise"),
        r"there is no struct 'net_devise' in linux/netdevice\.h; perhaps you mean net_device",
    ),
    "unknown struct anywhere": (("--struct", "zebra"), r"there is no struct 'zebra' in these \d+ headers"),
    "struct within a struct": (
        ("linux/skbuff.h", "--struct", "sk_buff.h"),
        r"there is no struct 'sk_buff\.h' in linux/skbuff\.h.*",
    ),
    "struct without function pointers": (
        ("odd.h", "--include", ".", "--struct", "plain"),
        r"struct plain has no members that are function pointers",
    ),
    "JSON into a file": (
        ("linux/slab.h", "--json", "--out", "new.py"),
        r"--json prints to the terminal, and --out is for Python: choose one",
    ),
    "file in no folder": (
        ("linux/slab.h", "--out", "nowhere/new.py"),
        r"nowhere.new\.py: No such file or directory",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(
    name: str, odd: tuple[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = odd[0]
    (folder / "broken.h").write_text("extern int fine(void);\nextern nonsense wrong(void);\n")
    (folder / "lost.h").write_text("#include <nowhere.h>\n")
    monkeypatch.chdir(folder)
    arguments, said = BAD[name]
    assert run(*(each.format(folder=folder) for each in arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(f"nooks-lab: {said}\n", captured.err), captured.err
    assert not (folder / "new.py").exists()
