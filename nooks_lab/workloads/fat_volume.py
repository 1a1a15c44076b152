"""An empty FAT volume, made without a tool: what a PC's disk holds before anything is stored on it.

The layout is that of Microsoft's "FAT32 File System Specification" (FAT: General Overview of On-Disk Format),
version 1.03.
"""

import struct

SECTOR = 512
_RESERVED = {12: 1, 16: 1, 32: 32}
_MEDIA = 0xF8
_ROOT_ENTRIES = 512
_FATS = 2
_SERIAL = 0x4E4C2002

_MOST_CLUSTERS = {12: 4084, 16: 65524, 32: 0x0FFFFFF5}
_FEWEST_CLUSTERS = {12: 1, 16: 4085, 32: 65525}


def format_volume(size: int, bits: int, sectors_per_cluster: int = 1) -> bytes:
    """Return an empty volume.

    Parameters
    ----------
    size : int
        Bytes.
    bits : int
        Of an entry of the FAT: 12, 16 or 32.
    sectors_per_cluster : int
        A power of two, at most 128; a sector has 512 bytes.

    Raises
    ------
    ValueError
        When no such volume of that size exists: the number of clusters decides how many bits a FAT has.
    """
    if bits not in _RESERVED:
        raise ValueError(f"a FAT has 12, 16 or 32 bits, not {bits}")
    if sectors_per_cluster not in (1, 2, 4, 8, 16, 32, 64, 128):
        raise ValueError(f"a cluster has 1, 2, 4, ... 128 sectors, not {sectors_per_cluster}")
    sectors = size // SECTOR
    reserved = _RESERVED[bits]
    root_sectors = 0 if bits == 32 else _ROOT_ENTRIES * 32 // SECTOR
    fat_sectors = _fat_sectors(sectors - reserved - root_sectors, bits, sectors_per_cluster)
    clusters = (sectors - reserved - root_sectors - _FATS * fat_sectors) // sectors_per_cluster
    if not _FEWEST_CLUSTERS[bits] <= clusters <= _MOST_CLUSTERS[bits]:
        raise ValueError(
            f"{size} bytes in clusters of {sectors_per_cluster * SECTOR} are {max(clusters, 0)} clusters; "
            f"FAT{bits} has {_FEWEST_CLUSTERS[bits]} to {_MOST_CLUSTERS[bits]}"
        )
    image = bytearray(size)
    boot = _boot_sector(sectors, bits, sectors_per_cluster, fat_sectors)
    image[:SECTOR] = boot
    first = _first_entries(bits)
    for copy in range(_FATS):
        at = (reserved + copy * fat_sectors) * SECTOR
        image[at : at + len(first)] = first
    if bits == 32:
        image[SECTOR : 2 * SECTOR] = _fsinfo(clusters - 1)
        image[6 * SECTOR : 7 * SECTOR] = boot
        image[7 * SECTOR : 8 * SECTOR] = _fsinfo(clusters - 1)
    return bytes(image)


def _fat_sectors(sectors: int, bits: int, per_cluster: int) -> int:
    """Return the length of a FAT for the clusters that then remain: the least that has an entry for each."""
    length = 1
    while True:
        clusters = (sectors - _FATS * length) // per_cluster
        needed = -(-((clusters + 2) * bits) // (8 * SECTOR))
        if needed <= length:
            return length
        length = needed


def _boot_sector(sectors: int, bits: int, per_cluster: int, fat_sectors: int) -> bytes:
    small = sectors if sectors < 1 << 16 and bits != 32 else 0
    head = b"\xeb\x58\x90" if bits == 32 else b"\xeb\x3c\x90"
    head += b"NOOKSLAB" + struct.pack(
        "<HBHBHHBHHHII",
        SECTOR,
        per_cluster,
        _RESERVED[bits],
        _FATS,
        0 if bits == 32 else _ROOT_ENTRIES,
        small,
        _MEDIA,
        0 if bits == 32 else fat_sectors,
        63,
        255,
        0,
        0 if small else sectors,
    )
    if bits == 32:
        head += struct.pack("<IHHIHH12x", fat_sectors, 0, 0, 2, 1, 6)
    head += struct.pack("<BBBI", 0x80, 0, 0x29, _SERIAL) + b"NO NAME    " + f"FAT{bits:<5}".encode()
    return head.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


def _first_entries(bits: int) -> bytes:
    """Return the two entries that stand for no cluster, and on FAT32 the one of the root directory."""
    if bits == 12:
        return bytes((_MEDIA, 0xFF, 0xFF))
    if bits == 16:
        return struct.pack("<HH", 0xFF00 | _MEDIA, 0xFFFF)
    return struct.pack("<III", 0x0FFFFF00 | _MEDIA, 0x0FFFFFFF, 0x0FFFFFFF)


def _fsinfo(free: int) -> bytes:
    sector = struct.pack("<I480xIII12xI", 0x41615252, 0x61417272, free, 2, 0xAA550000)
    return sector.ljust(SECTOR, b"\0")
