"""Work in a forked child: its result, its mistakes, its death, and that nothing of it stays."""

import os
import signal

import pytest

import nooks_lab as nl
from nooks_lab.campaign.child import ChildDied, in_child


def test_a_result_comes_back_and_changes_stay_in_the_child() -> None:
    here = [1]

    def work() -> tuple[int, list[int]]:
        here.append(2)
        return os.getpid(), here

    pid, there = in_child(work)
    assert pid != os.getpid()
    assert (here, there) == ([1], [1, 2])


def test_a_large_result_comes_back_whole() -> None:
    assert in_child(lambda: bytes(1 << 20)) == bytes(1 << 20)


def test_what_a_child_raises_is_told_with_its_place() -> None:
    def work() -> None:
        raise ZeroDivisionError("in the child")

    with pytest.raises(ChildDied, match=r"(?s)test_child\.py.*ZeroDivisionError: in the child"):
        in_child(work)


def test_the_death_of_a_child_is_told() -> None:
    with pytest.raises(ChildDied, match="SIGKILL"):
        in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(ChildDied, match="exit code 3"):
        in_child(lambda: os._exit(3))


def test_a_child_has_a_machine_of_its_own() -> None:
    with nl.boot() as lab:

        def work() -> int:
            lab.run(0.1)
            return lab.kernel.timers.jiffies

        assert in_child(work) == in_child(work) > 0
        assert lab.kernel.timers.jiffies == 0
