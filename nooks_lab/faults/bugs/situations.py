"""Which situation brings which bug out."""

from collections.abc import Callable
from dataclasses import dataclass

from nooks_lab.faults.bugs import (
    ethtool,
    file_situations,
    network_situations,
    sound_situations,
    web_situations,
)
from nooks_lab.faults.bugs.scene import Scene
from nooks_lab.kernel.module import Parameters
from nooks_lab.lab import Lab


@dataclass(frozen=True)
class Situation:
    """What brings a bug out.

    Attributes
    ----------
    act : callable (Scene)
        What happens, once the extension is in service.
    parameters : dict, optional
        Of the module.
    """

    act: Callable[[Scene], None]
    parameters: Parameters | None = None


def _ioctl(request: Callable[[Lab], object]) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        scene.attempt(lambda: request(scene.lab))

    return act


_TAKES_FOUR_PAGES = {"TxDescriptors": 1024}

_SITUATIONS = {
    "null-check-1": Situation(network_situations.receive_when_memory_is_in_pieces),
    "null-check-2": Situation(network_situations.open_when_memory_is_in_pieces, _TAKES_FOUR_PAGES),
    "null-check-3": Situation(network_situations.close),
    "stack-1": Situation(_ioctl(ethtool.blink)),
    "stack-2": Situation(lambda scene: network_situations.set_mtu(scene, 1400)),
    "stack-3": Situation(_ioctl(ethtool.get_drvinfo)),
    "heap-1": Situation(network_situations.reopen_in_used_memory),
    "heap-2": Situation(_ioctl(ethtool.get_regs)),
    "heap-3": Situation(network_situations.get_eeprom_twice),
    "user-pointer-1": Situation(_ioctl(ethtool.get_link)),
    "user-pointer-2": Situation(_ioctl(ethtool.get_link)),
    "user-pointer-3": Situation(_ioctl(ethtool.get_eeprom_without_room)),
    "double-free-1": Situation(_ioctl(ethtool.get_regs_without_room)),
    "double-free-2": Situation(network_situations.transmit_too_long),
    "double-free-3": Situation(network_situations.open_with_large_mtu_when_memory_is_in_pieces),
    "3c59x-null-operation": Situation(network_situations.nothing),
    "3c59x-open-leak": Situation(network_situations.open_without_memory_and_unload),
    "3c59x-receiver-not-stopped": Situation(network_situations.receive_after_close),
    "3c59x-swapped-arguments": Situation(network_situations.nothing),
    "3c90x-free-then-zero": Situation(network_situations.close),
    "3c90x-packet-not-freed": Situation(network_situations.transmit_too_long),
    "3c90x-swapped-arguments": Situation(network_situations.reopen_in_used_memory),
    "e1000-irq-not-freed": Situation(network_situations.reload_elsewhere),
    "e1000-off-by-one-ring": Situation(network_situations.transmit_in_bursts),
    "e1000-overflow-in-check": Situation(network_situations.get_eeprom_from_far_behind),
    "e1000-sleep-in-interrupt": Situation(network_situations.hang_the_transmitter),
    "e1000-tail-before-address": Situation(network_situations.transmit_in_bursts),
    "e1000-timer-not-deleted": Situation(network_situations.reload_later),
    "es1371-divide-by-zero": Situation(sound_situations.set_rate_zero),
    "es1371-endless-poll": Situation(sound_situations.open_when_the_card_is_gone),
    "es1371-interrupt-not-acknowledged": Situation(sound_situations.play_several_fragments),
    "es1371-uninitialised-list": Situation(sound_situations.nothing),
    "khttpd-byte-order": Situation(web_situations.nothing),
    "khttpd-no-terminator": Situation(web_situations.publish_and_fetch),
    "khttpd-reference-not-taken": Situation(web_situations.publish_and_fetch),
    "khttpd-use-after-free": Situation(web_situations.nothing),
    "pcnet32-error-path-leak": Situation(_ioctl(ethtool.get_regs_without_room)),
    "pcnet32-freed-before-sent": Situation(network_situations.transmit_in_bursts),
    "pcnet32-goes-on-with-null": Situation(network_situations.receive_without_memory),
    "pcnet32-length-trusted": Situation(network_situations.receive_a_long_frame),
    "pcnet32-missing-unlock": Situation(network_situations.ask_for_no_phy),
    "sb-module-not-held": Situation(sound_situations.unload_while_open),
    "sb-signed-length": Situation(sound_situations.write_two_gibibytes),
    "sb-use-after-free": Situation(sound_situations.reload),
    "sb-wrong-sizeof": Situation(sound_situations.nothing),
    "vfat-brelse-twice": Situation(file_situations.nothing),
    "vfat-byte-order": Situation(file_situations.nothing),
    "vfat-iput-twice": Situation(file_situations.list_files_in_use),
    "vfat-lock-taken-twice": Situation(file_situations.nothing),
    "vfat-missing-unlock": Situation(file_situations.fill_the_disk),
    "vfat-off-by-one-cluster": Situation(file_situations.fill_the_disk),
    "vfat-wrong-sizeof": Situation(file_situations.use_a_long_name),
}


def situation(bug: str) -> Situation:
    """Return what brings a bug out.

    Parameters
    ----------
    bug : str
        Its id.

    Raises
    ------
    LookupError
        When nobody has said.
    """
    if bug not in _SITUATIONS:
        raise LookupError(f"nobody has said what brings the bug {bug!r} out")
    return _SITUATIONS[bug]
