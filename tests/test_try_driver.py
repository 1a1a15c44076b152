"""What a trial says of drivers that fail in one way or another."""

import pytest

from nooks_lab import cards, extensions
from nooks_lab.cards import UnknownCard
from nooks_lab.toolchain.elf import ObjectFile
from nooks_lab.try_driver import Trial, try_driver
from nooks_lab.workloads import registry
from nooks_lab.workloads.registry import names

HEAD = "#include <linux/kernel.h>\n#include <linux/module.h>\n#include <linux/errno.h>\n"
OTHERS = [name for name in names() if extensions.CLASSES[name] != "network"]


def module(init: str) -> ObjectFile:
    return extensions.build(
        "mine.c", f"{HEAD}int init_module(void)\n{{\n\t{init}\n}}\nvoid cleanup_module(void) {{ }}\n"
    )


def tried(init: str, *, nooks: bool, device: str = "e1000") -> Trial:
    return try_driver(module(init), device, nooks=nooks)


@pytest.mark.parametrize("nooks", [False, True])
def test_an_init_that_fails_is_told_with_the_log(nooks: bool) -> None:
    trial = tried('printk("no answer\\n"); return -ENODEV;', nooks=nooks)
    assert trial.outcome == "init failed"
    assert trial.end == "module mine: init_module returned error 19 (ENODEV)"
    assert trial.messages == ("no answer",)
    assert not trial.workload_ok


def test_a_crash_in_init_kills_insmod_natively_and_is_an_error_under_nooks() -> None:
    crash = 'printk("so far\\n"); *(volatile int *)0 = 1; return 0;'
    native, nooks = tried(crash, nooks=False), tried(crash, nooks=True)
    assert (native.outcome, native.end) == ("oops", "process insmod was killed by signal 11")
    assert any("NULL pointer dereference" in line for line in native.messages)
    assert (nooks.outcome, nooks.end) == ("init failed", "module mine: init_module returned error 5 (EIO)")
    assert nooks.messages[0] == "so far"
    assert nooks.messages[1].startswith("nooks: mine failed in its init: page fault: write to 00000000")


@pytest.mark.parametrize("nooks", [False, True])
def test_a_driver_that_registers_nothing_is_told(nooks: bool) -> None:
    trial = tried("return 0;", nooks=nooks)
    assert (trial.outcome, trial.end) == ("no device", "the driver registered no network device eth0")


@pytest.mark.parametrize("extension", OTHERS)
@pytest.mark.parametrize("nooks", [False, True])
def test_another_extension_gets_its_own_workload(extension: str, nooks: bool) -> None:
    device = device_of(extension)
    trial = try_driver(extensions.extension(extension), device, nooks=nooks)
    assert trial.outcome == "ok", (trial.end, trial.messages)
    assert trial.workload_ok
    assert trial.to_json()["nooks" if nooks else "native"]["digest"]


@pytest.mark.parametrize("extension", OTHERS)
def test_something_that_is_none_of_these_is_told(extension: str) -> None:
    trial = tried("return 0;", nooks=True, device=device_of(extension))
    assert trial.outcome in ("no device", "wrong"), trial
    assert not trial.workload_ok
    assert trial.end or trial.result.wrong


def device_of(extension: str) -> str:
    own = cards.CARD_OF.get(extension)
    first = registry.brief_workload(extension).devices[0]
    return own or (extension if cards.CARDS[first].kind == "network" else first)


def test_an_unknown_device_is_named_beside_those_there_are() -> None:
    with pytest.raises(UnknownCard, match=r"unknown device 'floppy'; there are: .*e1000"):
        tried("return 0;", nooks=False, device="floppy")
