"""The lists in RAM that a 3C905C works through: download and upload packet descriptors.

Source: 3Com 3C90xC NICs Technical Reference, chapters 6 (packet download) and 7 (packet upload).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from nooks_lab.machine.devices.c905_registers import (
    DN_FRAG_LAST,
    DN_FRAG_LENGTH,
    FSH_ADD_IP_CHECKSUM,
    FSH_ADD_TCP_CHECKSUM,
    FSH_ADD_UDP_CHECKSUM,
    FSH_CRC_APPEND_DISABLE,
    FSH_EMPTY,
    FSH_ROUND_UP,
    FSH_ROUND_UP_DEFEAT,
    MOST_FRAGMENTS,
)
from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.machine.ethernet import FCS_BYTES, frame_check_sequence, ones_complement_sum, pad

STATUS_OFFSET = 4
_WORD = struct.Struct("<I")
_HEAD = struct.Struct("<II")
_TCP, _UDP = 6, 17
_CHECKSUM_AT = {_TCP: 16, _UDP: 6}


@dataclass(frozen=True)
class Download:
    """A download packet descriptor: the frame start header, and the bytes of its fragments one after another."""

    header: int
    data: bytes


def read_word(master: PciDevice, address: int) -> int:
    """Read a word of a descriptor.

    Raises
    ------
    MasterAbort
        When it lies nowhere.
    """
    return int(_WORD.unpack(master.dma_read(address, _WORD.size))[0])


def write_word(master: PciDevice, address: int, value: int) -> None:
    """Write a word of a descriptor; see :func:`read_word`."""
    master.dma_write(address, _WORD.pack(value & 0xFFFFFFFF))


def _fragments(master: PciDevice, descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield address and length of each fragment, up to the one that says that it is the last."""
    at = descriptor + _HEAD.size
    for _ in range(MOST_FRAGMENTS):
        address, length = _HEAD.unpack(master.dma_read(at, _HEAD.size))
        yield address, length & DN_FRAG_LENGTH
        if length & DN_FRAG_LAST:
            return
        at += _HEAD.size


def read_download(master: PciDevice, descriptor: int) -> Download:
    """Fetch a descriptor and what its fragments point to; see :func:`read_word`."""
    header = read_word(master, descriptor + STATUS_OFFSET)
    data = b""
    if not header & FSH_EMPTY:
        for address, length in _fragments(master, descriptor):
            data += master.dma_read(address, length)
    return Download(header, data)


def frame_on_line(download: Download) -> tuple[bytes, bool]:
    """Return the frame as it leaves, without check sequence, and whether its check sequence is right."""
    frame, header = download.data, download.header
    if not header & FSH_ROUND_UP_DEFEAT and not header & 1:
        # 00 rounds up to a multiple of four bytes, 10 to one of two; x1 does not round.
        multiple = 2 if header & FSH_ROUND_UP else 4
        frame += bytes(-len(frame) % multiple)
    frame = _with_checksums(frame, header)
    if header & FSH_CRC_APPEND_DISABLE:
        frame, check = frame[:-FCS_BYTES], frame[-FCS_BYTES:]
        return frame, check == frame_check_sequence(frame)
    return pad(frame), True


def _with_checksums(frame: bytes, header: int) -> bytes:
    """Fill in the checksums that the header asks for, in a frame that carries IPv4 without fragments."""
    if not header & (FSH_ADD_IP_CHECKSUM | FSH_ADD_TCP_CHECKSUM | FSH_ADD_UDP_CHECKSUM):
        return frame
    if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4:
        return frame
    words = (frame[14] & 15) * 4
    total = int.from_bytes(frame[16:18], "big")
    if words < 20 or not words <= total <= len(frame) - 14:
        return frame
    packet = bytearray(frame[14 : 14 + total])
    protocol = packet[9]
    wanted = {_TCP: FSH_ADD_TCP_CHECKSUM, _UDP: FSH_ADD_UDP_CHECKSUM}.get(protocol, 0)
    at = words + _CHECKSUM_AT.get(protocol, 0)
    if header & wanted and at + 2 <= total:
        packet[at : at + 2] = bytes(2)
        pseudo = bytes(packet[12:20]) + bytes((0, protocol)) + (total - words).to_bytes(2, "big")
        sum_ = ~ones_complement_sum(pseudo + bytes(packet[words:])) & 0xFFFF
        packet[at : at + 2] = (sum_ or 0xFFFF).to_bytes(2, "big")
    if header & FSH_ADD_IP_CHECKSUM:
        packet[10:12] = bytes(2)
        packet[10:12] = (~ones_complement_sum(bytes(packet[:words])) & 0xFFFF).to_bytes(2, "big")
    return frame[:14] + bytes(packet) + frame[14 + total :]


def store_upload(master: PciDevice, descriptor: int, data: bytes) -> int:
    """Write a frame into a descriptor's fragments; returns how many bytes found no room; see :func:`read_word`."""
    position = 0
    for address, length in _fragments(master, descriptor):
        if position == len(data):
            break
        piece = data[position : position + length]
        master.dma_write(address, piece)
        position += len(piece)
    return len(data) - position
