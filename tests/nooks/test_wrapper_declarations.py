"""A wrapper that cannot be right is refused when it is declared, or when it meets the kernel."""

import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

import nooks_lab as nl
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.lab import Lab
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.wrappers.decisions import (
    BLANK,
    Body,
    Callback,
    Cookie,
    Decision,
    Reads,
    Text,
    Writes,
    held,
)
from nooks_lab.nooks.wrappers.declare import (
    EXTENSION_WRAPPERS,
    KERNEL_WRAPPERS,
    Deferral,
    WrapperError,
    check_declarations,
    extension_wrapper,
    kernel_wrapper,
    parse,
    pass_through,
)


@pytest.fixture(autouse=True)
def declarations() -> Iterator[None]:
    with patch.dict(KERNEL_WRAPPERS), patch.dict(EXTENSION_WRAPPERS):
        yield


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        booted.insmod("e1000")
        yield booted


@pytest.fixture(scope="module")
def kernel(lab: Lab) -> Kernel:
    return lab.kernel


@pytest.fixture(scope="module")
def nooks(lab: Lab) -> Nooks:
    assert lab.nooks is not None
    return lab.nooks


@pytest.fixture(scope="module")
def domain(nooks: Nooks) -> Domain:
    (only,) = nooks.domains
    return only


def body(*arguments: Any) -> None:
    """Take whatever comes."""


def declare(prototype: str, deferral: Deferral | None = None, **decisions: Decision) -> None:
    kernel_wrapper(prototype, deferral=deferral, **decisions)(body)


# Prototypes


@pytest.mark.parametrize(
    "text", ["", "kfree", "int x;", "kfree(void *objp)", "void kfree(void *objp", "int f(int a);"]
)
def test_what_is_no_prototype_is_named(text: str) -> None:
    with pytest.raises(WrapperError, match=f"^{re.escape(repr(text))} is no prototype of a C function$"):
        declare(text)


@pytest.mark.parametrize(("text", "unnamed"), [("int f(char *)", "char *"), ("int f(int)", "int")])
def test_a_parameter_needs_a_name(text: str, unnamed: str) -> None:
    with pytest.raises(WrapperError) as refused:
        declare(text)
    assert str(refused.value) == f"{text!r}: the parameter {unnamed!r} has no name"


def test_a_prototype_names_its_pointers() -> None:
    parsed = parse(
        "void *(*set(int n, void (*f)(int, char *), char **names, int (*rows)[4], ...))(int, void *)"
    )
    assert (parsed.name, parsed.result) == ("set", "void *(*)(int, void *)")
    assert parsed.parameters == ("n", "f", "names", "rows")
    assert parsed.pointers == {"f", "names", "rows"}
    assert parsed.variadic


# Decisions

KFREE = "void kfree(void *objp)"
COPY = "unsigned long copy_to_user(void *to, void *from, unsigned long n)"


@pytest.mark.parametrize(
    ("prototype", "decisions", "said"),
    [
        (KFREE, {}, "wrapper of kfree: the pointer objp lacks a decision"),
        (KFREE, {"object": held("pages")}, "wrapper of kfree: there is no parameter object"),
        (KFREE, {"objp": held("pages"), "n": Cookie()}, "wrapper of kfree: there is no parameter n"),
        (KFREE, {"objp": BLANK}, "wrapper of kfree: the decision about its pointer objp is still blank"),
        (COPY, {"to": Cookie(), "from": Cookie()}, "wrapper of copy_to_user: there is no parameter from"),
        (COPY, {"from_": Reads("n")}, "wrapper of copy_to_user: the pointer to lacks a decision"),
        (
            COPY,
            {"to": BLANK, "from_": Text()},
            "wrapper of copy_to_user: the decision about its pointer to is still blank",
        ),
    ],
)
def test_decisions_are_about_the_pointers_that_there_are(
    prototype: str, decisions: dict[str, Decision], said: str
) -> None:
    before = dict(KERNEL_WRAPPERS)
    with pytest.raises(WrapperError) as refused:
        declare(prototype, **decisions)
    assert str(refused.value) == said
    assert before == KERNEL_WRAPPERS


def test_a_number_may_be_decided_about_too() -> None:
    declare("void free_pages(unsigned long addr, unsigned int order)", addr=held("pages"))
    assert KERNEL_WRAPPERS["free_pages"].decisions == {"addr": held("pages")}


def test_a_function_that_is_passed_through_needs_its_decisions() -> None:
    with pytest.raises(WrapperError, match=r"^wrapper of printk: the pointer fmt lacks a decision$"):
        pass_through("int printk(char *fmt, ...)")


def test_what_runs_in_place_has_no_pointer_to_check() -> None:
    with pytest.raises(WrapperError, match=r"^wrapper of strlen: it cannot run in place, since its pointers"):
        pass_through("int strlen(char *s)", in_place=True, s=Text())


# Deferral

WHY = Deferral("nobody looks")


@pytest.mark.parametrize(
    ("prototype", "deferral", "decisions", "said"),
    [
        ("int f(int a)", WHY, {}, "its caller gets the int that it returns, which is not known before"),
        ("void *f(int a)", WHY, {}, "its caller gets the void * that it returns, which is not known before"),
        ("void f(char *fmt, ...)", WHY, {"fmt": Text()}, "a queue has room for four arguments"),
        ("void f(int a, int b, int c, int d, int e)", WHY, {}, "a queue has room for four arguments"),
        ("void f(int *out)", WHY, {"out": Writes(4)}, "its caller sees what is written to out"),
        ("int f(int *out)", Deferral("", 0), {"out": Writes(4)}, "its caller sees what is written to out"),
        ("void f(void *skb)", WHY, {"skb": held("sk_buff")}, "its caller sees what becomes of skb"),
        ("void f(void *p)", WHY, {"p": held("pci_dev", "net_device")}, "its caller sees what becomes of p"),
    ],
)
def test_a_deferral_that_would_change_a_result_is_refused(
    prototype: str, deferral: Deferral, decisions: dict[str, Decision], said: str
) -> None:
    with pytest.raises(WrapperError) as refused:
        declare(prototype, deferral, **decisions)
    assert str(refused.value) == f"wrapper of f: it cannot be deferred, since {said}"
    assert "f" not in KERNEL_WRAPPERS


@pytest.mark.parametrize(
    ("prototype", "deferral", "decisions"),
    [
        ("void f(int a, int b, int c, int d)", WHY, {}),
        ("int f(int a)", Deferral("no caller looks", 0), {}),
        ("void f(void *skb)", WHY, {"skb": held("sk_buff", ends=True)}),
        ("void f(void *dev)", WHY, {"dev": held("pci_dev")}),
    ],
)
def test_a_deferral_that_nobody_notices_is_taken(
    prototype: str, deferral: Deferral, decisions: dict[str, Decision]
) -> None:
    declare(prototype, deferral, **decisions)
    assert KERNEL_WRAPPERS["f"].deferral == deferral


# Bodies


@pytest.mark.parametrize(
    ("prototype", "other", "takes", "makes"),
    [
        ("int f(int a, int b)", lambda nooks, domain, a: 0, 3, 4),
        ("int f(int a)", lambda nooks, domain, a, b: 0, 4, 3),
        ("int f(void)", lambda nooks: 0, 1, 2),
        ("int f(int a, ...)", lambda nooks, domain, a: 0, 3, 4),
    ],
)
def test_a_body_takes_what_the_prototype_makes_it(prototype: str, other: Any, takes: int, makes: int) -> None:
    said = f"^wrapper of f: its body takes {takes} arguments, the prototype makes it {makes}$"
    with pytest.raises(WrapperError, match=said):
        kernel_wrapper(prototype)(other)
    assert "f" not in KERNEL_WRAPPERS


# Against the kernel


def test_the_committed_wrappers_fit_the_kernel(kernel: Kernel) -> None:
    check_declarations(kernel)


@pytest.mark.parametrize(
    ("prototype", "decisions", "said"),
    [
        ("void kmalloc_all(int n)", {}, "wrapper of kmalloc_all: the kernel has no such function"),
        (
            "void *kmalloc(int size, int flags)",
            {},
            "wrapper of kmalloc: it is declared as 'void *kmalloc(int size, int flags)', "
            "and is 'void *kmalloc(unsigned int size, int flags)'",
        ),
        (
            "void kfree(void *p)",
            {"p": Cookie()},
            "wrapper of kfree: it is declared as 'void kfree(void *p)', and is 'void kfree(void *objp)'",
        ),
        (
            KFREE,
            {"objp": held("heap")},
            "wrapper of kfree: objp is decided by 'heap', which is no object type",
        ),
        (
            KFREE,
            {"objp": Reads("size")},
            "wrapper of kfree: objp is decided by 'size', which is neither a parameter nor a struct",
        ),
        (
            COPY,
            {"to": Writes("count"), "from_": Reads("n")},
            "wrapper of copy_to_user: to is decided by 'count', which is neither a parameter nor a struct",
        ),
    ],
)
def test_a_wrapper_that_does_not_fit_the_kernel_is_named(
    prototype: str, decisions: dict[str, Decision], said: str, kernel: Kernel
) -> None:
    declare(prototype, **decisions)
    with pytest.raises(WrapperError) as refused:
        check_declarations(kernel)
    assert str(refused.value) == said


def test_a_system_with_such_a_wrapper_does_not_start() -> None:
    declare("void kmalloc_all(int n)")
    with pytest.raises(WrapperError, match=r"^wrapper of kmalloc_all: the kernel has no such function$"):
        nl.boot(nooks=True)


OPEN = "int (*)(struct net_device *)"


@pytest.mark.parametrize(
    ("kind", "prototype", "said"),
    [
        ("net_devise.open", OPEN, "the kernel's headers have no such function pointer"),
        ("net_device.opened", OPEN, "the kernel's headers have no such function pointer"),
        ("net_device", OPEN, "the kernel's headers have no such function pointer"),
        ("net_device.mtu", "unsigned int", "the kernel's headers have no such function pointer"),
        ("net_device.priv", "void *", "the kernel's headers have no such function pointer"),
        ("net_device.next", "struct net_device *", "the kernel's headers have no such function pointer"),
        ("net_device.open", "void (*)(void)", f"it is declared as 'void (*)(void)', and is '{OPEN}'"),
    ],
)
def test_an_extension_wrapper_that_does_not_fit_is_named(
    kind: str, prototype: str, said: str, kernel: Kernel
) -> None:
    extension_wrapper(kind, prototype)(lambda nooks, *arguments: 0)
    with pytest.raises(WrapperError) as refused:
        check_declarations(kernel)
    assert str(refused.value) == f"wrapper of {kind}: {said}"


# Arguments that a decision refuses

KERNEL_TEXT = 0xC0100000


@pytest.mark.parametrize(
    ("decision", "value", "said"),
    [
        (held("sk_buff"), 0x1234, "00001234 is no sk_buff of domain e1000"),
        (held("sk_buff"), 0, "00000000 is no sk_buff of domain e1000"),
        (held("heap block", "pages", null=True), 0x1234, "00001234 is no object of domain e1000"),
        (Writes("net_device"), KERNEL_TEXT, "c0100000 is no memory of domain e1000"),
        (Writes("n"), KERNEL_TEXT, "c0100000 is no memory of domain e1000"),
        (Writes("huge"), KERNEL_TEXT, "33554432 bytes are more than there can be"),
        (Reads("huge"), KERNEL_TEXT, "33554432 bytes are more than there can be"),
        (Reads("negative"), KERNEL_TEXT, "-1 bytes are more than there can be"),
        (Callback(), 0, "a function pointer is NULL"),
        (Callback(null=True), KERNEL_TEXT, "c0100000 is no function of domain e1000"),
        (BLANK, 0x1234, "nobody has decided what 00001234 may be"),
    ],
)
def test_an_argument_that_is_not_what_was_decided_is_refused(
    decision: Decision, value: int, said: str, nooks: Nooks, domain: Domain
) -> None:
    arguments = {"n": 4, "huge": 1 << 25, "negative": -1, "none": 0}
    with pytest.raises(BadParameter) as refused:
        decision.check(nooks, domain, "f", value, arguments)
    assert str(refused.value) == f"f: {said}"


@pytest.mark.parametrize("decision", [Reads(4), Reads("net_device"), Text()])
def test_what_is_mapped_nowhere_cannot_be_read(decision: Decision, nooks: Nooks, domain: Domain) -> None:
    with pytest.raises(BadParameter, match=r"^f: "):
        decision.check(nooks, domain, "f", 0x10, {})


@pytest.mark.parametrize(
    ("decision", "value", "given"),
    [
        (held("sk_buff", null=True), 0, None),
        (Reads("n"), KERNEL_TEXT, KERNEL_TEXT),
        (Reads("none"), 0x10, 0x10),
        (Writes("none"), KERNEL_TEXT, KERNEL_TEXT),
        (Callback(null=True), 0, 0),
        (Cookie(), 0x10, 0x10),
        (Body("it says why"), 0x10, 0x10),
    ],
)
def test_the_body_gets_what_was_checked(
    decision: Decision, value: int, given: int | None, nooks: Nooks, domain: Domain
) -> None:
    assert decision.check(nooks, domain, "f", value, {"n": 4, "none": 0}) == given


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (held("sk_buff", ends=True), "must be held: sk_buff, its lifetime ends here"),
        (held("net_device", null=True), "must be held: net_device, or NULL, other threads use it too"),
        (Reads("n"), "the kernel reads n bytes during the call"),
        (Writes(4), "the kernel writes 4 bytes during the call; the memory must be the domain's"),
        (Text(), "a string that the kernel reads during the call"),
        (Callback(), "a function of the extension's; the kernel gets a wrapper's address instead"),
        (Cookie(), "not followed: the kernel hands it back as it is"),
        (Body("it says why"), "checked by the body: it says why"),
        (BLANK, "still blank"),
    ],
)
def test_a_decision_explains_itself(decision: Decision, words: str) -> None:
    assert decision.explain() == words
