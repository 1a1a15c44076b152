"""What brings the network drivers' bugs out."""

from collections.abc import Iterator
from contextlib import contextmanager

from nooks_lab.cards import MAC
from nooks_lab.faults.armed_e1000 import DEVICE, PEER, numbered_frame
from nooks_lab.faults.bugs import ethtool
from nooks_lab.faults.bugs.memory_shortage import memory_in_small_pieces, no_pages, others_memory
from nooks_lab.faults.bugs.scene import Scene
from nooks_lab.faults.bugs.services import NetworkService
from nooks_lab.machine.ethernet import pad
from nooks_lab.machine.peer import Peer

LARGE_MTU = 7000
"""Its receive buffers of 8 KB take four pages in a row."""
ETH_DATA_LEN = 1500
"""The usual MTU."""
TOO_LONG = 16_200
"""Bytes of a frame that the e1000 cannot send."""
SEVERAL_BUFFERS = 4080
"""Bytes of a frame that the pcnet32's buffers are too small for."""

MOMENT = 20e-6
"""Simulated seconds in which a short frame arrives."""
BURST = 12
"""Frames."""

_COMMAND, _MASTER = 4, 4
_EXPERIMENTAL = b"\x88\xb5"


def frame(number: int, size: int = 300) -> bytes:
    """Return a frame for the station, with contents of its own."""
    return (PEER + MAC + _EXPERIMENTAL + number.to_bytes(4, "big")).ljust(size, bytes([number & 0xFF | 1]))


def queue(scene: Scene, data: bytes) -> int:
    """Give a frame to the driver, in this process."""
    kernel = scene.lab.kernel
    device = kernel.net.by_name(DEVICE)
    if device is None:
        return -1
    skb = kernel.skbs.make(data)
    kernel.skbs.view(skb).dev = device.address
    return kernel.net.queue_xmit(skb)


def send(scene: Scene, frames: list[bytes]) -> None:
    """Have a process send frames, one after another."""
    scene.process("sendto", lambda: [queue(scene, data) for data in frames])


@contextmanager
def arriving(peer: Peer) -> Iterator[list[bytes]]:
    """Within this, the list gets every frame that arrives at the other end of the wire."""
    heard: list[bytes] = []
    station = peer.on_frame

    def on_frame(there: Peer, data: bytes) -> None:
        heard.append(data)
        if station is not None:
            station(there, data)

    peer.on_frame = on_frame
    try:
        yield heard
    finally:
        peer.on_frame = station


def compare(scene: Scene, sent: list[bytes], arrived: list[bytes]) -> None:
    """Look at what has arrived at the other end of the wire."""
    expected = [pad(data) for data in sent]
    foreign = [data for data in arrived if data not in expected and (data[6:12] != MAC or _is_ours(data))]
    missing = [data for data in expected if data not in arrived]
    if foreign:
        scene.wrong.append(f"{len(foreign)} of {len(sent)} frames went out with other contents")
    elif missing:
        scene.failed.append(f"{len(missing)} of {len(sent)} frames did not go out")


def _is_ours(data: bytes) -> bool:
    return data[12:14] == _EXPERIMENTAL


def set_mtu(scene: Scene, mtu: int) -> None:
    """Change the MTU."""
    kernel = scene.lab.kernel
    device = kernel.net.by_name(DEVICE)
    scene.process("ifconfig", lambda: kernel.execution.call(device.change_mtu, device.address, mtu))


def back_to_the_usual_mtu(scene: Scene) -> None:
    """Give the memory of large buffers back."""
    scene.lab.run(0.1)
    if scene.lab.kernel.net.by_name(DEVICE) is not None:
        set_mtu(scene, ETH_DATA_LEN)


def close(scene: Scene) -> None:
    """Take the interface down."""
    assert isinstance(scene.service, NetworkService)
    scene.service.close(scene)


def open_(scene: Scene) -> None:
    """Bring the interface up; it may not come."""
    scene.attempt(lambda: scene.lab.kernel.ifconfig_up(DEVICE))


def reopen_in_used_memory(scene: Scene) -> None:
    """Close the interface, have others use the free memory for a while, open and close it again."""
    close(scene)
    with others_memory(scene.lab.kernel):
        scene.lab.run(0.001)
    open_(scene)
    scene.lab.run(0.05)
    close(scene)


def reload(scene: Scene) -> None:
    """Unload the driver and load it again."""
    scene.unload()
    if scene.name not in scene.lab.kernel.modules.loaded:
        scene.load()


def reload_elsewhere(scene: Scene) -> None:
    """Unload the driver, have others use its memory, load it again to another place, and use it."""
    vmalloc, size = scene.lab.kernel.vmalloc, scene.lab.kernel.modules.loaded[scene.name].size
    scene.unload()
    area = vmalloc.alloc(size)
    scene.load()
    scene.service.use(scene)
    vmalloc.free(area)


def reload_later(scene: Scene) -> None:
    """Unload the driver, and load it again when its timers have had their time."""
    scene.unload()
    scene.lab.run(2.5)
    scene.load()


def receive_when_memory_is_in_pieces(scene: Scene) -> None:
    """Have large receive buffers refilled when there are none to be had."""
    set_mtu(scene, LARGE_MTU)
    scene.lab.run(0.1)
    with memory_in_small_pieces(scene.lab.kernel):
        scene.lab.peer.send(numbered_frame(PEER))
        scene.lab.run(0.1)
    back_to_the_usual_mtu(scene)


def transmit_too_long(scene: Scene) -> None:
    """Send a frame that is too long for the device."""
    send(scene, [bytes(TOO_LONG)])
    scene.lab.run(0.1)


def open_when_memory_is_in_pieces(scene: Scene) -> None:
    """Bring the interface up when memory is in small pieces."""
    close(scene)
    with memory_in_small_pieces(scene.lab.kernel):
        open_(scene)


def open_with_large_mtu_when_memory_is_in_pieces(scene: Scene) -> None:
    """The same, with large receive buffers."""
    close(scene)
    set_mtu(scene, LARGE_MTU)
    open_when_memory_is_in_pieces(scene)
    back_to_the_usual_mtu(scene)


def get_eeprom_twice(scene: Scene) -> None:
    """Ask for the EEPROM twice, so that the second time memory is used again."""
    scene.attempt(lambda: ethtool.get_eeprom(scene.lab))
    scene.attempt(lambda: ethtool.get_eeprom(scene.lab))


def get_eeprom_from_far_behind(scene: Scene) -> None:
    """Ask for bytes from 4 KiB before the EEPROM on; the sum of offset and length is small."""
    size = 4096 + 64
    answer = scene.attempt(lambda: ethtool.get_eeprom(scene.lab, (1 << 32) - 4096, size))
    if answer is not None and answer[0] == 0:
        scene.wrong.append(f"{size:,} bytes of the kernel's memory went to a process that may not read it")


def transmit_in_bursts(scene: Scene) -> None:
    """Send frames in bursts, more than any ring has room for."""
    sent = [frame(number) for number in range(8 * BURST)]
    with arriving(scene.lab.peer) as arrived:
        for at in range(0, len(sent), BURST):
            send(scene, sent[at : at + BURST])
            scene.lab.run(0.02)
    compare(scene, sent, arrived)


def hang_the_transmitter(scene: Scene) -> None:
    """Keep the device from the bus until the kernel's watchdog has it reset."""
    lab = scene.lab
    pci, slot = lab.machine.pci, lab.nic.function.device
    command = pci.config_read(slot, _COMMAND, 2)
    pci.config_write(slot, _COMMAND, 2, command & ~_MASTER)
    try:
        send(scene, [frame(number) for number in range(100)])
        lab.run(8)
    finally:
        pci.config_write(slot, _COMMAND, 2, command)
    lab.run(8)


def ask_for_no_phy(scene: Scene) -> None:
    """Ask for a register of a PHY that there is not."""
    scene.attempt(lambda: ethtool.get_phy_register(scene.lab, 99, 1))


def receive_without_memory(scene: Scene) -> None:
    """Have a short frame arrive in the moment in which there is no page."""
    with no_pages(scene.lab.kernel):
        scene.lab.peer.send(numbered_frame(PEER))
        scene.lab.run(MOMENT)


def receive_a_long_frame(scene: Scene) -> None:
    """Have a frame arrive that takes several buffers."""
    scene.lab.peer.send(numbered_frame(PEER).ljust(SEVERAL_BUFFERS, b"\xa5"))
    scene.lab.run(0.05)


def receive_after_close(scene: Scene) -> None:
    """Have frames arrive when the interface is down, and its memory is others'."""
    close(scene)
    with others_memory(scene.lab.kernel) as changed:
        for number in range(8):
            scene.lab.peer.send(numbered_frame(PEER, number))
        scene.lab.run(0.05)
    if changed:
        scene.wrong.append(f"{len(changed)} pages of others were overwritten")


def open_without_memory_and_unload(scene: Scene) -> None:
    """Bring the interface up when memory is nearly used up, and give the driver up then."""
    close(scene)
    with no_pages(scene.lab.kernel, but=6):
        open_(scene)
    reload(scene)


def nothing(scene: Scene) -> None:
    """The service is used before and after."""
