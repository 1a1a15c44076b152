"""Which frames the 82540EM accepts: exact addresses, multicast hash, VLAN table.

Source: Intel 8254x Software Developer's Manual, sections 3.2.1 and 13.5 (RCTL, MTA, RAL/RAH, VFTA).
"""

from collections.abc import Sequence

from nooks_lab.machine.devices.e1000_registers import (
    MTA,
    RAH_AS,
    RAH_AV,
    RAL,
    RCTL,
    RCTL_BAM,
    RCTL_MO_SHIFT,
    RCTL_MPE,
    RCTL_UPE,
    RCTL_VFE,
    RECEIVE_ADDRESSES,
    VET,
    VFTA,
)
from nooks_lab.machine.ethernet import BROADCAST, is_tagged, tag_of

_HASH_SHIFT = (4, 3, 2, 0)
"""By RCTL.MO: where the 12 bits of the hash begin in the last two bytes of the address."""


def exact_addresses(registers: Sequence[int]) -> frozenset[bytes]:
    """Return the destination addresses that the valid RAL/RAH pairs hold.

    Parameters
    ----------
    registers : sequence of int
        All registers, by offset / 4.
    """
    addresses = set()
    for index in range(RAL >> 2, (RAL >> 2) + 2 * RECEIVE_ADDRESSES, 2):
        low, high = registers[index], registers[index + 1]
        if high & RAH_AV and not high & RAH_AS:
            addresses.add(low.to_bytes(4, "little") + (high & 0xFFFF).to_bytes(2, "little"))
    return frozenset(addresses)


def _in_hash(destination: bytes, registers: Sequence[int], offset: int) -> bool:
    bits = (destination[5] << 8 | destination[4]) >> _HASH_SHIFT[offset] & 0xFFF
    return bool(registers[(MTA >> 2) + (bits >> 5)] >> (bits & 31) & 1)


def accepts(frame: bytes, registers: Sequence[int], exact: frozenset[bytes]) -> bool:
    """Tell whether a frame of at least the shortest length passes the filters.

    Parameters
    ----------
    frame : bytes
        The frame, from its destination address on.
    registers : sequence of int
        All registers, by offset / 4.
    exact : frozenset of bytes
        What :func:`exact_addresses` makes of the same registers.
    """
    control = registers[RCTL >> 2]
    destination = frame[:6]
    if destination not in exact:
        if not destination[0] & 1:
            wanted = bool(control & RCTL_UPE)
        else:
            wanted = bool(
                control & RCTL_MPE
                or (control & RCTL_BAM and destination == BROADCAST)
                or _in_hash(destination, registers, control >> RCTL_MO_SHIFT & 3)
            )
        if not wanted:
            return False
    if control & RCTL_VFE and is_tagged(frame, registers[VET >> 2]):
        vlan = tag_of(frame) & 0xFFF
        return bool(registers[(VFTA >> 2) + (vlan >> 5)] >> (vlan & 31) & 1)
    return True
