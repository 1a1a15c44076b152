"""Recovery policy: what the agent does about a failure, for each extension, class or at all (paper, section 4.5).

A policy file is TOML: a table ``[default]``, tables ``[class.NAME]`` and ``[extension.NAME]``; the closer one wins.

    [default]
    action = "restart"                          # or "replace", "disable"
    give_up = { failures = 5, cycles = 17_000_000_000 }
    bad_parameter = "recover"                   # or "error": the call returns an error code
    resource_limit = "error"                    # or "recover"
    heap_pages = 1024

    [extension.e1000]
    parameters = { RxDescriptors = 32 }         # changed when it is loaded again
    sync = true                                 # write caches back before anything is released
    notify = true
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from nooks_lab.kernel.module import Parameters
from nooks_lab.nooks.isolation.domain import HEAP_PAGES

_CHOICES = {
    "action": ("restart", "replace", "disable"),
    "bad_parameter": ("recover", "error"),
    "resource_limit": ("recover", "error"),
}


class PolicyError(ValueError):
    """A policy that cannot be used; one sentence that names the key or extension."""


@dataclass(frozen=True)
class GiveUp:
    """No more restarts after so many failures within so many cycles."""

    failures: int
    cycles: int


@dataclass(frozen=True)
class Rule:
    """What is done about one extension.

    Attributes
    ----------
    action : str
        ``restart`` it, ``replace`` it by another extension, or ``disable`` it.
    replacement : str
        The extension that takes its place.
    parameters : dict
        Module parameters that are changed when it is loaded again.
    notify : bool
        Tell the people and programs that asked to be told.
    sync : bool
        Write caches back before anything is released.
    """

    action: str = "restart"
    replacement: str = ""
    parameters: Parameters = field(default_factory=dict)
    give_up: GiveUp | None = None
    notify: bool = True
    sync: bool = False
    bad_parameter: str = "recover"
    resource_limit: str = "error"
    heap_pages: int = HEAP_PAGES


@dataclass(frozen=True)
class Policy:
    """Rules by extension and class.

    Attributes
    ----------
    classes : dict
        The class of each extension.
    """

    default: Rule = Rule()
    by_class: Mapping[str, Rule] = field(default_factory=dict)
    by_extension: Mapping[str, Rule] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)

    def of(self, extension: str) -> Rule:
        """Return the rule for an extension: its own, its class's, or the default."""
        rule = self.by_extension.get(extension)
        return rule or self.by_class.get(self.classes.get(extension, "")) or self.default


def read_policy(path: Path, classes: Mapping[str, str]) -> Policy:
    """Read a policy file.

    Parameters
    ----------
    classes : dict
        Every extension that there is, and its class.

    Raises
    ------
    PolicyError
        When the file cannot be read, or names a key, class or extension that there is not.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PolicyError(f"policy {path.name} cannot be read: {reason}") from error
    return parse_policy(text, classes, path.name)


def parse_policy(text: str, classes: Mapping[str, str], name: str = "policy") -> Policy:
    """Read a policy from its text; see :func:`read_policy`."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{name} is not TOML: {error}") from error
    _only(tables, ("default", "class", "extension"), f"{name}: there is no table")
    default = _rule(Rule(), tables.get("default", {}), f"{name}, [default]", classes)
    by_class = _tables(name, "class", tables, set(classes.values()))
    by_extension = _tables(name, "extension", tables, classes)
    rules = {
        kind: _rule(default, table, f"{name}, [class.{kind}]", classes) for kind, table in by_class.items()
    }
    return Policy(
        default,
        rules,
        {
            each: _rule(rules.get(classes[each], default), table, f"{name}, [extension.{each}]", classes)
            for each, table in by_extension.items()
        },
        dict(classes),
    )


def _tables(name: str, kind: str, tables: Mapping[str, Any], known: Iterable[str]) -> Mapping[str, Any]:
    found = tables.get(kind, {})
    if not isinstance(found, dict) or not all(isinstance(table, dict) for table in found.values()):
        raise PolicyError(f"{name}: {kind} is no table of tables, such as [{kind}.NAME]")
    _only(found, known, f"{name}: there is no {kind}")
    return found


def _only(found: Iterable[str], known: Iterable[str], complaint: str) -> None:
    for key in found:
        if key not in known:
            raise PolicyError(f"{complaint} {key!r}; there are: {', '.join(sorted(known))}")


def _rule(base: Rule, table: Any, where: str, classes: Mapping[str, str]) -> Rule:
    if not isinstance(table, dict):
        raise PolicyError(f"{where} is no table")
    _only(table, [each.name for each in fields(Rule)], f"{where}: there is no key")
    changes = dict(table)
    for key, choices in _CHOICES.items():
        if key in changes and changes[key] not in choices:
            raise PolicyError(f"{where}: {key} is {changes[key]!r}; it can be {', '.join(choices)}")
    for key in ("notify", "sync"):
        if not isinstance(changes.get(key, True), bool):
            raise PolicyError(f"{where}: {key} is {changes[key]!r}; it can be true or false")
    if "heap_pages" in changes and not _positive(changes["heap_pages"]):
        raise PolicyError(f"{where}: heap_pages is {changes['heap_pages']!r}; it must be a positive number")
    if "give_up" in changes:
        limit = changes["give_up"]
        if (
            not isinstance(limit, dict)
            or set(limit) != {"failures", "cycles"}
            or not all(map(_positive, limit.values()))
        ):
            raise PolicyError(f"{where}: give_up must have positive numbers, failures and cycles")
        changes["give_up"] = GiveUp(**limit)
    _check_parameters(changes.get("parameters", {}), where)
    rule = replace(base, **changes)
    if (rule.action == "replace" or "replacement" in changes) and not _is_one_of(rule.replacement, classes):
        there = ", ".join(sorted(classes))
        raise PolicyError(
            f"{where}: there is no extension {rule.replacement!r} to replace it; there are: {there}"
        )
    return rule


def _is_one_of(name: Any, names: Iterable[str]) -> bool:
    return isinstance(name, str) and name in names


def _check_parameters(parameters: Any, where: str) -> None:
    """What ``insmod`` takes: numbers, texts, lists of numbers."""
    if not isinstance(parameters, dict):
        raise PolicyError(f"{where}: parameters is {parameters!r}; it must be a table of module parameters")
    for name, value in parameters.items():
        if not isinstance(value, str) and not all(
            map(_number, value if isinstance(value, list) else [value])
        ):
            raise PolicyError(
                f"{where}: parameter {name} is {value!r}; it can be a number, a text or a list of numbers"
            )


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
