"""``printk`` and its ring buffer ``log_buf`` in guest memory (Linux 2.4 ``kernel/printk.c``)."""

from nooks_lab.kernel.exports import VaList, export
from nooks_lab.kernel.format import vsprintf
from nooks_lab.machine.linear import LinearMemory

LOG_BUF_LEN = 16384


class Printk:
    """The kernel's log.

    Parameters
    ----------
    log_buf, log_start, log_end : int
        Addresses of the buffer and of its two counters, which only grow.
    """

    def __init__(self, memory: LinearMemory, log_buf: int, log_start: int, log_end: int) -> None:
        self._memory = memory
        self._buffer, self._start, self._end = log_buf, log_start, log_end

    @export(cycles=1_500)
    def printk(self, fmt: int, arguments: VaList) -> int:
        """Format a message into the log; returns its length."""
        return self.log(vsprintf(self._memory, self._memory.string(fmt), arguments))

    @export(cycles=600)
    def sprintf(self, buf: int, fmt: int, arguments: VaList) -> int:
        """Format into a buffer of the caller's."""
        text = vsprintf(self._memory, self._memory.string(fmt), arguments)
        self._memory.write(buf, text + b"\0")
        return len(text)

    @export(cycles=600)
    def snprintf(self, buf: int, size: int, fmt: int, arguments: VaList) -> int:
        """Format into a buffer of ``size`` bytes; returns the length that the whole text has."""
        text = vsprintf(self._memory, self._memory.string(fmt), arguments)
        if size:
            self._memory.write(buf, text[: size - 1] + b"\0")
        return len(text)

    def log(self, text: bytes) -> int:
        """Append text to the ring; the oldest goes when it is full."""
        end = self._memory.u32(self._end)
        for offset in range(0, len(text), LOG_BUF_LEN):
            chunk = text[offset : offset + LOG_BUF_LEN]
            at = end % LOG_BUF_LEN
            first = min(len(chunk), LOG_BUF_LEN - at)
            self._memory.write(self._buffer + at, chunk[:first])
            self._memory.write(self._buffer, chunk[first:])
            end += len(chunk)
        self._memory.set_u32(self._end, end)
        if end - self._memory.u32(self._start) > LOG_BUF_LEN:
            self._memory.set_u32(self._start, end - LOG_BUF_LEN)
        return len(text)

    def text(self) -> str:
        """Return what ``dmesg`` prints: the log without the levels."""
        start, end = self._memory.u32(self._start), self._memory.u32(self._end)
        at = start % LOG_BUF_LEN
        size = min(end - start, LOG_BUF_LEN)
        data = self._memory.read(self._buffer + at, min(size, LOG_BUF_LEN - at))
        data += self._memory.read(self._buffer, size - len(data))
        lines = data.decode("latin-1").split("\n")
        return "\n".join(line[3:] if line[:1] == "<" and line[2:3] == ">" else line for line in lines)
