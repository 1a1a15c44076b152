"""What programs do with /dev/dsp and /dev/mixer, in one process each."""

import struct
from collections.abc import Callable
from typing import Any, TypeVar

from nooks_lab.kernel.fs.files import O_WRONLY, FileError
from nooks_lab.lab import Lab
from nooks_lab.workloads.play_tune import oss_constants

T = TypeVar("T")
DSP, MIXER = "/dev/dsp", "/dev/mixer"


def result(call: Callable[[], int]) -> int:
    """Return the result of a system call as a program has it: an error as its negative number."""
    try:
        return call()
    except FileError as error:
        return -int(error.args[0])


class Sound:
    """A device that a process has opened; results are the driver's, errors negative numbers."""

    def __init__(self, lab: Lab, path: str = DSP, flags: int = O_WRONLY) -> None:
        self.kernel = lab.kernel
        self.files = lab.kernel.files
        self.fd = result(lambda: self.files.open(path, flags))

    def ioctl(self, name: str | int, value: int = 0) -> int:
        """Return the value that comes back, or the error."""
        code = oss_constants()[name] if isinstance(name, str) else name
        after = b""

        def ask() -> int:
            nonlocal after
            answer, after = self.files.ioctl(self.fd, code, value.to_bytes(4, "little"))
            return answer

        answer = result(ask)
        return answer if answer < 0 else int.from_bytes(after, "little")

    def get(self, name: str, layout: str) -> tuple[Any, ...]:
        answer, after = self.files.ioctl(self.fd, oss_constants()[name], bytes(struct.calcsize(layout)))
        assert answer == 0
        return struct.unpack(layout, after)

    def write(self, data: bytes) -> int:
        return result(lambda: self.files.write(self.fd, data))

    def write_from(self, address: int, count: int) -> int:
        """Write what lies at an address, which may be none of the process's own."""
        table = self.kernel.fs.table
        file = table.get(self.fd)
        try:
            write = table.operation(file, "write")
            return self.kernel.fs.parts.call(write, file.address, address, count, file.offset_of("f_pos"))
        finally:
            table.put(file)

    def write_all(self, data: bytes) -> None:
        for at in range(0, len(data), 4096):
            assert self.write(data[at : at + 4096]) == len(data[at : at + 4096])

    def close(self) -> None:
        self.files.close(self.fd)


def process(lab: Lab, body: Callable[[], T]) -> T:
    """Run a process, whose files are closed at its end."""
    return lab.kernel.in_task("program", body)


def with_device(lab: Lab, body: Callable[[Sound], T], path: str = DSP, flags: int = O_WRONLY) -> T:
    """Open a device in a process, and do something."""

    def run() -> T:
        sound = Sound(lab, path, flags)
        assert sound.fd >= 0, sound.fd
        return body(sound)

    return process(lab, run)


def doze(lab: Lab, jiffies: int) -> None:
    """Let the process sleep."""
    lab.kernel.sched.set_task_state(lab.kernel.sched.current.address, 1)
    lab.kernel.sched.schedule_timeout(jiffies)
