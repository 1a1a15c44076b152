"""Log-only mode: each direct store of an extension to kernel data, with the line of C that makes it.

A driver written for Linux may store straight into kernel structures; before it can be isolated somebody must find
those stores (paper, section 4.3).  In this mode such a store is no failure.  The exception handler makes the page
writable in the domain's table and sets TF in the saved EFLAGS; the CPU executes the one instruction and
traps (SDM volume 3B, section 17.3.2), and the debug exception's handler takes the right away again.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nooks_lab.kernel.module import Module
from nooks_lab.kernel.page_table import PAGE_OFFSET
from nooks_lab.machine.cpu import EFLAGS_TF, PAGE_FAULT
from nooks_lab.machine.exceptions import DEBUG
from nooks_lab.machine.memory import PAGE_MASK
from nooks_lab.machine.paging import PF_PRESENT, PF_WRITE, RW, P
from nooks_lab.nooks.isolation.domain import STACK_SIZE, Domain
from nooks_lab.nooks.kernel_data import name_kernel_data
from nooks_lab.toolchain.lines import locate

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_DEEPEST_CALLER = 8


@dataclass(frozen=True)
class DirectStore:
    """One place in an extension's code that stores to one piece of kernel data.

    Attributes
    ----------
    extension : str
        The module whose code it is.
    address : int
        Where the first of its stores went.
    symbol : str
        What lies there; see :func:`~nooks_lab.nooks.kernel_data.name_kernel_data`.
    eip : int
        The instruction: in the extension, or in a function like ``memcpy`` that the extension runs in place.
    function : str
        The extension's function that made the store, or called for it.
    file, line : str or None, int or None
        Where that stands in the extension's source; None without debug information.
    count : int
        Stores so far; each turn of a ``rep`` counts.
    """

    extension: str
    address: int
    symbol: str
    eip: int
    function: str
    file: str | None
    line: int | None
    count: int

    @property
    def where(self) -> str:
        """Source file and line, or the address of the instruction when they are unknown."""
        return f"{self.eip:08x}" if self.file is None else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        return f"{self.where}: {self.function} stores to {self.symbol} at {self.address:08x}"


@dataclass
class _Window:
    """The one instruction that may write pages that are not its domain's; ``store`` is noted when it has.

    Attributes
    ----------
    pages : list of int
        Two of them when the store crosses a page's end.
    eflags : int
        As the instruction found them.
    """

    domain: Domain
    eip: int
    eflags: int
    store: tuple[Any, DirectStore]
    pages: list[int] = field(default_factory=list)

    def open(self) -> None:
        for page in self.pages:
            self.domain.expose(page)

    def close(self) -> None:
        for page in self.pages:
            self.domain.cover(page)


@dataclass
class _Entry:
    """One entry into the kernel: what Xpc goes back to, and the window that the entry closed."""

    token: Any
    window: _Window | None


class LogOnly:
    """Lets stores through, one at a time, and keeps the list.

    No window is open while the kernel runs.  An interrupt that comes before the store has been executed closes
    the window, and its end opens it again; what the interrupt calls in the same domain has windows of its own.

    Parameters
    ----------
    nooks : Nooks
        The manager; its domains are the ones that are watched.
    """

    def __init__(self, nooks: "Nooks") -> None:
        self._nooks, self._kernel, self._xpc = nooks, nooks.kernel, nooks.xpc
        self._window: _Window | None = None
        self._entry = _Entry(None, None)
        self._stores: dict[Any, DirectStore] = {}

    @property
    def stores(self) -> list[DirectStore]:
        """Every direct store so far, in the order of their first appearance."""
        return list(self._stores.values())

    # The kernel's entry and exit, around those of Xpc

    def kernel_entered(self) -> _Entry:
        """An exception or interrupt has come: no domain keeps a right that was not granted."""
        window, self._window = self._window, None
        if window is not None:
            window.close()
        self._entry = entry = _Entry(self._xpc.kernel_entered(), window)
        return entry

    def kernel_left(self, entry: _Entry) -> None:
        """Back to where the CPU was, which may be before a store that is to be let through."""
        self._xpc.kernel_left(entry.token)
        if entry.window is not None:
            entry.window.open()
        self._window = entry.window

    # The exceptions

    def let_through(self, vector: int, regs: Any) -> bool:
        """First thing in an exception handler; True when the exception is one of this mode's making.

        Parameters
        ----------
        regs : view of struct pt_regs
            What the handler returns to.
        """
        domain = self._xpc.entered_from
        if domain is None:
            return False
        if vector == DEBUG:
            return self._has_executed(regs)
        return vector == PAGE_FAULT and self._may_execute(domain, regs)

    def _may_execute(self, domain: Domain, regs: Any) -> bool:
        address = self._kernel.machine.cpu.get("cr2")
        page, eip = address & PAGE_MASK, regs.eip & 0xFFFFFFFF
        writes_present = regs.orig_eax & (PF_PRESENT | PF_WRITE) == PF_PRESENT | PF_WRITE
        # What is read-only for the kernel too would be a failure without Nooks as well.
        if not writes_present or page < PAGE_OFFSET or self._kernel.page_table.pte(page) & (P | RW) != P | RW:
            return False
        window = self._entry.window
        if window is None or window.eip != eip:
            window = _Window(domain, eip, regs.eflags, self._describe(domain, regs, address))
        elif page in window.pages:
            return False
        window.pages.append(page)
        regs.eflags |= EFLAGS_TF
        self._entry.window = window
        return True

    def _has_executed(self, regs: Any) -> bool:
        window, self._entry.window = self._entry.window, None
        if window is None:
            return False
        self._note(*window.store)
        regs.eflags = regs.eflags & ~EFLAGS_TF | window.eflags & EFLAGS_TF
        # With a TF of the extension's own the trap is its trap too.
        return not window.eflags & EFLAGS_TF

    # The list

    def _note(self, key: Any, store: DirectStore) -> None:
        known = self._stores.get(key)
        if known is None:
            self._kernel.log(f"nooks: {store.extension}: direct store: {store}\n")
        self._stores[key] = store if known is None else replace(known, count=known.count + 1)

    def _describe(self, domain: Domain, regs: Any, address: int) -> tuple[Any, DirectStore]:
        """Return a store, and what makes two stores the same: the place in the object, and the data."""
        eip = regs.eip & 0xFFFFFFFF
        symbol = name_kernel_data(self._nooks, domain, address)
        module, at = self._extension_code(domain, eip, regs.ebp & 0xFFFFFFFF)
        if module is None or module.image is None:
            function = str(self._kernel.symbols.find(eip) or f"{eip:08x}")
            return (domain.name, eip, symbol), DirectStore(
                domain.name, address, symbol, eip, function, None, None, 1
            )
        found = self._kernel.symbols.find(at)
        function = found.name if found is not None else f"{at:08x}"
        sections = [(base, index) for index, base in module.image.sections.items() if base <= at]
        base, section = max(sections)
        source = locate(module.object, section, at - base)
        file, _, line = (source or "").rpartition(":")
        store = DirectStore(
            module.name,
            address,
            symbol,
            eip,
            function,
            file or None,
            int(line) if line else None,
            1,
        )
        return (module.name, module.object.sha256, section, at - base, symbol), store

    def _extension_code(self, domain: Domain, eip: int, ebp: int) -> tuple[Module | None, int]:
        """Return the module that makes a store and the place in it; for a function run in place, its call."""
        stack = domain.busy_stacks[self._kernel.sched.current_pid()].base
        at = eip
        for _ in range(_DEEPEST_CALLER):
            for module in self._nooks.loaded(domain):
                if module.holds(at):
                    return module, at
            if not stack <= ebp <= stack + STACK_SIZE - 8:
                break
            # A call's return address is that of the next instruction, perhaps of the next line.
            at = self._kernel.memory.u32(ebp + 4) - 1
            ebp = self._kernel.memory.u32(ebp)
        return None, eip
