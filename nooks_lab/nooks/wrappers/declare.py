"""How a wrapper is declared: the kernel function or function pointer it stands for, and its body."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nooks_lab.nooks.domain import Domain
    from nooks_lab.nooks.manager import Nooks

KernelBody = Callable[..., int | None]
"""Takes the manager, the calling domain and the prototype's arguments."""

KERNEL_WRAPPERS: dict[str, KernelBody] = {}
EXTENSION_WRAPPERS: dict[str, Callable[..., int]] = {}

LINKED_STRAIGHT_IN = frozenset(
    [
        "jiffies",
        "current_task",
        "mem_map",
        "memcpy",
        "memmove",
        "memset",
        "memcmp",
        "strcpy",
        "strncpy",
        "strlen",
        "strcmp",
    ]
)
"""Read-only globals, and machine code that touches nothing but its arguments (paper, section 4.2)."""


def kernel_wrapper(name: str) -> Callable[[KernelBody], KernelBody]:
    """Declare the body of the wrapper of a kernel function."""

    def declare(body: KernelBody) -> KernelBody:
        KERNEL_WRAPPERS[name] = body
        return body

    return declare


def extension_wrapper(name: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Declare the body of an extension wrapper; ``struct.member`` names the function pointer.

    The body takes the manager and the arguments that the kernel passes.
    """

    def declare(body: Callable[..., int]) -> Callable[..., int]:
        EXTENSION_WRAPPERS[name] = body
        return body

    return declare


def pass_through(function: str) -> KernelBody:
    """A wrapper without pointers to check: the kernel function itself."""

    def body(nooks: "Nooks", _domain: "Domain", *arguments: Any) -> int | None:
        result: int | None = nooks.kernel_function(function)(*arguments)
        return result

    return kernel_wrapper(function)(body)
