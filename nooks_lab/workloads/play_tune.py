"""play-mp3: a process plays a tune through /dev/dsp (paper, section 5.1).

The samples are synthesised, not decoded: the sound driver cannot tell the difference.  Judged is what the card's
converter has really played.
"""

import functools
import hashlib
import struct
from dataclasses import dataclass

from nooks_lab.extensions import DEFINES
from nooks_lab.kernel.errno import EIO
from nooks_lab.kernel.fs.files import O_WRONLY, FileError
from nooks_lab.kernel.kernel import Kernel, TaskDied
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE
from nooks_lab.lab import Lab
from nooks_lab.machine.devices.dac import Played
from nooks_lab.machine.devices.es1371 import Es1371
from nooks_lab.machine.devices.sb16 import Sb16
from nooks_lab.toolchain import compiler
from nooks_lab.toolchain.macros import read_macros
from nooks_lab.workloads.heard import Heard, listen
from nooks_lab.workloads.tune import Tune
from nooks_lab.workloads.workload import REST, WorkloadResult

WRITE_BYTES = 4096
"""What the player writes at a time."""

PATIENCE = 200
"""Times that it tries to open the device, a jiffy apart, before it gives up."""

_CARDS = {"sb": "sb16", "es1371": "es1371"}


@dataclass
class Player:
    """The player's process: it opens, writes, and after an error opens again and goes on.

    A driver that fails takes with it what it had not played yet.  So the player goes back by as much as the device
    holds at most: nothing is lost then, and a little is heard twice.

    Attributes
    ----------
    at : int
        Bytes of the tune that the device has taken.
    attempts : int
        Errors on the open device after which it gives up.
    opened, errors : int
        How often it has opened the device, and how many of its calls on the open device have failed.
    """

    kernel: Kernel
    tune: Tune
    path: str = "/dev/dsp"
    attempts: int = PATIENCE
    at: int = 0
    opened: int = 0
    errors: int = 0
    ring: int = 0
    gave_up: bool = False
    _samples: bytes = b""

    def run(self) -> None:
        """The process, from its start to its exit."""
        self._samples = self.tune.samples()
        # A device that can be opened, and on which every call fails, would be tried for ever.
        while self.errors < self.attempts and (device := self._open()) is not None:
            self.opened += 1
            try:
                self._play(device)
            except FileError:
                self.errors += 1
                self.at = max(0, self.at - self.ring)
            else:
                return
            finally:
                self.kernel.files.close(device)
        self.gave_up = True

    def _open(self) -> int | None:
        """Return a descriptor of the device, or None when it cannot be opened for long.

        A driver that has just failed takes no new file (EIO), and until its successor has registered there is no
        device (ENODEV).
        """
        sched = self.kernel.sched
        for _ in range(PATIENCE):
            try:
                return self.kernel.files.open(self.path, O_WRONLY)
            except FileError:
                sched.set_task_state(sched.current.address, TASK_INTERRUPTIBLE)
                sched.schedule_timeout(1)
        return None

    def _play(self, device: int) -> None:
        """Play to the end.

        Raises
        ------
        FileError
            When a call fails on the way, or the device takes nothing.
        """
        self._configure(device)
        while self.at < len(self._samples):
            taken = self.kernel.files.write(device, self._samples[self.at : self.at + WRITE_BYTES])
            if not taken:
                raise FileError(EIO, f"{self.path} takes nothing and does not say why")
            self.at += taken
        self._ioctl(device, "SNDCTL_DSP_SYNC")

    def _configure(self, device: int) -> None:
        tune, constants = self.tune, oss_constants()
        for name, value in (
            ("SNDCTL_DSP_SETFMT", constants["AFMT_S16_LE" if tune.bits == 16 else "AFMT_U8"]),
            ("SNDCTL_DSP_CHANNELS", tune.channels),
            ("SNDCTL_DSP_SPEED", tune.rate),
        ):
            self._ioctl(device, name, struct.pack("<i", value))
        _, total, size, _ = struct.unpack("<4i", self._ioctl(device, "SNDCTL_DSP_GETOSPACE", bytes(16)))
        self.ring = total * size

    def _ioctl(self, device: int, name: str, argument: bytes = b"") -> bytes:
        """Control the device; returns what lies at the argument afterwards."""
        return self.kernel.files.ioctl(device, oss_constants()[name], argument)[1]


@functools.cache
def oss_constants() -> dict[str, int]:
    """Return the constants of ``linux/soundcard.h`` by name, ioctl numbers among them."""
    return read_macros(("linux/types.h", "linux/soundcard.h"), (compiler.headers_dir(),), DEFINES)


class PlayTune:
    """A tune through a sound driver.

    Parameters
    ----------
    extension : str
        ``sb`` or ``es1371``.
    tune : Tune, optional
        A minute of 16 bits, stereo, at 22,050 Hz when not given.
    attempts : int
        Errors after which the player gives up.

    Raises
    ------
    ValueError
        When the extension is no sound driver.
    """

    name = "play-mp3"

    def __init__(self, extension: str = "sb", tune: Tune | None = None, attempts: int = PATIENCE) -> None:
        if extension not in _CARDS:
            raise ValueError(f"{extension!r} is no sound driver; there are: {', '.join(_CARDS)}")
        self.extension, self.tune, self._attempts = extension, tune or Tune(), attempts
        self.devices: tuple[str, ...] = (_CARDS[extension],)
        self.heard: Heard | None = None
        self.player: Player | None = None

    def set_up(self, lab: Lab) -> None:
        """Load the driver; the devices that it registers are all the service there is, so there is no script."""
        lab.insmod(self.extension)

    def played(self, lab: Lab) -> tuple[Played, ...]:
        """Return all that the card's converter has played since power-on."""
        card = lab.cards[self.devices[0]]
        assert isinstance(card, Sb16 | Es1371)
        return card.played

    def run(self, lab: Lab) -> WorkloadResult:
        """Play the tune once, and compare.

        Raises
        ------
        Panic, Hang, TripleFault
            When the system dies of it.
        """
        started = lab.machine.clock.now
        self.player = player = Player(lab.kernel, self.tune, attempts=self._attempts)
        wrong = []
        try:
            lab.kernel.in_task("mpg123", player.run)
        except TaskDied as death:
            wrong.append(f"{death}")
        if player.gave_up:
            wrong.append("the player gave up: the device did not come back")
        return self.judge(lab, started, wrong)

    def rest(self, lab: Lab) -> None:
        """Let the tasks that have ended be reaped."""
        lab.kernel.run(REST)

    def judge(self, lab: Lab, started: int, wrong: list[str]) -> WorkloadResult:
        """Compare what was played since a cycle with the tune.

        Parameters
        ----------
        wrong : list of str
            What is known to have gone wrong already.
        """
        samples = self.tune.samples()
        pieces = [piece for piece in self.played(lab) if piece.cycle >= started]
        self.heard = heard = listen(samples, self.tune.format, self.tune.rate, pieces)
        arrived = b"".join(samples[start:end] for start, end in heard.covered)
        errors = self.player.errors if self.player is not None else 0
        unnoticed = []
        if heard.missing:
            # Silence is noticed by whoever listens.
            wrong.append(f"{heard.missing} bytes of the tune were not heard")
        if heard.foreign:
            unnoticed.append(f"{heard.foreign} bytes were heard that are not the tune's")
        if heard.repeated and not errors:
            unnoticed.append(f"{heard.repeated} bytes were heard twice, and no call had failed")
        wrong += unnoticed
        counts = {
            "bytes": len(arrived),
            "repeated": heard.repeated,
            "silent": heard.silent,
            "passages": len(heard.passages),
            "errors": errors,
            "opened": self.player.opened if self.player is not None else 0,
        }
        digest = hashlib.sha256(arrived).hexdigest()
        return WorkloadResult(not wrong, digest, tuple(wrong), counts, tuple(unnoticed))
