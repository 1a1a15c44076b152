"""Messages: ``struct msghdr`` and the vector of buffers that it names (Linux 2.4 ``net/core/iovec.c``)."""

from collections.abc import Iterator
from typing import Any

from nooks_lab.kernel.errno import EFAULT, EMSGSIZE
from nooks_lab.kernel.kthread import USER_DS
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.sock import SocketError

UIO_MAXIOV = 1024


class Messages:
    """Data out of messages and into them."""

    def __init__(self, parts: Parts) -> None:
        self._types, self._memory, self._sched = parts.types, parts.memory, parts.sched
        self._entry = parts.types.size("iovec")

    def view(self, msg: int) -> Any:
        """Return a ``struct msghdr`` by address."""
        return self._types.view("msghdr", msg)

    def buffers(self, msg: int) -> Iterator[tuple[int, int]]:
        """Yield address and length of each buffer.

        Raises
        ------
        SocketError
            EMSGSIZE when there are too many, EFAULT when the task may not hand one of them to a system call.
        """
        header = self.view(msg)
        count = header.msg_iovlen
        if count > UIO_MAXIOV:
            raise SocketError(EMSGSIZE, f"{count} buffers are more than a message can have")
        limit = self._sched.current.addr_limit.seg or USER_DS
        for index in range(count):
            entry = self._types.view("iovec", header.msg_iov + index * self._entry)
            base, length = entry.iov_base, entry.iov_len
            if base + length > limit:
                raise SocketError(EFAULT, f"the buffer at {base:08x} is not this task's to use")
            yield base, length

    def gather(self, msg: int, size: int) -> bytes:
        """Return the first ``size`` bytes of a message's data."""
        parts = []
        for base, length in self.buffers(msg):
            take = min(length, size)
            parts.append(self._memory.read(base, take))
            size -= take
        return b"".join(parts)

    def room(self, msg: int, size: int) -> int:
        """Return how many bytes a message's buffers take, ``size`` at most."""
        return min(size, sum(length for _, length in self.buffers(msg)))

    def scatter(self, msg: int, data: bytes) -> None:
        """Put data into a message's buffers, one after the other."""
        for base, length in self.buffers(msg):
            if not data:
                return
            piece, data = data[:length], data[length:]
            self._memory.write(base, piece)
