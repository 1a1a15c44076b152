"""The reference page is what headers and declarations say now, and it is enough to write a driver with."""

from pathlib import Path

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cli.main import main
from nooks_lab.kernel.module import InitFailed
from nooks_lab.kernel_api.header_text import Item, read_header
from nooks_lab.kernel_api.page import page, skeleton
from nooks_lab.nooks.wrappers.generator.headers import all_headers
from nooks_lab.toolchain import compiler

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def text() -> str:
    return page()


def items() -> list[Item]:
    folder = compiler.headers_dir()
    return [item for name in all_headers() for item in read_header((folder / name).read_text())]


def test_the_committed_page_is_up_to_date(text: str) -> None:
    committed = (ROOT / "course" / "kernel-api.md").read_text(encoding="utf-8")
    assert committed == text, "course/kernel-api.md is out of date: make api writes it anew"


def test_every_function_of_the_headers_is_there_and_is_one_of_the_kernel(text: str) -> None:
    functions = [item for item in items() if item.kind == "function"]
    assert len(functions) > 70
    with nl.boot(devices=()) as lab:
        missing = [item.name for item in functions if item.name not in lab.kernel.exported]
    assert missing == []
    for item in functions:
        assert f"- `{' '.join(item.text.split())}`" in text


def test_structs_come_with_their_members_and_what_these_mean(text: str) -> None:
    for line in (
        "int (*hard_start_xmit)(struct sk_buff *skb, struct net_device *dev);\t/* process or softirq",
        "unsigned char *data;\t/* where its data begin */",
        "void (*function)(unsigned long data);\t/* softirq: runs once",
    ):
        assert line in text
    assert "Under Nooks the kernel calls through a wrapper: `probe`, `remove`." in text


def test_sleeping_deferral_and_decisions_are_told(text: str) -> None:
    lines = {line.partition("`:")[0]: line for line in text.splitlines() if line.startswith("- `")}
    assert "**May sleep.**" in lines["- `signed long schedule_timeout(signed long timeout)"]
    assert "May sleep" not in lines["- `int netif_rx(struct sk_buff *skb)"]
    assert "**Deferred**:" in lines["- `int netif_rx(struct sk_buff *skb)"]
    assert "`skb` must be held: sk_buff" in lines["- `int netif_rx(struct sk_buff *skb)"]
    assert "runs in the domain" in lines["- `void *memcpy(void *dest, const void *src, size_t count)"]


def test_the_command_writes_the_page(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "api.md"
    with pytest.raises(SystemExit) as ended:
        main(["api", "--out", str(out)])
    assert ended.value.code == 0
    assert out.read_text(encoding="utf-8") == text
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit) as ended:
        main(["api", "--out", str(tmp_path / "nowhere" / "api.md")])
    assert ended.value.code == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("nooks", [False, True])
def test_the_skeleton_of_a_module_runs_as_it_stands(nooks: bool) -> None:
    with nl.boot(nooks=nooks, devices=()) as lab:
        lab.insmod(extensions.build(skeleton("module.c")), {"seconds": 2})
        lab.run(4.5)
        assert lab.dmesg().count("alive, for the") == 2
        lab.kernel.rmmod("module")
        lab.run(3)
        assert lab.dmesg().count("alive, for the") == 2
        with pytest.raises(InitFailed, match="init_module returned error 22"):
            lab.insmod(extensions.build(skeleton("module.c")), {"seconds": 0})


def test_the_skeleton_of_a_network_driver_compiles_and_finds_no_device() -> None:
    with nl.boot() as lab, pytest.raises(InitFailed, match="init_module returned error 19"):
        lab.insmod(extensions.build(skeleton("network_driver.c")))


HEADER = """#ifndef _X_H
#define _X_H

#include <linux/types.h>

/* About all of it. */

#define ONE 1		/* the first */
#define LONG(a, b) do { \\
	(a) = (b); \\
} while (0)

struct other;

/* What it is. */
typedef struct pair {
	int left;	/* in front */
	union {
		long a;
	} u;
} pair_t;

/* About both. */
extern int first(struct pair *p,
	int n) __attribute__((format(printf, 1, 2)));
extern void second(void);	/* the latter */
extern volatile int third[4];

/* Adds. */
static inline int add(int a, int b)
{
	return a + b;
}

#endif
"""


def test_a_header_is_taken_apart() -> None:
    assert [(item.kind, item.name, item.comment) for item in read_header(HEADER)] == [
        ("remark", "", "About all of it."),
        ("constant", "ONE", "the first"),
        ("macro", "LONG", ""),
        ("struct", "pair", "What it is."),
        ("remark", "", "About both."),
        ("function", "first", ""),
        ("function", "second", "the latter"),
        ("variable", "third", ""),
        ("inline", "add", "Adds."),
    ]
    by_name = {item.name: item.text for item in read_header(HEADER)}
    assert by_name["first"] == "int first(struct pair *p, int n)"
    assert by_name["LONG"] == "#define LONG(a, b)"
    assert by_name["ONE"] == "#define ONE 1"
    assert by_name["add"] == "int add(int a, int b)"
    assert by_name["pair"].startswith("typedef struct pair {\n\tint left;\t/* in front */\n")
    assert by_name["pair"].endswith("} pair_t;")
