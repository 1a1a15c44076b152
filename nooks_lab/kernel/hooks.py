"""The places where an isolation manager attaches to this kernel.

They are the places where the authors of Nooks had to change Linux (paper, section 4.1 and table 2, "kernel
changes"): page-table updates, exception handlers, the module loader's symbol binding, the call into a
module's init, and the calls through function pointers that an extension registered.  Plain Linux does
what the defaults here do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nooks_lab.kernel.module import Module


def _no_page_table_change(_address: int, _pte: int) -> None:
    pass


def _not_mine(_vector: int, _regs: Any) -> bool:
    return False


def _no_domain() -> None:
    return None


def _stay(_token: Any) -> None:
    pass


def _itself(_module: "Module", _name: str, address: int | None, _provider: "Module | None") -> int | None:
    return address


def _direct_call(_module: "Module", call: Callable[[], int]) -> int:
    return call()


def _nothing(_module: "Module") -> None:
    pass


@dataclass
class Hooks:
    """One callable per hook point.

    Attributes
    ----------
    page_table_changed : callable (linear address, pte)
        After every change of a kernel page-table entry.
    kernel_entered : callable () -> token
        First thing behind the entry code of an exception or interrupt: changes to the kernel's stack and
        page table if the CPU was elsewhere.
    kernel_left : callable (token)
        Undoes it, before the handler returns.
    exception : callable (vector, pt_regs view) -> bool
        First thing in an exception handler; True means it was dealt with.
    bind_symbol : callable (module, name, address or None, provider or None) -> address or None
        What an undefined symbol of a module is linked to; gets the address that was found and the module
        that exports it, None for the kernel.  May raise ModuleError.
    call_module : callable (module, call) -> int
        Makes the call into ``init_module`` or ``cleanup_module``.
    module_placed, module_gone : callable (module)
        After a module's memory was allocated and before it is freed.
    """

    page_table_changed: Callable[[int, int], None] = _no_page_table_change
    kernel_entered: Callable[[], Any] = _no_domain
    kernel_left: Callable[[Any], None] = _stay
    exception: Callable[[int, Any], bool] = _not_mine
    bind_symbol: Callable[["Module", str, int | None, "Module | None"], int | None] = _itself
    call_module: Callable[["Module", Callable[[], int]], int] = _direct_call
    module_placed: Callable[["Module"], None] = _nothing
    module_gone: Callable[["Module"], None] = _nothing
