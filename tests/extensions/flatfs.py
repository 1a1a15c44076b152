"""The tests' own filesystem: its compiled object, and images of it."""

import struct
from functools import cache
from pathlib import Path

from nooks_lab import extensions
from nooks_lab.lab import Lab
from nooks_lab.toolchain.elf import ObjectFile

BLOCK, DATA, INODES, ROOT = 1024, 10, 128, 1
_MAGIC = 0x54414C46


@cache
def flatfs() -> ObjectFile:
    """Return the compiled module."""
    return extensions.build(Path(__file__).with_name("flatfs.c"))


def mkfs(blocks: int = 1000) -> bytes:
    """Return an image of an empty filesystem of so many blocks of 1,024 bytes."""
    image = bytearray(blocks * BLOCK)
    struct.pack_into("<III", image, 0, _MAGIC, blocks, INODES)
    used = (1 << DATA) - 1
    image[BLOCK : BLOCK + 2] = used.to_bytes(2, "little")
    struct.pack_into("<HH", image, 2 * BLOCK + 64 * ROOT, 0o040755, 1)
    return bytes(image)


def blocks_in_use(image: bytes) -> int:
    """Return how many blocks the bitmap of an image says are in use."""
    return sum(byte.bit_count() for byte in image[BLOCK : 2 * BLOCK])


PLACES = (
    "lookup",
    "create",
    "get_block",
    "readdir",
    "write_inode",
    "read_super",
    "put_super",
    "delete_inode",
    "readpage",
    "statfs",
)
"""Functions that can be made to store wildly, from number 1 on."""


def arm(lab: Lab, place: str) -> None:
    """Let one of the functions of the loaded flatfs store wildly when it is called next; "" lets none."""
    module = lab.kernel.modules.loaded["flatfs"]
    assert module.image is not None
    number = PLACES.index(place) + 1 if place else 0
    lab.kernel.memory.set_u32(module.image.symbols["bug_place"], number)
