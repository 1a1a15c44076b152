"""What a disk holds: the bytes it was given, and copies of the chunks that were written since."""

SECTOR = 512
CHUNK = 4096


class DiskImage:
    """The sectors of a disk.

    The bytes that it was made of are never changed, and a chunk that was written is replaced as a whole; so a
    snapshot shares both, and costs no more than a list of the chunks.

    Parameters
    ----------
    data : bytes
        The contents; zeros fill the last sector.

    Raises
    ------
    ValueError
        When there is not one byte.
    """

    def __init__(self, data: bytes) -> None:
        if not data:
            raise ValueError("a disk image has at least one sector, this one has no byte")
        self._base = bytes(data)
        self.sectors = -(-len(data) // SECTOR)
        self._chunks: dict[int, bytes] = {}

    def _chunk(self, number: int) -> bytes:
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._base[number * CHUNK : (number + 1) * CHUNK].ljust(CHUNK, b"\0")
        return chunk

    def read(self, sector: int, count: int) -> bytes:
        """Return ``count`` sectors."""
        start, end = sector * SECTOR, (sector + count) * SECTOR
        first = start // CHUNK
        data = b"".join(map(self._chunk, range(first, -(-end // CHUNK))))
        return data[start - first * CHUNK : end - first * CHUNK]

    def write(self, sector: int, data: bytes) -> None:
        """Replace whole sectors."""
        at = sector * SECTOR
        while data:
            number, offset = divmod(at, CHUNK)
            take = min(len(data), CHUNK - offset)
            chunk = self._chunk(number)
            self._chunks[number] = chunk[:offset] + data[:take] + chunk[offset + take :]
            at, data = at + take, data[take:]

    def contents(self) -> bytes:
        """Return all sectors as they are now."""
        return self.read(0, self.sectors)

    def save(self) -> tuple[bytes, dict[int, bytes]]:
        """Return the state, shared with the image."""
        return self._base, dict(self._chunks)

    def load(self, state: tuple[bytes, dict[int, bytes]]) -> None:
        """Take a state back."""
        self._base, self._chunks = state[0], dict(state[1])
        self.sectors = -(-len(self._base) // SECTOR)
