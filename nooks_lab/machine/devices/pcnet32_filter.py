"""Which frames the PCnet controllers accept: station address, broadcast, logical address filter.

Source: AMD publication 20550 (Am79C971), section "Address Matching".
"""

import zlib
from collections.abc import Sequence

from nooks_lab.machine.devices.pcnet32_descriptors import RX_BAM, RX_LAFM, RX_PAM
from nooks_lab.machine.devices.pcnet32_registers import (
    LADRF,
    MODE,
    MODE_DRCVBC,
    MODE_DRCVPA,
    MODE_PROM,
    PADR,
)
from nooks_lab.machine.ethernet import BROADCAST


def hash_bit(destination: bytes) -> int:
    """Return which of the filter's 64 bits an address selects: the upper six of its CRC-32."""
    # The controller takes the register before the inversion that ends a frame check sequence.
    return (zlib.crc32(destination) ^ 0xFFFFFFFF) >> 26


def _passes_hash(destination: bytes, csr: Sequence[int]) -> bool:
    bit = hash_bit(destination)
    return bool(csr[LADRF + (bit >> 4)] >> (bit & 15) & 1)


def match(frame: bytes, csr: Sequence[int]) -> int | None:
    """Return the match bits of RMD1 for a frame (none in promiscuous mode, perhaps), or None to reject it.

    Parameters
    ----------
    frame : bytes
        From its destination address on.
    csr : sequence of int
        All control and status registers.
    """
    destination = frame[:6]
    mode = csr[MODE]
    found = 0
    if not destination[0] & 1:
        station = b"".join(word.to_bytes(2, "little") for word in csr[PADR : PADR + 3])
        if destination == station and not mode & MODE_DRCVPA:
            found = RX_PAM
    elif destination == BROADCAST and not mode & MODE_DRCVBC:
        found = RX_BAM
    elif _passes_hash(destination, csr):
        found = RX_LAFM
    return found if found or mode & MODE_PROM else None
