"""A sound driver fails while it plays: what is lost natively, what is heard under Nooks, what is left behind."""

import random

import pytest
from broken_function import break_function, targets
from oss import Sound, doze, with_device

import nooks_lab as nl
from nooks_lab.faults import census
from nooks_lab.faults.checksums import kernel_checksums
from nooks_lab.kernel.errno import EIO, ENODEV
from nooks_lab.kernel.kernel import Panic, TaskDied
from nooks_lab.kernel.sched import Thread
from nooks_lab.lab import Lab
from nooks_lab.machine.devices.es1371 import Es1371
from nooks_lab.machine.devices.sb16 import Sb16
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.views.sound import RATE, waveform
from nooks_lab.workloads.play_tune import Player, PlayTune
from nooks_lab.workloads.tune import Tune

EXTENSIONS = ("sb", "es1371")
IN_A_ROW = 24


def start(lab: Lab, workload: PlayTune) -> tuple[Thread, int]:
    """Start the player; returns its task and the cycle."""
    workload.player = Player(lab.kernel, workload.tune)
    return lab.kernel.start("mpg123", workload.player.run), lab.machine.clock.now


def manager(lab: Lab) -> Nooks:
    assert lab.nooks is not None
    return lab.nooks


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_recoveries_in_a_row_lose_no_sample_and_leave_nothing(extension: str) -> None:
    workload = PlayTune(extension, Tune(seconds=12.0))
    with nl.boot(nooks=True, devices=workload.devices) as lab:
        workload.set_up(lab)
        assert PlayTune(extension, Tune(0.2)).run(lab).ok
        lab.run(0.05)
        nooks, dice = manager(lab), random.Random(extension)
        before, sums = census.take(lab), kernel_checksums(lab)
        thread, started = start(lab, workload)
        broken = []
        while len(nooks.recoveries) < IN_A_ROW and not thread.run.dead:
            lab.run(dice.uniform(0.05, 0.3))
            name = dice.choice(targets(lab.kernel, extension))
            break_function(lab.kernel, extension, name)
            broken.append(name)
        lab.kernel.wait(thread)
        result = workload.judge(lab, started, [])
        assert result.wrong == ()
        assert len(nooks.recoveries) >= IN_A_ROW
        assert len(set(broken)) > 3
        assert all(each.ok and each.leaked == 0 and each.blocked == [] for each in nooks.recoveries)
        assert result.counts["errors"] >= IN_A_ROW // 2
        lab.run(0.2)
        assert census.take(lab).more_than(before) == dict.fromkeys(census.take(lab).more_than(before), 0)
        assert kernel_checksums(lab) == sums
        assert validate(nooks) == []


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_writer_that_sleeps_in_the_failing_driver_wakes_with_an_error(extension: str) -> None:
    with nl.boot(nooks=True, devices=PlayTune(extension).devices) as lab:
        lab.insmod(extension)
        results: list[int] = []

        def write() -> None:
            sound = Sound(lab)
            while not results or results[-1] > 0:
                results.append(sound.write(b"\x80" * 8192))
            # The failed driver takes no new file, and its successor is not there yet.
            results.append(Sound(lab).fd)
            doze(lab, 5)
            # The file is dead for good; a new one works.
            results.append(sound.write(b"\x80" * 16))
            results.append(sound.ioctl("SNDCTL_DSP_GETFMTS"))
            sound.close()
            again = Sound(lab)
            results.append(again.write(b"\x80" * 16))

        thread = lab.kernel.start("writer", write)
        lab.run(1.0)
        assert thread.task.state == 1
        manager(lab).recover(extension)
        lab.kernel.wait(thread)
        assert results[-5:] == [-EIO, -EIO, -EIO, -EIO, 16]
        (recovery,) = manager(lab).recoveries
        assert (recovery.ok, recovery.leaked, recovery.blocked) == (True, 0, [])


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_natively_a_broken_interrupt_handler_ends_the_system_and_the_music(extension: str) -> None:
    workload = PlayTune(extension, Tune(2.0))
    with nl.boot(devices=workload.devices) as lab:
        workload.set_up(lab)
        thread, started = start(lab, workload)
        lab.run(0.5)
        break_function(lab.kernel, extension, f"{extension}_interrupt")
        with pytest.raises(Panic, match="killing interrupt handler"):
            lab.kernel.wait(thread)
        result = workload.judge(lab, started, [])
        assert not result.ok
        assert 0 < result.counts["bytes"] < len(workload.tune.samples()) // 2


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_natively_a_broken_write_kills_the_player(extension: str) -> None:
    workload = PlayTune(extension, Tune(2.0))
    with nl.boot(devices=workload.devices) as lab:
        workload.set_up(lab)
        thread, started = start(lab, workload)
        lab.run(0.5)
        break_function(lab.kernel, extension, f"{extension}_write")
        with pytest.raises(TaskDied, match="mpg123 was killed by signal 11"):
            lab.kernel.wait(thread)
        assert workload.judge(lab, started, []).counts["bytes"] < len(workload.tune.samples()) // 2


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_one_hears_that_the_music_goes_on_after_a_recovery(extension: str) -> None:
    workload = PlayTune(extension, Tune(2.0, RATE))
    with nl.boot(nooks=True, devices=workload.devices) as lab:
        workload.set_up(lab)
        thread, _ = start(lab, workload)
        lab.run(0.7)
        break_function(lab.kernel, extension, f"{extension}_interrupt")
        lab.kernel.wait(thread)
        heard, tune = waveform(workload.played(lab)), workload.tune.samples()
        # Until the failure it is the tune from its beginning, and at the end the tune to its end.
        assert heard[: int(0.5 * RATE)].tobytes() == tune[: 4 * int(0.5 * RATE)]
        last = tune[-4 * RATE :]
        at = heard.tobytes().find(last)
        assert at >= 4 * RATE
        assert not heard.tobytes()[at + len(last) :].strip(b"\0")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_driver_that_is_not_restarted_reaches_memory_no_more(extension: str) -> None:
    policy = Policy(by_extension={extension: Rule(action="disable")})
    with nl.boot(nooks=True, policy=policy, devices=PlayTune(extension).devices) as lab:
        # Once round, so that every page table is there already, and a process's buffer.
        lab.insmod(extension)
        with_device(lab, lambda sound: sound.write(b"\x77" * 100))
        lab.kernel.rmmod(extension)
        before = census.take(lab)
        lab.insmod(extension)
        results: list[int] = []

        def write() -> None:
            sound = Sound(lab)
            results.append(sound.write(b"\x77" * 8000))
            doze(lab, 200)
            results.append(sound.write(b"\x77" * 100))

        thread = lab.kernel.start("writer", write)
        lab.run(0.1)
        manager(lab).recover(extension)
        lab.run(0.2)
        card = lab.cards[PlayTune(extension).devices[0]]
        assert isinstance(card, Sb16 | Es1371)
        heard = sum(len(piece.data) for piece in card.played)
        lab.run(1.0)
        assert sum(len(piece.data) for piece in card.played) == heard
        lab.kernel.wait(thread)
        assert results == [8000, -EIO]
        assert lab.kernel.in_task("open", lambda: Sound(lab).fd) == -ENODEV
        lab.run(0.05)
        assert census.take(lab).more_than(before) == dict.fromkeys(census.take(lab).more_than(before), 0)
