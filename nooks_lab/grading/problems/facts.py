"""Facts that a check prints, and the message when one of them is wrong.

A check prints what it found, never a verdict: the grader compares the printed facts with those of the
reference solution on a seed that the student does not know.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from traceback import walk_tb
from typing import Any

from nooks_lab.machine.paging import PageFault


class WrongAnswer(AssertionError):  # noqa: N818 - the student's word
    """Facts that are not as they should be, marked line by line."""

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in a notebook: the frames are those of the check, not the student's."""
        return [str(self)]


class NotWrittenYet(WrongAnswer):
    """A stub of the exercise was called.

    Parameters
    ----------
    name : str
        The function or method that is still a stub.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"not written yet: {name} (put your code where NotImplementedError is raised, "
            "run that cell, then this one)"
        )


@contextmanager
def stubs_named() -> Iterator[None]:
    """Say of a stub that it is one.

    Raises
    ------
    NotWrittenYet
        In place of the stub's NotImplementedError, which has no more to say than where it was raised.
    """
    try:
        yield
    except NotImplementedError as error:
        *_, (frame, _line) = walk_tb(error.__traceback__)
        raise NotWrittenYet(frame.f_code.co_qualname) from error


@dataclass(frozen=True)
class Fact:
    """One line of a check.

    Attributes
    ----------
    what : str
        What was asked, with its address.
    got, expected : str
        The answer found and the right one.
    mistakes : mapping of str to str
        Wrong answers that have a known cause, and the cause.
    """

    what: str
    got: str
    expected: str
    mistakes: Mapping[str, str] = field(default_factory=dict)


def attempt(call: Callable[[], Any], show: Callable[[Any], str]) -> str:
    """Call a student's function and return its result, or its page fault, as text.

    What the function itself prints goes to standard error, which no grader compares.

    Raises
    ------
    NotWrittenYet
        When the function, or one that it calls, is still a stub.
    """
    with redirect_stdout(sys.stderr), stubs_named():
        try:
            result = call()
        except PageFault as fault:
            return show_fault(fault.address, fault.error_code)
        except IndexError:
            return "a read outside RAM (IndexError)"
    return show(result)


def show_fault(address: Any, error_code: Any) -> str:
    """Return a page fault as text."""
    return f"page fault, CR2 {show_word(address)}, error code {show_word(error_code, 4)}"


def show_word(value: Any, digits: int = 8) -> str:
    """Return an integer in hexadecimal, and anything else as what it is."""
    return f"{value:0{digits}x}" if type(value) is int else f"{value!r}, not an integer"


def report(facts: Sequence[Fact]) -> None:
    """Print the facts.

    Raises
    ------
    WrongAnswer
        When one is not as expected; the message marks each and names the likely cause.
    """
    for fact in facts:
        print(f"{fact.what}: {fact.got}")
    wrong = sum(fact.got != fact.expected for fact in facts)
    if wrong:
        raise WrongAnswer(
            f"{wrong} of {len(facts)} wrong\n" + "\n".join(line for f in facts for line in _marked(f))
        )


def _marked(fact: Fact) -> list[str]:
    if fact.got == fact.expected:
        return [f"  GOOD  {fact.what}: {fact.got}"]
    lines = [
        f"  BAD   {fact.what}",
        f"           got      {fact.got}",
        f"           expected {fact.expected}",
    ]
    if fact.got in fact.mistakes:
        lines.append(f"           likely cause: {fact.mistakes[fact.got]}")
    return lines
