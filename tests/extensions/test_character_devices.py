"""A driver of a character device, natively and in a nook: files, waiting for several of them, and its failure."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.faults import census
from nooks_lab.kernel.errno import EAGAIN, EBUSY, EIO, ENODEV, EPERM
from nooks_lab.kernel.fs.files import O_NONBLOCK, O_RDWR, FileError, Files
from nooks_lab.kernel.fs.select import DEFAULT_POLLMASK, POLLERR, POLLIN, POLLNVAL, POLLOUT
from nooks_lab.kernel.module import ModuleError
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.toolchain.elf import ObjectFile

MAJOR, MINORS, WILD = 42, 1, 2
S_IFCHR = 0o020000


@cache
def doorbell(change: tuple[str, str] = ("", "")) -> ObjectFile:
    path = Path(__file__).with_name("doorbell.c")
    old, new = change
    text = path.read_text()
    assert old in text
    return extensions.build("doorbell.c", text.replace(old, new) if old else text)


def process(lab: Lab, work: Callable[[Files], Any]) -> Any:
    return lab.kernel.in_task("test", lambda: work(lab.kernel.files))


def with_nodes(lab: Lab, *minors: int) -> None:
    for minor in minors:
        process(
            lab, lambda files, minor=minor: files.mknod(f"/dev/bell{minor}", S_IFCHR | 0o666, MAJOR, minor)
        )


@pytest.fixture(params=[False, True], ids=["natively", "in a nook"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with nl.boot(nooks=request.param, devices=()) as booted:
        with_nodes(booted, 0, 7, 9)
        booted.insmod(doorbell(), {"major": MAJOR})
        yield booted


def test_what_one_process_writes_another_waits_for(lab: Lab) -> None:
    got = []

    def read() -> None:
        files = lab.kernel.files
        got.append(files.read(files.open("/dev/bell0"), 100))

    reader = lab.kernel.start("reader", read)
    lab.run(0.05)
    assert (got, reader.task.state) == ([], 1)
    process(lab, lambda files: files.write(files.open("/dev/bell7", O_RDWR), b"ding"))
    lab.kernel.wait(reader)
    assert got == [b"ding"]


def test_a_driver_sees_the_number_of_the_node(lab: Lab) -> None:
    def minors(files: Files) -> list[int]:
        return [files.ioctl(files.open(f"/dev/bell{minor}"), MINORS)[0] for minor in (0, 7)]

    assert process(lab, minors) == [0, 0x707]


def test_errors_are_the_drivers(lab: Lab) -> None:
    def calls(files: Files) -> list[int]:
        errors = []
        fd = files.open("/dev/bell0", O_RDWR | O_NONBLOCK)
        for call in (
            lambda: files.open("/dev/bell9"),
            lambda: files.read(fd, 1),
            lambda: files.ioctl(fd, 99),
        ):
            with pytest.raises(FileError) as raised:
                call()
            errors.append(raised.value.errno)
        return errors

    assert process(lab, calls) == [EPERM, EAGAIN, 25]


def test_poll_waits_until_something_can_be_done(lab: Lab) -> None:
    done = []

    def wait() -> None:
        files = lab.kernel.files
        fds = [(files.open("/dev/bell0"), POLLIN), (63, POLLIN), (files.open("/dev/bell7"), POLLIN)]
        del fds[1]
        done.append(files.poll(fds))
        done.append(files.read(fds[0][0], 100))

    waiter = lab.kernel.start("waiter", wait)
    lab.run(0.3)
    assert (done, waiter.task.state) == ([], 1)
    process(lab, lambda files: files.write(files.open("/dev/bell0", O_RDWR), b"dong"))
    lab.kernel.wait(waiter)
    assert done == [[POLLIN, POLLIN], b"dong"]


def test_poll_ends_at_its_time(lab: Lab) -> None:
    def wait(files: Files) -> tuple[list[int], int]:
        fd = files.open("/dev/bell0")
        begun = lab.machine.clock.now
        return files.poll([(fd, POLLIN)], 200), lab.machine.clock.now - begun

    found, took = process(lab, wait)
    assert found == [0]
    assert 0.19 < took / CPU_HZ < 0.22


def test_poll_says_at_once_what_is_so_already(lab: Lab) -> None:
    def ask(files: Files) -> list[int]:
        files.write_file("/file", b"x")
        fds = [files.open("/dev/bell0"), files.open("/file"), 60]
        return files.poll([(fd, DEFAULT_POLLMASK) for fd in fds]) + files.poll([(fds[0], POLLIN)], 0)

    writable = POLLOUT | 0x100
    assert process(lab, ask) == [writable, DEFAULT_POLLMASK, POLLNVAL, 0]


def test_poll_notes_as_many_queues_as_drivers_name(lab: Lab) -> None:
    lab.kernel.rmmod("doorbell")
    lab.insmod(doorbell(), {"major": MAJOR, "queues": 500})

    def wait(files: Files) -> list[int]:
        return files.poll([(files.open("/dev/bell0"), POLLIN)], 20)

    assert process(lab, wait) == [0]
    before = census.take(lab)
    assert process(lab, wait) == [0]
    assert census.take(lab) == before


def test_files_leave_nothing_and_the_driver_neither(lab: Lab) -> None:
    def use(files: Files) -> None:
        fds = [files.open(f"/dev/bell{minor}", O_RDWR) for minor in (0, 7, 0)]
        for fd in fds:
            files.write(fd, b"x")
        with pytest.raises(FileError):
            files.open("/dev/bell9")
        files.poll([(fd, POLLIN) for fd in fds])

    lab.kernel.rmmod("doorbell")
    for _ in range(2):
        before = census.take(lab)
        lab.insmod(doorbell(), {"major": MAJOR})
        process(lab, use)
        with_file = census.take(lab)
        process(lab, use)
        assert census.take(lab) == with_file
        assert "lost its private data" not in lab.dmesg()
        if lab.nooks is not None:
            assert validate(lab.nooks) == []
        lab.kernel.rmmod("doorbell")
    assert census.take(lab) == before


def test_a_major_number_has_one_driver(lab: Lab) -> None:
    twin = doorbell(('"doorbell"', '"twin"'))
    with pytest.raises(ModuleError, match="init_module returned error"):
        lab.kernel.insmod("twin", twin, {"major": MAJOR})
    with pytest.raises(ModuleError, match=f"init_module returned error {EBUSY}"):
        lab.kernel.insmod("third", twin, {"major": 14})
    assert process(lab, lambda files: files.ioctl(files.open("/dev/bell7"), MINORS)[0]) == 0x707


def test_when_the_driver_fails_its_files_are_dead_and_the_filesystem_of_its_node_is_not() -> None:
    with nl.boot(nooks=True, devices=()) as lab:
        with_nodes(lab, 0, 7)
        process(lab, lambda files: files.write_file("/ours", b"intact"))
        lab.insmod(doorbell(), {"major": MAJOR})
        node = process(lab, lambda files: files.stat("/dev/bell0"))
        polled: list[list[int]] = []

        def wait() -> None:
            files = lab.kernel.files
            polled.append(files.poll([(files.open("/dev/bell7"), POLLIN)]))

        def fail(files: Files) -> list[int]:
            errors = []
            fd = files.open("/dev/bell0", O_RDWR)
            for call in (
                lambda: files.ioctl(fd, WILD),
                lambda: files.write(fd, b"x"),
                lambda: files.open("/dev/bell0"),
            ):
                with pytest.raises(FileError) as raised:
                    call()
                errors.append(raised.value.errno)
            return errors

        waiter = lab.kernel.start("waiter", wait)
        lab.run(0.05)
        assert process(lab, fail) == [EIO, EIO, EIO]
        lab.kernel.wait(waiter)
        assert polled == [[POLLERR]]
        assert lab.nooks is not None
        (recovery,) = lab.nooks.recoveries
        assert (recovery.ok, recovery.leaked, recovery.blocked) == (True, 0, [])
        # The driver is there again, and the root filesystem has not noticed.
        assert process(lab, lambda files: files.write(files.open("/dev/bell0", O_RDWR), b"again")) == 5
        assert process(lab, lambda files: files.stat("/dev/bell0")) == node
        assert process(lab, lambda files: files.read_file("/ours")) == b"intact"
        assert process(lab, lambda files: files.statfs("/")).namelen == 255
        process(lab, lambda files: files.mkdir("/dev/more"))
        assert validate(lab.nooks) == []


def test_a_driver_that_is_not_restarted_leaves_its_node_without_a_device() -> None:
    with nl.boot(nooks=True, devices=(), policy=Policy(Rule(action="disable"))) as lab:
        with_nodes(lab, 0)
        lab.insmod(doorbell(), {"major": MAJOR})
        for error in (EIO, ENODEV):
            with pytest.raises(FileError) as raised:
                process(lab, lambda files: files.ioctl(files.open("/dev/bell0"), WILD))
            assert raised.value.errno == error
            lab.run(0.1)


def test_operations_cannot_name_another_module() -> None:
    """The kernel counts uses in the module that the operations name: it would write anywhere."""
    wild = doorbell((".owner = THIS_MODULE", ".owner = (struct module *)0xc0200000"))
    with nl.boot(nooks=True, devices=()) as lab:
        with pytest.raises(ModuleError):
            lab.insmod(wild, {"major": MAJOR})
        assert "file_operations.owner: c0200000 is no module of domain doorbell" in lab.dmesg()
