"""The use of the module that a struct of file operations belongs to (Linux 2.4's ``fops_get`` and ``fops_put``)."""

from nooks_lab.kernel.fs.parts import FsParts


def fops_get(parts: FsParts, operations: int) -> int:
    """Count one use more, so that the module cannot be unloaded meanwhile; returns the operations."""
    _count(parts, operations, 1)
    return operations


def fops_put(parts: FsParts, operations: int) -> None:
    """Count one use less."""
    _count(parts, operations, -1)


def _count(parts: FsParts, operations: int, step: int) -> None:
    owner = parts.view("file_operations", operations).owner if operations else 0
    if owner:
        parts.view("module", owner).usecount += step
