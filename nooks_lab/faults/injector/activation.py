"""Whether the CPU ever runs a changed instruction, noted without slowing it down.

A hook on the one address costs nothing elsewhere, and a few nanoseconds there.  It does not touch the clock.  What
is noted is that the CPU came to the first byte of the change while the changed bytes stood there; a jump into the
middle of an instruction, or to bytes that an earlier change has shifted, is not.
"""

import ctypes
import functools
from pathlib import Path
from typing import Any

from nooks_lab.machine.machine import Machine
from nooks_lab.toolchain.compiler import compile_host_library

SOURCE = Path(__file__).with_name("activation.c")
_LONGEST = 16


class _Watched(ctypes.Structure):
    """``struct watched`` of ``activation.c``; the two declarations must agree."""

    _fields_ = (
        ("place", ctypes.c_void_p * _LONGEST),
        ("code", ctypes.c_uint8 * _LONGEST),
        ("length", ctypes.c_uint32),
        ("ran", ctypes.c_uint32),
    )


@functools.cache
def load_library() -> Any:
    """Compile ``activation.c`` for this host, or find it in the cache; returns its function."""
    return ctypes.CDLL(str(compile_host_library(SOURCE))).on_instruction


class Activation:
    """Watches one changed instruction.

    Parameters
    ----------
    address : int
        Linear address of its first byte.
    places : list of int
        The physical address of each changed byte.
    code : bytes
        What was written there.
    """

    def __init__(self, machine: Machine, address: int, places: list[int], code: bytes) -> None:
        size = min(len(code), _LONGEST)
        self._watched = _Watched(length=size)
        for index in range(size):
            self._watched.place[index] = machine.memory.address + places[index]
            self._watched.code[index] = code[index]
        self.handle = machine.cpu.watch(address, load_library(), ctypes.byref(self._watched))

    @property
    def ran(self) -> bool:
        """Tell whether the CPU has come by."""
        return bool(self._watched.ran)
