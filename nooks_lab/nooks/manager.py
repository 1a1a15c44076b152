"""The isolation manager: joins the four functions at the kernel's hook points (paper, section 3.1)."""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.exports import Signature
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.modules import Module, ModuleError
from nooks_lab.machine.cpu import PAGE_FAULT
from nooks_lab.machine.exceptions import NAMES
from nooks_lab.nooks.copies import (
    NET_DEVICE_OPS,
    NET_DEVICE_PRIVATE,
    NET_DEVICE_WRITABLE,
    SK_BUFF_WRITABLE,
    StructCopy,
)
from nooks_lab.nooks.domain import Domain
from nooks_lab.nooks.recovery import Recovery, RecoveryManager
from nooks_lab.nooks.tracker import TYPES, ObjectTracker
from nooks_lab.nooks.wrappers import memory, net, pci, tasks
from nooks_lab.nooks.wrappers.declare import EXTENSION_WRAPPERS, KERNEL_WRAPPERS, LINKED_STRAIGHT_IN
from nooks_lab.nooks.xpc import ExtensionFault, Xpc

WRAPPER_MODULES = (memory, tasks, pci, net)
"""Importing them declares their wrappers."""

EIO = 5


class Nooks:
    """Isolates every module that is loaded from now on.

    Parameters
    ----------
    kernel : Kernel
        A booted kernel without modules.
    tracker, xpc, recovery : callable
        Make the mechanisms, so that an exercise can give its own.
    """

    def __init__(
        self,
        kernel: Kernel,
        tracker: Callable[[], ObjectTracker] = ObjectTracker,
        xpc: Callable[[Kernel], Xpc] = Xpc,
        recovery: Callable[["Nooks"], RecoveryManager] | None = None,
    ) -> None:
        self.kernel = kernel
        self.tracker = tracker()
        self.xpc = xpc(kernel)
        self.recovery = recovery(self) if recovery else RecoveryManager(self)
        self.xpc.on_left = self.recovery.left
        self.domains: list[Domain] = []
        self._numbers = 0
        self._domain_of: dict[str, Domain] = {}
        self._kernel_gates: dict[str, int] = {}
        self._entry_points: dict[str, int] = {}
        self._idle_gates: dict[str, list[int]] = {}
        self._gate_objects: dict[int, int] = {}
        self._object_gates: dict[int, list[tuple[str, int]]] = {}
        ops = (*NET_DEVICE_PRIVATE, *NET_DEVICE_OPS)
        types, linear = kernel.types, kernel.memory
        self.net_device = StructCopy(types, linear, "net_device", NET_DEVICE_WRITABLE, ops)
        self.sk_buff = StructCopy(types, linear, "sk_buff", SK_BUFF_WRITABLE)
        for name in KERNEL_WRAPPERS:
            self._kernel_gates[name] = self._make_kernel_gate(name)
        hooks = kernel.hooks
        hooks.page_table_changed = self._page_table_changed
        hooks.kernel_entered = self.xpc.kernel_entered
        hooks.kernel_left = self.xpc.kernel_left
        hooks.exception = self._exception
        hooks.bind_symbol = self._bind_symbol
        hooks.call_module = self._call_module
        hooks.module_placed = self._module_placed
        hooks.module_gone = self._module_gone

    @property
    def recoveries(self) -> list[Recovery]:
        """Every recovery so far, oldest first."""
        return self.recovery.done

    def kernel_function(self, name: str) -> Callable[..., Any]:
        """Return the kernel function that a wrapper stands for."""
        return self.kernel.functions[name][0]

    # Isolation: page tables and the exception path

    def _page_table_changed(self, address: int, pte: int) -> None:
        for domain in self.domains:
            domain.page_table_changed(address, pte)

    def _exception(self, vector: int, regs: Any) -> bool:
        domain = self.xpc.entered_from
        if domain is None:
            return False
        raise ExtensionFault(domain, self._describe(vector, regs))

    def _describe(self, vector: int, regs: Any) -> str:
        eip = regs.eip & 0xFFFFFFFF
        where = self.kernel.symbols.find(eip) or f"{eip:08x}"
        what = NAMES.get(vector, f"exception {vector}")
        if vector == PAGE_FAULT:
            access = "write to" if regs.orig_eax & 2 else "read of"
            what += f": {access} {self.kernel.machine.cpu.get('cr2'):08x}"
        return f"{what} at {where}"

    # Interposition

    def _make_kernel_gate(self, name: str) -> int:
        body = KERNEL_WRAPPERS[name]
        _, mark, prototype = self.kernel.functions[name]

        def enter(*arguments: Any) -> Any:
            return self.xpc.nooks_kernel_call(lambda domain: body(self, domain, *arguments))

        return self.kernel.execution.add_function(f"nooks_{name}", enter, Signature(prototype), mark.cycles)

    def _signature(self, kind: str) -> Signature:
        struct, member = kind.split(".")
        pointer = self.kernel.layouts.structs[struct].fields[member].type
        assert pointer.target is not None
        assert pointer.target.function is not None
        return Signature(pointer.target.function)

    def entry_point(self, kind: str) -> int:
        """Return the address of the extension wrapper of a function pointer (``struct.member``)."""
        address = self._entry_points.get(kind)
        if address is None:
            body = EXTENSION_WRAPPERS[kind]
            address = self.kernel.execution.add_function(
                f"nooks_{kind}", lambda *arguments: body(self, *arguments), self._signature(kind)
            )
            self._entry_points[kind] = address
        return address

    def object_entry_point(self, kind: str, kernel_object: int) -> int:
        """Return a wrapper for one object, which its body gets first; for calls that do not name it."""
        idle = self._idle_gates.setdefault(kind, [])
        if idle:
            address = idle.pop()
        else:
            body = EXTENSION_WRAPPERS[kind]

            def enter(*arguments: Any) -> int:
                return body(self, self._gate_objects[address], *arguments)

            address = self.kernel.execution.add_function(f"nooks_{kind}", enter, self._signature(kind))
        self._gate_objects[address] = kernel_object
        self._object_gates.setdefault(kernel_object, []).append((kind, address))
        return address

    def release_entry_points(self, kernel_object: int) -> None:
        """Give an object's wrappers back, for the next object."""
        for kind, address in self._object_gates.pop(kernel_object, []):
            self._idle_gates[kind].append(address)
            del self._gate_objects[address]

    def call_extension(self, domain: Domain, otherwise: int, function: int, *arguments: int) -> int:
        """Call into a domain on the kernel's behalf; when it fails, the kernel goes on with ``otherwise``."""
        try:
            result = self.xpc.nooks_driver_call(domain, function, *arguments)
        except ExtensionFault as fault:
            self.fail(fault.domain, fault.trigger)
            return otherwise
        return result - (1 << 32) if result >> 31 and otherwise < 0 else result

    def fail(self, domain: Domain, trigger: str) -> None:
        """An extension has failed; starts recovery, once.

        One that fails in its init is not recovered: its init returns an error, and its loader unloads it.
        """
        if domain.failed:
            return
        domain.failed = True
        if self.kernel.modules.loaded[domain.modules[0]].init_result is None:
            self.kernel.log(f"nooks: {domain.name} failed in its init: {trigger}\n")
        else:
            self.kernel.log(f"nooks: {domain.name} failed: {trigger}\n")
            self.recovery.start(domain, trigger)

    # The loader

    def _module_placed(self, module: Module) -> None:
        self._numbers += 1
        domain = Domain(self.kernel, self._numbers, module.name, modules=[module.name])
        self.domains.append(domain)
        self._domain_of[module.name] = domain

    def _bind_symbol(
        self, module: Module, name: str, address: int | None, provider: Module | None
    ) -> int | None:
        if provider is not None:
            if self._domain_of.get(provider.name) is self._domain_of[module.name]:
                return address
            raise ModuleError(f"module {module.name}: no wrapper for {name} of module {provider.name}")
        if address is None or name in LINKED_STRAIGHT_IN:
            return address
        gate = self._kernel_gates.get(name)
        if gate is None:
            raise ModuleError(f"module {module.name}: no wrapper for {name}")
        return gate

    def _call_module(self, module: Module, call: Callable[[], int]) -> int:
        domain = self._domain_of[module.name]
        if module.init_result is None and module.image is not None:
            start, end = module.image.writable
            domain.grant(start, end - start, "module data")
        try:
            return self.xpc.enter(domain, call)
        except ExtensionFault as fault:
            self.fail(domain, fault.trigger)
            return -EIO & 0xFFFFFFFF

    def _module_gone(self, module: Module) -> None:
        domain = self._domain_of.pop(module.name)
        if not self.recovery.owns(domain):
            self.tracker.release(domain, TYPES)
            self.dissolve(domain)

    def dissolve(self, domain: Domain) -> None:
        """End a domain: nothing is synchronised with it any more, and its memory is free."""
        self.domains.remove(domain)
        domain.destroy()

    def domain_of(self, module: str) -> Domain | None:
        """Return the domain that a module runs in."""
        return self._domain_of.get(module)
