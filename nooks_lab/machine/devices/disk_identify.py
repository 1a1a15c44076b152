"""What IDENTIFY DEVICE returns (ATA/ATAPI-4, section 8.12)."""

import struct

_HEADS, _SECTORS_PER_TRACK = 16, 63
_MOST_CYLINDERS = 16_383


def identify(sectors: int, model: str, serial: str) -> bytes:
    """Return the 256 words of a drive with LBA and DMA.

    Parameters
    ----------
    sectors : int
        Its size.
    """
    cylinders = min(_MOST_CYLINDERS, max(1, sectors // (_HEADS * _SECTORS_PER_TRACK)))
    words = bytearray(512)

    def put(word: int, *values: int) -> None:
        struct.pack_into(f"<{len(values)}H", words, 2 * word, *values)

    def text(word: int, size: int, value: str) -> None:
        data = value.encode("ascii")[:size].ljust(size)
        # The first character of each pair lies in the word's high byte.
        words[2 * word : 2 * word + size] = b"".join(data[i : i + 2][::-1] for i in range(0, size, 2))

    put(0, 0x0040)
    put(1, cylinders, 0, _HEADS, 0, 0, _SECTORS_PER_TRACK)
    text(10, 20, serial)
    text(23, 8, "1.0")
    text(27, 40, model)
    put(49, 0x0300)
    put(53, 0x0003)
    put(54, cylinders, _HEADS, _SECTORS_PER_TRACK)
    struct.pack_into("<I", words, 2 * 57, cylinders * _HEADS * _SECTORS_PER_TRACK)
    struct.pack_into("<I", words, 2 * 60, sectors)
    put(63, 0x0007)
    put(80, 0x001E)
    put(83, 0x4000)
    return bytes(words)
