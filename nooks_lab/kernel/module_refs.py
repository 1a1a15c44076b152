"""Which module uses which: ``struct module_ref``, in guest memory (Linux 2.4 ``kernel/module.c``).

The user's ``deps`` is an array with a reference to each module that it uses; the ``refs`` of a module that
is used chains all references to it, through ``next_ref``.  Both start in ``struct module``.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types


class ModuleRefs:
    """Makes and ends references; a module is the view of its ``struct module``."""

    def __init__(self, types: Types, slab: SlabAllocator) -> None:
        self._types, self._slab = types, slab

    def add(self, user: Any, used: Sequence[Any]) -> bool:
        """Record the modules that a module uses, each once; False, and nothing done, when memory is short."""
        if not used:
            return True
        deps = self._slab.zalloc(len(used) * self._types.size("module_ref"))
        if not deps:
            return False
        user.deps, user.ndeps = deps, len(used)
        for entry, module in zip(self._deps(user), used, strict=True):
            entry.dep, entry.ref, entry.next_ref = module.address, user.address, module.refs
            module.refs = entry.address
        return True

    def drop(self, module: Any) -> None:
        """Forget a module that goes: what it uses, and that others use it."""
        for entry in self._refs(module):
            entry.dep = 0
        for entry in self._deps(module):
            if entry.dep:
                self._unchain(entry)
        if module.deps:
            self._slab.free(module.deps)

    def users(self, module: Any) -> list[Any]:
        """Return the modules that use a module, the latest first."""
        return [self._types.view("module", entry.ref) for entry in self._refs(module)]

    def _deps(self, user: Any) -> Iterator[Any]:
        size = self._types.size("module_ref")
        return (self._types.view("module_ref", user.deps + i * size) for i in range(user.ndeps))

    def _refs(self, module: Any) -> Iterator[Any]:
        at = module.refs
        while at:
            entry = self._types.view("module_ref", at)
            yield entry
            at = entry.next_ref

    def _unchain(self, gone: Any) -> None:
        link = self._types.view("module", gone.dep).offset_of("refs")
        while at := self._types.memory.u32(link):
            if at == gone.address:
                self._types.memory.set_u32(link, gone.next_ref)
                return
            link = self._types.view("module_ref", at).offset_of("next_ref")
