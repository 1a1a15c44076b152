"""The isolation manager: joins the four functions at the kernel's hook points (paper, section 3.2)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from nooks_lab.kernel.errno import EIO
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.module import Module, ModuleError
from nooks_lab.kernel.structs import Types
from nooks_lab.machine.cpu import PAGE_FAULT
from nooks_lab.machine.exceptions import NAMES, NMI
from nooks_lab.nooks.interposition import Interposition
from nooks_lab.nooks.isolation.domain import DOMAIN_PAGES, BadParameter, Domain
from nooks_lab.nooks.isolation.page_tracker import Grant
from nooks_lab.nooks.layouts import nooks_layouts
from nooks_lab.nooks.log_only import DirectStore, LogOnly
from nooks_lab.nooks.recovery.manager import RecoveryManager
from nooks_lab.nooks.recovery.policy import Policy
from nooks_lab.nooks.recovery.record import Recovery
from nooks_lab.nooks.tracking.tracker import ObjectTracker, TrackedObject
from nooks_lab.nooks.wrappers.copies import (
    NET_DEVICE_OPS,
    NET_DEVICE_PRIVATE,
    NET_DEVICE_WRITABLE,
    SK_BUFF_WRITABLE,
    OperationsCopy,
    StructCopy,
)
from nooks_lab.nooks.wrappers.fs_calls import FsCalls
from nooks_lab.nooks.wrappers.fs_versions import FsVersions
from nooks_lab.nooks.xpc.calls import ExtensionFault, Xpc
from nooks_lab.nooks.xpc.deferred import DEFAULT_BATCH, DeferredCalls, check_batch
from nooks_lab.nooks.xpc.shadow import Shadows


class Nooks:
    """Isolates every module that is loaded from now on.

    Parameters
    ----------
    kernel : Kernel
        A booted kernel without modules.
    policy : Policy, optional
        What recovery does, for each extension.
    batch : int
        How many deferred calls of wrappers may wait in a queue, 1 to 64; 1 makes each at once.
    log_only : bool
        A direct store of an extension to kernel data is listed in ``stores`` and let through.
    double_fault_task : bool
        Recover an extension also when it has lost its stack pointer, which natively, and for all that the paper says
        under its Nooks too, resets the PC.
    nmi_watchdog : bool
        Recover an extension also when it loops without calling the kernel, which the paper's Nooks does not.
    tracker, xpc, recovery : callable
        Make the mechanisms, so that an exercise can give its own.

    Raises
    ------
    ValueError
        When the batch has no room in a queue.
    """

    def __init__(
        self,
        kernel: Kernel,
        policy: Policy | None = None,
        batch: int = DEFAULT_BATCH,
        tracker: Callable[[Kernel, Types], ObjectTracker] = ObjectTracker,
        xpc: Callable[[Kernel], Xpc] = Xpc,
        recovery: Callable[["Nooks"], RecoveryManager] = RecoveryManager,
        log_only: bool = False,
        double_fault_task: bool = True,
        nmi_watchdog: bool = True,
    ) -> None:
        check_batch(batch)
        self.kernel, self.batch = kernel, batch
        self.policy = policy or Policy()
        self.types = Types(nooks_layouts(), kernel.memory)
        self.tracker = tracker(kernel, self.types)
        self.xpc = xpc(kernel)
        self.recovery = recovery(self)
        self.domains: list[Domain] = []
        self._numbers = 0
        self._domain_of: dict[str, Domain] = {}
        self._queues: dict[int, DeferredCalls] = {}
        self._placing: Domain | None = None
        self.shadows = Shadows(self)
        self.interposition = Interposition(self)
        self.entry_point = self.interposition.entry_point
        self.object_entry_point = self.interposition.object_entry_point
        self.release_entry_points = self.interposition.release_entry_points
        self.net_device = OperationsCopy(
            kernel.types,
            kernel.memory,
            kernel.machine.clock,
            "net_device",
            NET_DEVICE_WRITABLE,
            NET_DEVICE_PRIVATE,
            NET_DEVICE_OPS,
            self.entry_point,
        )
        self.sk_buff = StructCopy(
            kernel.types, kernel.memory, kernel.machine.clock, "sk_buff", SK_BUFF_WRITABLE
        )
        self.fs = FsVersions(self)
        self.fs_calls = FsCalls(self)
        self.interposition.add_delayed("copy back net_device", self._copy_back_device, 1)
        self.interposition.add_delayed("refresh net_device", self._refresh_device, 1)
        self.xpc.entering = self._entering
        self.xpc.at_kernel_call = self.shadows.to_kernel
        self.xpc.at_return = self._returned
        self.xpc.on_left = self.recovery.left
        hooks = kernel.hooks
        hooks.page_table_changed = self._page_table_changed
        self.log_only = LogOnly(self) if log_only else None
        hooks.kernel_entered, hooks.kernel_left = self._kernel_entered, self._kernel_left
        hooks.exception = self._exception
        hooks.bind_symbol = self._bind_symbol
        hooks.call_module = self._call_module
        hooks.module_placed = self._module_placed
        hooks.module_gone = self._module_gone
        kernel.execution.nmi_watchdog = nmi_watchdog
        self.descriptors = kernel.handle_double_faults(self._double_fault) if double_fault_task else None

    @property
    def recoveries(self) -> list[Recovery]:
        """Every recovery so far, oldest first."""
        return self.recovery.done

    @property
    def stores(self) -> list[DirectStore]:
        """The direct stores that log-only mode has let through, in the order of their first appearance."""
        return self.log_only.stores if self.log_only is not None else []

    def kernel_function(self, name: str) -> Callable[..., Any]:
        """Return the kernel function that a wrapper stands for."""
        return self.kernel.functions[name][0]

    def loaded(self, domain: Domain) -> list[Module]:
        """Return the modules of a domain that are in memory, in the order of their loading.

        A failed domain may outlive its modules, and their successors have the same names.
        """
        modules, owner = self.kernel.modules.loaded, self._domain_of
        return [modules[name] for name in domain.modules if name in modules and owner.get(name) is domain]

    def lines(self, domain: Domain) -> list[int]:
        """Return the interrupt lines that a domain has handlers on."""
        return [each.detail[0] for each in self.tracker.objects(domain, ["irqaction"])]

    def queues(self, domain: Domain) -> DeferredCalls:
        """Return a domain's two queues of deferred calls."""
        return self._queues[domain.number]

    # Isolation: page tables and the exception path

    def _kernel_entered(self) -> Any:
        self.recovery.storms.kernel_entered()
        return (self.log_only or self.xpc).kernel_entered()

    def _kernel_left(self, token: Any) -> None:
        self.recovery.storms.kernel_left()
        (self.log_only or self.xpc).kernel_left(token)

    def _page_table_changed(self, address: int, pte: int) -> None:
        for domain in self.domains:
            domain.page_table_changed(address, pte)

    def _exception(self, vector: int, regs: Any) -> bool:
        domain = self.xpc.entered_from
        if domain is None:
            # The watchdog leaves a loop of the kernel's own alone.
            return vector == NMI
        if vector == NMI:
            # Whoever looped is thrown out here; what it has used up is nobody else's.
            self.kernel.execution.rested()
            raise ExtensionFault(domain, f"livelock: {self._place(regs.eip)} does not return")
        if self.log_only is not None and self.log_only.let_through(vector, regs):
            return True
        raise ExtensionFault(domain, self._describe(vector, regs))

    def _double_fault(self, registers: dict[str, int]) -> None:
        domain, self.xpc.inside = self.xpc.inside, None
        if domain is not None:
            where, esp = self._place(registers["eip"]), registers["esp"]
            raise ExtensionFault(domain, f"double fault: at {where} the stack pointer is {esp:08x}")

    def _place(self, eip: int) -> str:
        eip &= 0xFFFFFFFF
        return str(self.kernel.symbols.find(eip) or f"{eip:08x}")

    def _describe(self, vector: int, regs: Any) -> str:
        where = self._place(regs.eip)
        what = NAMES.get(vector, f"exception {vector}")
        if vector == PAGE_FAULT:
            access = "write to" if regs.orig_eax & 2 else "read of"
            what += f": {access} {self.kernel.machine.cpu.get('cr2'):08x}"
        return f"{what} at {where}"

    # Two versions of an object, and packets in and out

    def copy_back_later(self, domain: Domain, device: TrackedObject) -> None:
        """The extension may change its version from now on: copy it back at its next return to the kernel."""
        self.interposition.defer_kernel_call(domain, "copy back net_device", device.extension)

    def bring_up_to_date(self, domain: Domain, device: TrackedObject) -> bool:
        """Prepare the extension's version for a call; False when the extension fails by it.

        An interrupt may have come while the extension was changing its version: those changes come first.
        """
        try:
            self.xpc.guarded(domain, self._bring_up_to_date, domain, device)
        except ExtensionFault as fault:
            self.fail(domain, fault.trigger)
            return False
        return True

    def _bring_up_to_date(self, domain: Domain, device: TrackedObject) -> None:
        self.interposition.run_kernel_calls(domain)
        self.net_device.to_extension(device.kernel, device.extension)
        self.copy_back_later(domain, device)

    def _copy_back_device(self, domain: Domain, extension: int) -> None:
        device = self.tracker.find(domain, "net_device", extension)
        if device is not None:
            self.net_device.to_kernel(device.kernel, device.extension)
            if self.xpc.is_occupied(domain):
                # Somebody is still in the extension, and may go on writing.
                self.copy_back_later(domain, device)

    def refresh_later(self, domain: Domain, device: TrackedObject) -> None:
        """The kernel's version has changed: bring the extension's up to date before the extension runs again."""
        self.interposition.defer_extension_call(domain, "refresh net_device", device.extension)

    def _refresh_device(self, domain: Domain, extension: int) -> None:
        device = self.tracker.find(domain, "net_device", extension)
        if device is not None:
            self.kernel.net.view(extension).state = self.kernel.net.view(device.kernel).state

    def take_packet_back(self, domain: Domain, packet: TrackedObject) -> None:
        """Revoke a packet's pages and free the extension's version."""
        head, end, _ = packet.detail
        domain.revoke(head, end - head)
        domain.heap.free(packet.extension)

    # What happens in the kernel's domain before and after an extension runs

    def _entering(self, domain: Domain) -> None:
        if self.xpc.is_occupied(domain):
            # It is entered once more, from an interrupt perhaps: what it has put into its shadows comes first.
            self.shadows.to_kernel(domain)
        self.interposition.run_extension_calls(domain)
        self.shadows.to_extension(domain)

    def _returned(self, domain: Domain) -> None:
        self.shadows.to_kernel(domain)
        self.interposition.run_kernel_calls(domain)

    # Calls and failures

    def call_extension(self, domain: Domain, otherwise: int, function: int, *arguments: int) -> int:
        """Call into a domain on the kernel's behalf; when it fails, the kernel goes on with ``otherwise``."""
        try:
            result = self.xpc.nooks_driver_call(domain, function, *arguments)
        except ExtensionFault as fault:
            self.fail(fault.domain, fault.trigger)
            return otherwise
        return result - (1 << 32) if result >> 31 and otherwise < 0 else result

    def tolerates(self, domain: Domain, refused: BadParameter) -> bool:
        """Tell whether policy has a refused parameter answered with an error code rather than recovery."""
        if self.policy.of(domain.name).bad_parameter != "error":
            return False
        self.kernel.log(f"nooks: {domain.name}: {refused}\n")
        return True

    def over_limit(self, domain: Domain, limit: str) -> None:
        """An extension uses more than it may; policy lets its request fail, or recovers it.

        Raises
        ------
        ExtensionFault
            When policy says recovery.
        """
        if self.policy.of(domain.name).resource_limit == "recover":
            raise ExtensionFault(domain, f"resource limit: {limit}")

    def fail(self, domain: Domain, trigger: str) -> None:
        """An extension has failed; starts recovery, once.

        One that fails in its init is not recovered: its init returns an error, and its loader unloads it.
        """
        if domain.failed:
            return
        domain.fail()
        if self._starts(domain):
            self.kernel.log(f"nooks: {domain.name} failed in its init: {trigger}\n")
            self.recovery.mask_lines(domain)
        else:
            self.kernel.log(f"nooks: {domain.name} failed: {trigger}\n")
            self.recovery.start(domain, trigger)

    def _starts(self, domain: Domain) -> bool:
        """Tell whether the init of a domain's only module has not returned yet."""
        modules = self.loaded(domain)
        return len(modules) == 1 and modules[0].init_result is None

    def recover(self, name: str, reason: str = "asked for") -> None:
        """Trigger recovery of an extension from outside (paper, section 3.2.4); its system must be running.

        Raises
        ------
        LookupError
            When no such extension is isolated.
        """
        domain = self.domain_with(name)
        self.kernel.execution.system_call(lambda: self.fail(domain, reason))

    # The loader

    @contextmanager
    def placing_in(self, domain: Domain | None) -> Iterator[None]:
        """Within, a module is loaded into a domain that exists, as drivers are that stack on each other."""
        outer, self._placing = self._placing, domain
        try:
            yield
        finally:
            self._placing = outer

    def new_domain(self, name: str) -> Domain:
        """Make a protection domain.

        Raises
        ------
        MemoryError
            When there is not enough memory for its tables.
        """
        if not self.kernel.pages.try_to_free_pages(DOMAIN_PAGES):
            raise MemoryError(f"no memory for a domain of {name}")
        self._numbers += 1
        domain = Domain(self.kernel, self.types, self._numbers, name, self.policy.of(name).heap_pages)
        self.domains.append(domain)
        if self.descriptors is not None:
            domain.grant(self.descriptors, 1, Grant.DESCRIPTORS)
        self.tracker.enroll(domain)
        self._queues[domain.number] = DeferredCalls(self.types, domain)
        return domain

    def _module_placed(self, module: Module) -> None:
        domain = self._placing
        if domain is not None and domain.failed:
            raise ModuleError(f"module {module.name}: domain {domain.name} has failed")
        if domain is None:
            try:
                domain = self.new_domain(module.name)
            except MemoryError as error:
                raise ModuleError(f"module {module.name}: {error}") from error
        domain.modules.append(module.name)
        self._domain_of[module.name] = domain

    def _bind_symbol(
        self, module: Module, name: str, address: int | None, provider: Module | None
    ) -> int | None:
        if provider is None:
            return self.interposition.bind(module, name, address, self._domain_of[module.name])
        if self._domain_of[module.name] is not self._domain_of.get(provider.name):
            raise ModuleError(f"module {module.name}: no wrapper for {name} of module {provider.name}")
        return address

    def _call_module(self, module: Module, call: Callable[[], int]) -> int:
        domain = self._domain_of[module.name]
        if module.init_result is None and module.image is not None:
            start, end = module.image.writable
            domain.grant(start, end - start, Grant.MODULE_DATA)
        try:
            return self.xpc.enter(domain, call)
        except ExtensionFault as fault:
            self.fail(domain, fault.trigger)
            return -EIO & 0xFFFFFFFF

    def _module_gone(self, module: Module) -> None:
        domain = self._domain_of.pop(module.name, None)
        if domain is None or self.recovery.owns(domain):
            return
        domain.modules.remove(module.name)
        if not domain.modules:
            self.recovery.release_everything(domain)
            self.dissolve(domain)

    def dissolve(self, domain: Domain) -> None:
        """End a domain: nothing is synchronised with it any more, and its memory is free."""
        self.domains.remove(domain)
        self._queues.pop(domain.number).destroy()
        self.shadows.forget(domain)
        self.tracker.dismiss(domain)
        domain.destroy()

    def domain_of(self, module: str) -> Domain | None:
        """Return the domain that a module runs in, or None."""
        return self._domain_of.get(module)

    def domain_with(self, module: str) -> Domain:
        """Return the domain that a module runs in.

        Raises
        ------
        LookupError
            When no such extension is isolated.
        """
        domain = self._domain_of.get(module)
        if domain is None:
            there = ", ".join(sorted(self._domain_of)) or "none"
            raise LookupError(f"no extension {module!r} runs in a domain; there are: {there}")
        return domain

    def forget_modules(self, names: Iterable[str]) -> None:
        """Modules of a failed domain are gone; their names are free for successors."""
        for name in names:
            self._domain_of.pop(name, None)
