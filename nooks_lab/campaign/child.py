"""Work in a forked child: it begins with a copy of everything, and whatever it does dies with it."""

import gc
import os
import pickle
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HOST_SECONDS = 300
"""Real seconds after which a child is taken for stuck.  No outcome depends on it: a trial ends by simulated cycles."""


class ChildDied(RuntimeError):  # noqa: N818 - it is the child that has died, and of no guest's event
    """A child came to no result; the host's fault, never a trial's outcome."""


def can_fork() -> bool:
    """Tell whether the host has fork(); Windows has not, and macOS's libraries do not survive it."""
    return hasattr(os, "fork") and sys.platform != "darwin"


def in_child(work: Callable[[], T]) -> T:
    """Return what ``work`` returns in a child that is a copy of this process.

    Parameters
    ----------
    work : callable
        Its result must be picklable.

    Raises
    ------
    ChildDied
        When the child raised something, crashed, or took more than ``HOST_SECONDS``; with its words.
    """
    # What is still in a buffer would be written twice.
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _be_child(work, writer)
    os.close(writer)
    try:
        with open(reader, "rb") as pipe:
            answer = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if not answer:
        raise ChildDied(f"a trial's process ended with {_words(status)}")
    kind, value = pickle.loads(answer)
    if kind == "error":
        raise ChildDied(value)
    result: T = value
    return result


def _be_child(work: Callable[[], object], writer: int) -> None:
    """Do the work, send its result, and end without any of the parent's clean-up."""
    # A collection would look at all that the parent has made, and so copy every page of it.
    gc.freeze()
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(HOST_SECONDS)
        try:
            answer = pickle.dumps(("result", work()))
        except BaseException:  # noqa: BLE001 - whatever it is, the parent has to know
            import traceback

            answer = pickle.dumps(("error", traceback.format_exc()))
        with open(writer, "wb") as pipe:
            pipe.write(answer)
        status = 0
    finally:
        os._exit(status)


def _words(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        stuck = f", after {HOST_SECONDS} seconds" if number == signal.SIGALRM else ""
        return f"signal {signal.Signals(number).name}{stuck}"
    return f"exit code {os.WEXITSTATUS(status)}"
