"""What brings each bug of the catalogue out: operations on a lab whose driver's interface is up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ethtool
from armed_driver import BROADCAST

from nooks_lab.kernel.kernel import Kernel
from nooks_lab.lab import Lab

LARGE_MTU = 7000
"""Its receive buffers of 8 KB take four pages in a row."""
TOO_LONG = 16_200
"""Bytes of a frame that the device cannot send."""

PARAMETERS = {"null-check-2": {"TxDescriptors": 1024}}
"""Of the module; 1,024 descriptors take four pages in a row."""

_LARGEST_ORDER = 9


@contextmanager
def memory_in_small_pieces(kernel: Kernel, pieces: int = 500) -> Iterator[None]:
    """Within this, no more than two free pages stand in a row, as after days of use."""
    pages = kernel.pages
    scattered = [pages.alloc(1) for _ in range(2 * pieces)]
    held = [(block, 1) for block in scattered[1::2]]
    for order in range(_LARGEST_ORDER, 1, -1):
        while block := pages.alloc(order):
            held.append((block, order))
    for block in scattered[::2]:
        pages.free(block, 1)
    assert pages.alloc(2) == 0
    try:
        yield
    finally:
        for block, order in held:
            pages.free(block, order)


def set_mtu(lab: Lab, mtu: int) -> None:
    kernel, device = lab.kernel, lab.kernel.net.by_name("eth0")
    kernel.in_task("ifconfig", lambda: kernel.execution.call(device.change_mtu, device.address, mtu))


def receive_when_memory_is_short(lab: Lab) -> None:
    set_mtu(lab, LARGE_MTU)
    lab.run(0.1)
    with memory_in_small_pieces(lab.kernel):
        lab.peer.send(BROADCAST)
        lab.run(0.1)


def transmit_too_long(lab: Lab) -> None:
    lab.kernel.send_frame("eth0", bytes(TOO_LONG))
    lab.run(0.1)


def close(lab: Lab) -> None:
    lab.kernel.ifconfig_down("eth0")


def open_when_memory_is_short(lab: Lab) -> None:
    lab.kernel.ifconfig_down("eth0")
    with memory_in_small_pieces(lab.kernel):
        lab.kernel.ifconfig_up("eth0")


def open_with_large_mtu_when_memory_is_short(lab: Lab) -> None:
    lab.kernel.ifconfig_down("eth0")
    set_mtu(lab, LARGE_MTU)
    open_when_memory_is_short(lab)


def get_eeprom_twice(lab: Lab) -> None:
    ethtool.get_eeprom(lab)
    ethtool.get_eeprom(lab)


PROVOCATIONS: dict[str, Callable[[Lab], object]] = {
    "null-check-1": receive_when_memory_is_short,
    "null-check-2": open_when_memory_is_short,
    "null-check-3": close,
    "stack-1": ethtool.blink,
    "stack-2": lambda lab: set_mtu(lab, 1400),
    "stack-3": ethtool.get_drvinfo,
    "heap-1": close,
    "heap-2": ethtool.get_regs,
    "heap-3": get_eeprom_twice,
    "user-pointer-1": ethtool.get_link,
    "user-pointer-2": ethtool.get_link,
    "user-pointer-3": ethtool.get_eeprom_without_room,
    "double-free-1": ethtool.get_regs_without_room,
    "double-free-2": transmit_too_long,
    "double-free-3": open_with_large_mtu_when_memory_is_short,
}
