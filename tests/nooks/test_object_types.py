"""The registry of object types: every object of the kernel's interface is in it, with all that a type needs."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import replace

import pytest

import nooks_lab as nl
from nooks_lab.kernel.exports import Export
from nooks_lab.lab import Lab
from nooks_lab.nooks.tracking import interface
from nooks_lab.nooks.tracking.interface import UNTRACKED, untracked_types
from nooks_lab.nooks.tracking.object_types import (
    BY_NUMBER,
    TYPES,
    Lifetime,
    ObjectType,
    Transfer,
    nothing_to_check,
    nothing_to_release,
    register,
)
from nooks_lab.nooks.tracking.tracker import BUCKETS
from nooks_lab.toolchain.layouts import VOID, CType, Field, FunctionType, function_ctype, pointer_to

DQUOT = CType("struct", "struct dquot", 0, struct="dquot")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        yield booted


def test_every_object_of_the_interface_has_a_type(lab: Lab) -> None:
    assert untracked_types(lab.kernel) == []


def test_the_check_sees_the_interface(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interface, "TYPES", {})
    found = untracked_types(lab.kernel)
    for sentence in (
        "kfree_skb, skb: struct sk_buff is of no registered object type",
        "request_irq, handler: struct pt_regs is of no registered object type",
        "alloc_etherdev, its result: struct net_device is of no registered object type",
        "net_device.do_ioctl: struct ifreq is of no registered object type",
        "net_device.get_stats: struct net_device_stats is of no registered object type",
        "pci_driver.probe: struct pci_device_id is of no registered object type",
        "irqaction.handler: struct pt_regs is of no registered object type",
    ):
        assert sentence in found
    structs = {sentence.partition("struct ")[2].split()[0] for sentence in found}
    assert structs <= {kind.struct for kind in TYPES.values()} | UNTRACKED.keys()


def exporting(lab: Lab, monkeypatch: pytest.MonkeyPatch, function: FunctionType) -> list[str]:
    """What the check says once the kernel exports one more function."""
    monkeypatch.setitem(lab.kernel.functions, "sync_dquot", (int, Export("sync_dquot", 1), function))
    return untracked_types(lab.kernel)


@pytest.mark.parametrize(
    "parameter",
    [
        pointer_to(DQUOT),
        pointer_to(pointer_to(DQUOT)),
        pointer_to(function_ctype(FunctionType(VOID, (("dquot", pointer_to(DQUOT)),), False))),
        pointer_to(function_ctype(FunctionType(pointer_to(DQUOT), (), False))),
    ],
    ids=["pointer", "pointer to pointer", "callback takes it", "callback returns it"],
)
def test_a_new_function_with_a_new_struct_is_reported(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, parameter: CType
) -> None:
    found = exporting(lab, monkeypatch, FunctionType(VOID, (("dquot", parameter),), False))
    assert found == ["sync_dquot, dquot: struct dquot is of no registered object type"]


def test_a_new_result_is_reported(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    found = exporting(lab, monkeypatch, FunctionType(pointer_to(DQUOT), (), False))
    assert found == ["sync_dquot, its result: struct dquot is of no registered object type"]


def test_a_new_function_pointer_in_a_known_struct_is_reported(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts = lab.kernel.layouts
    device = layouts.structs["net_device"]
    function = pointer_to(function_ctype(FunctionType(VOID, (("dquot", pointer_to(DQUOT)),), False)))
    longer = replace(device, fields=device.fields | {"mount": Field("mount", device.size, function)})
    monkeypatch.setitem(layouts.structs, "net_device", longer)
    assert untracked_types(lab.kernel) == ["net_device.mount: struct dquot is of no registered object type"]


def test_plain_memory_and_structs_by_value_need_no_type(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    word = CType("uint", "unsigned int", 4)
    parameters = (("p", pointer_to(VOID)), ("n", word), ("at", pointer_to(word)), ("dquot", DQUOT))
    assert exporting(lab, monkeypatch, FunctionType(word, parameters, False)) == []


def test_an_exception_must_be_named_with_its_reason(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UNTRACKED, "dquot", "the kernel looks it up by number in each call")
    function = FunctionType(VOID, (("dquot", pointer_to(DQUOT)),), False)
    assert exporting(lab, monkeypatch, function) == []


def test_no_exception_is_without_need_or_reason() -> None:
    assert not UNTRACKED.keys() & {kind.struct for kind in TYPES.values()}
    assert all(len(reason.split()) > 3 for reason in UNTRACKED.values())


# The types themselves


def test_ids_and_names_are_unique() -> None:
    assert len(TYPES) == len(BY_NUMBER) == len({kind.number for kind in TYPES.values()})
    for name, kind in TYPES.items():
        assert kind.name == name
        assert BY_NUMBER[kind.number] is kind
        # So that a record whose type was changed always stands in the wrong chain.
        assert 0 < kind.number < BUCKETS


@pytest.mark.parametrize(("number", "name"), [(1, "new"), (63, "sk_buff")])
def test_an_id_or_a_name_that_is_taken_is_refused(number: int, name: str) -> None:
    before = dict(TYPES)
    fresh = ObjectType(number, name, Lifetime.CALL, Transfer.COPY, nothing_to_release, nothing_to_check)
    with pytest.raises(ValueError, match=f"^object type {number} '{name}' is registered already$"):
        register(fresh)
    assert before == TYPES


@pytest.mark.parametrize("kind", TYPES.values(), ids=lambda kind: kind.name)
def test_a_type_says_how_it_is_handled(lab: Lab, kind: ObjectType) -> None:
    assert callable(kind.release)
    assert callable(kind.validate)
    assert kind.lifetime in Lifetime
    assert kind.transfer in Transfer
    if kind.struct:
        assert kind.struct in lab.kernel.layouts.structs
    # What an extension allocates, somebody has to give back when it dies.
    if kind.release is nothing_to_release and kind.lifetime is not Lifetime.CALL:
        assert kind.transfer is Transfer.HANDLE
    if kind.lifetime is not Lifetime.CALL:
        assert kind.validate is not nothing_to_check


@pytest.mark.parametrize("choices", [Lifetime, Transfer])
def test_every_lifetime_and_transfer_is_used_and_explained(choices: type[Lifetime] | type[Transfer]) -> None:
    used = {kind.lifetime for kind in TYPES.values()} | {kind.transfer for kind in TYPES.values()}
    assert set(choices) <= used
    (definition,) = ast.parse(inspect.getsource(choices)).body
    assert isinstance(definition, ast.ClassDef)
    for member, behind in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(member, ast.Assign):
            assert isinstance(behind, ast.Expr), ast.unparse(member)
            assert isinstance(behind.value, ast.Constant), ast.unparse(member)
    assert isinstance(definition.body[-1], ast.Expr)
