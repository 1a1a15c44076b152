"""Where stubs go: memory that the extension's domain can read and run but not write, natively and under Nooks alike."""

from nooks_lab.faults.injector.stub import STUB_SIZE
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.module import Module
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE


class StubRoom:
    """Room for the stubs of one module.

    It is what is left of the last page of the module's text, and of that of its read-only data: the loader begins a
    page for each, and the module's end is theirs too, so that nothing of a stub is left behind.  Only a module that
    fills its pages gets another page from the kernel.
    """

    def __init__(self, kernel: Kernel, module: Module) -> None:
        assert module.image is not None
        self._kernel, self._area = kernel, 0
        self._free = [
            at
            for start, end in (module.image.text, module.image.read_only)
            if start < end
            for at in self._slots(end)
        ]

    @staticmethod
    def _slots(end: int) -> range:
        """Return the places between an address and the end of its page."""
        page_end = end + PAGE_SIZE - 1 & PAGE_MASK
        return range(-(-end // STUB_SIZE) * STUB_SIZE, page_end - STUB_SIZE + 1, STUB_SIZE)

    def take(self) -> int:
        """Return the linear address of room for one stub.

        Raises
        ------
        MemoryError
            When there is none, and the kernel has no page either.
        """
        if not self._free:
            if not self._area:
                self._area = self._kernel.vmalloc.alloc(PAGE_SIZE)
            if not self._area:
                raise MemoryError("no memory for the stubs of changed calls")
            self._free = list(range(self._area, self._area + PAGE_SIZE, STUB_SIZE))
        return self._free.pop(0)

    def give_back(self) -> None:
        """Give a page from the kernel back; the extension must not run any more."""
        if self._area:
            self._kernel.vmalloc.free(self._area)
            self._area = 0
        self._free = []
