"""What brings the sound drivers' bugs out."""

from collections.abc import Callable

from nooks_lab.faults.bugs.memory_shortage import others_memory
from nooks_lab.faults.bugs.scene import Scene
from nooks_lab.kernel.fs.files import O_WRONLY, FileError
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE
from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.workloads.play_tune import oss_constants

DSP, SILENCE = "/dev/dsp", b"\x80"
TWO_GIB = 0x8000_1000
LONG = 10.0
"""Simulated seconds: what the driver takes of two gibibytes plays for some of them."""
SEVERAL_FRAGMENTS = 1344
"""Bytes: at 8 kHz 168 ms, in fragments of 32 ms."""

_COMMAND, _IO = 4, 1
_HZ = 100


def with_dsp(scene: Scene, body: Callable[[int], object]) -> Callable[[], None]:
    """Return a program that opens /dev/dsp, does something, and closes it at its end."""
    files = scene.lab.kernel.files

    def program() -> None:
        fd = files.open(DSP, O_WRONLY)
        try:
            body(fd)
        finally:
            files.close(fd)

    return program


def ioctl(scene: Scene, fd: int, name: str, value: int = 0) -> None:
    """Control an open device."""
    scene.lab.kernel.files.ioctl(fd, oss_constants()[name], value.to_bytes(4, "little"))


def write(scene: Scene, fd: int, size: int) -> None:
    """Write silence to an open device."""
    scene.lab.kernel.files.write(fd, SILENCE * size)


def write_with_length(scene: Scene, fd: int, length: int) -> None:
    """Write with a length that need not be that of what is there, as a system call has it."""
    kernel, table = scene.lab.kernel, scene.lab.kernel.fs.table
    file = table.get(fd)
    buffer = kernel.user.place(SILENCE * 256)
    operation = table.operation(file, "write")
    try:
        kernel.fs.parts.call(operation, file.address, buffer, length, file.offset_of("f_pos"))
    finally:
        table.put(file)


def write_two_gibibytes(scene: Scene) -> None:
    """Write with a length that is negative as a signed number."""
    with others_memory(scene.lab.kernel) as changed:
        scene.process("sh", with_dsp(scene, lambda fd: write_with_length(scene, fd, TWO_GIB)), LONG)
    if changed:
        scene.wrong.append(f"{len(changed)} pages of others were overwritten")


def play_several_fragments(scene: Scene) -> None:
    """Play for longer than a fragment and a tenth of a second: the device interrupts on the way."""
    scene.process("sh", with_dsp(scene, lambda file: write(scene, file, SEVERAL_FRAGMENTS)))


def unload_while_open(scene: Scene) -> None:
    """Unload the driver while a process has its device open; then the process goes on."""
    kernel, name = scene.lab.kernel, scene.name

    def sleep_and_write(file: int) -> None:
        kernel.sched.set_task_state(kernel.sched.current.address, TASK_INTERRUPTIBLE)
        kernel.sched.schedule_timeout(_HZ)
        try:
            write(scene, file, 256)
        except FileError as error:
            scene.failed.append(f"process player: the write to {DSP} fails: {error.strerror or error}")

    player = kernel.start("player", with_dsp(scene, sleep_and_write))
    player.detached = True
    scene.lab.run(0.2)
    held = kernel.modules.loaded[name].struct.usecount > 0
    if not held:
        scene.rmmod(name)
    scene.lab.run(2)
    if player.killed:
        scene.killed.append(f"process player was killed by signal {player.exit_code}")
    if name not in kernel.modules.loaded:
        scene.load()


def reload(scene: Scene) -> None:
    """Unload the driver and load it again."""
    scene.unload()
    scene.lab.run(0.3)
    # Nooks may have recovered a driver that failed in its cleanup.
    if scene.name not in scene.lab.kernel.modules.loaded:
        scene.load()


def set_rate_zero(scene: Scene) -> None:
    """Set the rate to zero, and play."""

    def body(file: int) -> None:
        ioctl(scene, file, "SNDCTL_DSP_SPEED")
        write(scene, file, 256)
        ioctl(scene, file, "SNDCTL_DSP_SYNC")

    scene.process("sh", with_dsp(scene, body))


def open_when_the_card_is_gone(scene: Scene) -> None:
    """Open the device when the card has come loose: nothing answers at its ports."""
    pci = scene.lab.machine.pci
    card = next(iter(scene.lab.cards.values()))
    assert isinstance(card, PciDevice)
    slot = card.function.device
    command = pci.config_read(slot, _COMMAND, 2)
    pci.config_write(slot, _COMMAND, 2, command & ~_IO)
    try:
        scene.process("sh", with_dsp(scene, lambda file: None))  # noqa: ARG005
    finally:
        pci.config_write(slot, _COMMAND, 2, command)


def nothing(scene: Scene) -> None:
    """The service is used before and after."""
