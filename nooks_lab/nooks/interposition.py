"""Interposition (paper, section 4.2): entry code of all wrappers, and what the loader binds symbols to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nooks_lab.kernel.errno import EINVAL, EIO
from nooks_lab.kernel.exports import Signature
from nooks_lab.kernel.modules import Module, ModuleError
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.tracker import NoRecord
from nooks_lab.nooks.wrappers import (
    block,
    filp,
    fs,
    memory,
    net,
    pci,
    sockets,
    sound,
    sysctl,
    tasks,
    threads,
)
from nooks_lab.nooks.wrappers.decisions import Held
from nooks_lab.nooks.wrappers.declare import (
    EXTENSION_WRAPPERS,
    KERNEL_WRAPPERS,
    RUN_IN_PLACE,
    KernelWrapper,
    check_declarations,
    parse,
)
from nooks_lab.nooks.xpc.deferred import QUEUE_CYCLES, QUEUE_SIZE, CallQueue

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

WRAPPER_MODULES = (
    memory,
    tasks,
    pci,
    net,
    block,
    fs,
    fs.fs_operations,
    sound,
    threads,
    sockets,
    sysctl,
    filp,
)
"""Importing them declares their wrappers."""

CHECK_CYCLES = 15
"""The check of one parameter, beside the tracker's look-up: a few comparisons and branches."""

Delayed = Callable[..., None]
"""A delayed kernel call: takes the domain and the arguments in the queue."""


class Interposition:
    """Entry points of kernel wrappers and extension wrappers.

    Parameters
    ----------
    nooks : Nooks
        The manager that bodies get.

    Raises
    ------
    WrapperError
        When a declared wrapper does not fit the kernel.
    """

    def __init__(self, nooks: "Nooks") -> None:
        check_declarations(nooks.kernel)
        self._nooks, self._kernel, self._clock = nooks, nooks.kernel, nooks.kernel.machine.clock.block
        self._entry_points: dict[str, int] = {}
        self._idle_gates: dict[str, list[int]] = {}
        self._gate_objects: dict[int, int] = {}
        self._object_gates: dict[int, list[tuple[str, int]]] = {}
        self._delayed: list[tuple[Delayed, int, tuple[int, ...]]] = []
        self._numbers: dict[str, int] = {}
        self.kernel_gates = {name: self._make_kernel_gate(each) for name, each in KERNEL_WRAPPERS.items()}
        self._first_own = len(self._delayed)

    # Kernel wrappers: XPC on entry, checks, body

    def _make_kernel_gate(self, wrapper: KernelWrapper) -> int:
        nooks = self._nooks
        _, mark, prototype = self._kernel.functions[wrapper.name]
        run = self._checked_body(wrapper)

        def enter(*arguments: Any) -> Any:
            return nooks.xpc.nooks_kernel_call(lambda domain: run(domain, *arguments))

        gate = enter
        if wrapper.deferral:
            number = self.add_delayed(wrapper.name, run, len(wrapper.parameters), _ended(wrapper))
            result = wrapper.deferral.result

            def enter_later(*arguments: Any) -> Any:
                return result if self._defer(number, arguments) else enter(*arguments)

            gate = enter_later
        elif wrapper.in_place:

            def enter_in_place(*arguments: Any) -> Any:
                return wrapper.body(nooks, nooks.xpc.stay(), *arguments)

            gate = enter_in_place
        add_function = self._kernel.execution.add_function
        return add_function(f"nooks_{wrapper.name}", gate, Signature(prototype), mark.cycles)

    def _checked_body(self, wrapper: KernelWrapper) -> Callable[..., Any]:
        nooks, clock, body, name = self._nooks, self._clock, wrapper.body, wrapper.name
        parameters, decisions = wrapper.parameters, tuple(wrapper.decisions.items())
        cycles = CHECK_CYCLES * len(decisions)
        result = parse(wrapper.prototype).result
        error = None if result == "void" else 0 if "*" in result else -EINVAL

        def run(domain: Domain, *arguments: Any) -> Any:
            self._keep_order(domain, arguments)
            try:
                if not decisions:
                    return body(nooks, domain, *arguments)
                clock.now += cycles
                # Of a variadic function, the rest comes behind the parameters.
                named, rest = dict(zip(parameters, arguments, strict=False)), arguments[len(parameters) :]
                for parameter, decision in decisions:
                    named[parameter] = decision.check(nooks, domain, name, named[parameter], named)
                return body(nooks, domain, *named.values(), *rest)
            except BadParameter as refused:
                if not nooks.tolerates(domain, refused):
                    raise
                return error

        return run

    # Deferred calls

    def add_delayed(self, name: str, call: Delayed, count: int, ended: tuple[int, ...] = ()) -> int:
        """Give a function that may be called later its number in the queues.

        Parameters
        ----------
        count : int
            How many arguments it takes beside the domain.
        ended : tuple of int
            Which of its arguments name objects that the caller gives away.
        """
        self._numbers[name] = len(self._delayed)
        self._delayed.append((call, count, ended))
        return self._numbers[name]

    def is_delayed_function(self, number: int) -> bool:
        """Tell whether a number in a queue stands for a function."""
        return number < len(self._delayed)

    def _defer(self, number: int, arguments: tuple[Any, ...]) -> bool:
        """The extension's side of a deferred wrapper: no XPC, unless the batch is full; False defers nothing."""
        nooks = self._nooks
        domain = nooks.xpc.current_domain()
        queue = nooks.queues(domain).kernel_calls
        queue.counters.calls += 1
        if nooks.batch == 1:
            return False
        self._clock.now += QUEUE_CYCLES
        if nooks.xpc.guarded(domain, self._put, queue, number, arguments):
            nooks.xpc.nooks_kernel_call(self.run_kernel_calls)
        return True

    def _put(self, queue: CallQueue, number: int, arguments: tuple[Any, ...]) -> bool:
        """Put a call into a queue; tells whether what waits makes a batch.

        The kernel's own calls among it only take room.
        """
        count = queue.put(number, arguments)
        if count < self._nooks.batch:
            return False
        return count == QUEUE_SIZE or self._nooks.batch <= sum(
            number < self._first_own for number, *_ in queue.waiting()
        )

    def defer_kernel_call(self, domain: Domain, name: str, *arguments: int) -> None:
        """Have the kernel do something when this domain's extension has returned; the same call waits only once.

        Raises
        ------
        BadParameter
            When the queue is damaged, or has no room.
        """
        queue, number = self._nooks.queues(domain).kernel_calls, self._numbers[name]
        queue.counters.calls += 1
        if not queue.waits(number, arguments):
            queue.put(number, arguments)

    def run_kernel_calls(self, domain: Domain) -> None:
        """Run the extension-domain queue."""
        self._run(domain, self._nooks.queues(domain).kernel_calls)

    def defer_extension_call(self, domain: Domain, name: str, *arguments: int) -> None:
        """Have something done before the extension next runs; the same call waits only once."""
        queue, number = self._nooks.queues(domain).extension_calls, self._numbers[name]
        queue.counters.calls += 1
        if not queue.waits(number, arguments) and queue.put(number, arguments) >= self._nooks.batch:
            self.run_extension_calls(domain)

    def run_extension_calls(self, domain: Domain) -> None:
        """Run the kernel-domain queue."""
        self._run(domain, self._nooks.queues(domain).extension_calls)

    def _run(self, domain: Domain, queue: CallQueue) -> None:
        for number, *arguments in queue.take():
            if not self.is_delayed_function(number):
                raise BadParameter(f"the {queue.name} queue names function {number}, which there is not")
            function, count, _ = self._delayed[number]
            function(domain, *arguments[:count])

    def _keep_order(self, domain: Domain, arguments: tuple[Any, ...]) -> None:
        """A call that names an object which a waiting call gives away comes after that call."""
        queue = self._nooks.queues(domain).kernel_calls
        if queue.is_empty():
            return
        named = {arg & 0xFFFFFFFF for arg in arguments if isinstance(arg, int)}
        for number, *waiting in queue.waiting():
            if self.is_delayed_function(number):
                for index in self._delayed[number][2]:
                    if waiting[index] in named:
                        self.run_kernel_calls(domain)
                        return

    # Extension wrappers: body, then XPC

    def _signature(self, kind: str) -> Signature:
        struct, member = kind.split(".")
        pointer = self._kernel.layouts.structs[struct].fields[member].type
        assert pointer.target is not None
        assert pointer.target.function is not None
        return Signature(pointer.target.function)

    def _no_record(self, signature: Signature, short: NoRecord) -> int:
        """An extension that cannot be given an object for want of memory fails; returns what its caller gets."""
        self._nooks.fail(short.domain, str(short))
        return -EIO if signature.signed_result else 0

    def entry_point(self, kind: str) -> int:
        """Return the address of the extension wrapper of a function pointer (``struct.member``)."""
        address = self._entry_points.get(kind)
        if address is None:
            body, signature = EXTENSION_WRAPPERS[kind].body, self._signature(kind)

            def enter(*arguments: Any) -> int:
                try:
                    return body(self._nooks, *arguments)
                except NoRecord as short:
                    return self._no_record(signature, short)

            address = self._kernel.execution.add_function(f"nooks_{kind}", enter, signature)
            self._entry_points[kind] = address
        return address

    def object_entry_point(self, kind: str, kernel_object: int) -> int:
        """Return a wrapper for one object, which its body gets first; for calls that do not name it."""
        idle = self._idle_gates.setdefault(kind, [])
        if idle:
            address = idle.pop()
        else:
            body, signature = EXTENSION_WRAPPERS[kind].body, self._signature(kind)

            def enter(*arguments: Any) -> int:
                try:
                    return body(self._nooks, self._gate_objects[address], *arguments)
                except NoRecord as short:
                    return self._no_record(signature, short)

            address = self._kernel.execution.add_function(f"nooks_{kind}", enter, signature)
        self._gate_objects[address] = kernel_object
        self._object_gates.setdefault(kernel_object, []).append((kind, address))
        return address

    def release_entry_points(self, kernel_object: int) -> None:
        """Give an object's wrappers back, for the next object."""
        for kind, address in self._object_gates.pop(kernel_object, []):
            self._idle_gates[kind].append(address)
            del self._gate_objects[address]

    # The loader

    def bind(self, module: Module, name: str, address: int | None, domain: Domain) -> int | None:
        """Return what an undefined symbol of an extension is linked to.

        Raises
        ------
        ModuleError
            When it is a kernel function that has no wrapper, or memory is short.
        """
        if address is None or name in RUN_IN_PLACE:
            return address
        if name in self._kernel.layouts.variables:
            try:
                return self._nooks.shadows.bind(domain, name, address) or address
            except MemoryError as error:
                raise ModuleError(f"module {module.name}: {error}") from error
        gate = self.kernel_gates.get(name)
        if gate is None:
            raise ModuleError(f"module {module.name}: no wrapper for {name}")
        return gate


def _ended(wrapper: KernelWrapper) -> tuple[int, ...]:
    """Return which arguments of a wrapper name objects that its caller gives away."""
    ends = {name for name, use in wrapper.decisions.items() if isinstance(use, Held) and use.ends}
    return tuple(index for index, name in enumerate(wrapper.parameters) if name in ends)
