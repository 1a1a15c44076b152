"""What programs do with /dev/dsp and /dev/mixer, in one process each."""

import struct
from collections.abc import Callable
from typing import Any, TypeVar

from nooks_lab.lab import Lab
from nooks_lab.workloads.play_tune import oss_constants

T = TypeVar("T")
DSP, MIXER = "/dev/dsp", "/dev/mixer"
WRONLY, NONBLOCK = 1, 0o4000


class Sound:
    """An open device; results are the driver's, errors as negative numbers."""

    def __init__(self, lab: Lab, path: str = DSP, flags: int = WRONLY) -> None:
        self.kernel = lab.kernel
        self.files = lab.kernel.device_files
        self.words = lab.kernel.user.place(bytes(256))
        self.buffer = lab.kernel.user.place(bytes(8192))
        self.file = self.files.open(path, flags)

    def ioctl(self, name: str | int, value: int = 0) -> int:
        """Return the value that comes back, or the error."""
        self.kernel.memory.set_u32(self.words, value)
        code = oss_constants()[name] if isinstance(name, str) else name
        result = self.files.ioctl(self.file, code, self.words)
        return result if result < 0 else self.kernel.memory.u32(self.words)

    def get(self, name: str, layout: str) -> tuple[Any, ...]:
        result = self.files.ioctl(self.file, oss_constants()[name], self.words)
        assert result == 0
        return struct.unpack(layout, self.kernel.memory.read(self.words, struct.calcsize(layout)))

    def write(self, data: bytes) -> int:
        self.kernel.memory.write(self.buffer, data)
        return self.files.write(self.file, self.buffer, len(data))

    def write_all(self, data: bytes) -> None:
        for at in range(0, len(data), 4096):
            assert self.write(data[at : at + 4096]) == len(data[at : at + 4096])

    def close(self) -> None:
        self.files.close(self.file)


def process(lab: Lab, body: Callable[[], T]) -> T:
    """Run a process, whose files are closed at its end."""

    def run() -> T:
        with lab.kernel.device_files.process():
            return body()

    return lab.kernel.in_task("program", run)


def with_device(lab: Lab, body: Callable[[Sound], T], path: str = DSP, flags: int = WRONLY) -> T:
    """Open a device in a process, do something, close it."""

    def run() -> T:
        sound = Sound(lab, path, flags)
        assert sound.file > 0, sound.file
        return body(sound)

    return process(lab, run)
