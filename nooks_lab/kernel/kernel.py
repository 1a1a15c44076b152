"""The kernel: everything put together, booted, and what a user of it calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from nooks_lab.kernel import linker
from nooks_lab.kernel.double_fault import DoubleFaultTask
from nooks_lab.kernel.execution import GATE_SIZE, Execution, Hang
from nooks_lab.kernel.exports import Export, Signature, exports_of
from nooks_lab.kernel.fs.filesystems import FileSystems
from nooks_lab.kernel.fs.filp import KernelFiles
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.hooks import Hooks
from nooks_lab.kernel.irq import NR_IRQS, Interrupts
from nooks_lab.kernel.kthread import KernelThreads
from nooks_lab.kernel.module import InitFailed, Module, ModuleError, ModuleInfo, Parameters
from nooks_lab.kernel.modules import Modules
from nooks_lab.kernel.net.bottom_half import BottomHalves
from nooks_lab.kernel.net.dev import NetDevices
from nooks_lab.kernel.net.inet import Inet
from nooks_lab.kernel.net.inet_stream import InetStream
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.skbuff import SocketBuffers
from nooks_lab.kernel.net.socket import KernelSockets
from nooks_lab.kernel.net.timer_bh import TimerBottomHalf
from nooks_lab.kernel.page_alloc import PageAllocator
from nooks_lab.kernel.page_table import PageTable, phys_to_virt
from nooks_lab.kernel.pci import Pci
from nooks_lab.kernel.printk import Printk
from nooks_lab.kernel.resource import Resources
from nooks_lab.kernel.sched import Scheduler, Thread
from nooks_lab.kernel.semaphore import Semaphores
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.softirq import SoftIrqs
from nooks_lab.kernel.sound.dma import DmaChannels
from nooks_lab.kernel.sound.sound_core import SoundCore
from nooks_lab.kernel.structs import Array, Types
from nooks_lab.kernel.symbols import SymbolTable
from nooks_lab.kernel.sysctl import Sysctl
from nooks_lab.kernel.timers import CYCLES_PER_JIFFY, Timers
from nooks_lab.kernel.traps import Panic, Traps
from nooks_lab.kernel.uaccess import UserMemory
from nooks_lab.kernel.vmalloc import Vmalloc
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.exceptions import TripleFault
from nooks_lab.machine.machine import Machine
from nooks_lab.toolchain import compiler, elf
from nooks_lab.toolchain.elf import ObjectFile
from nooks_lab.toolchain.header_layouts import read_header_layouts
from nooks_lab.toolchain.layouts import FunctionType, Layouts

T = TypeVar("T")

PATIENCE = 600 * CPU_HZ
"""Cycles, ten minutes, that whoever waits for a process gives it."""

LOAD_ADDRESS = 0x00100000
"""Physical address of the kernel image, as in Linux: one megabyte."""

_HERE = Path(__file__).parent
_INITIAL_STACK_GAP = 32


@dataclass(frozen=True)
class KernelImage:
    """The compiled kernel: its object, and all struct layouts and prototypes of its headers."""

    object: ObjectFile
    layouts: Layouts


@cache
def kernel_image() -> KernelImage:
    """Compile ``vmlinux.c`` and read the headers' layouts; the toolchain caches both."""
    include = (compiler.headers_dir(), _HERE)
    compiled = compiler.compile_c(_HERE / "vmlinux.c", include=include, defines=("__KERNEL__",))
    layouts = read_header_layouts(("vmlinux.h",), include, ("__KERNEL__",))
    return KernelImage(elf.read_object(compiled.data, "vmlinux.o"), layouts)


class Kernel:
    """A booted Linux-2.4-like kernel on a machine.

    Parameters
    ----------
    machine : Machine
        A PC just switched on, its devices plugged in.
    hooks : Hooks, optional
        Where an isolation manager attaches; plain Linux when not given.
    """

    def __init__(self, machine: Machine, hooks: Hooks | None = None) -> None:
        self.machine = machine
        self.memory = machine.linear
        self.hooks = hooks or Hooks()
        image = kernel_image()
        self.layouts = image.layouts
        self.types = Types(image.layouts, machine.linear)
        self._place_image(image.object)
        self._start_memory()
        self._start_parts()
        self._export_functions()
        self._boot_parts()

    def _place_image(self, obj: ObjectFile) -> None:
        layout = linker.lay_out(obj)
        self.image = linker.link(obj, layout, phys_to_virt(LOAD_ADDRESS), lambda name: None)
        self.machine.memory.write(LOAD_ADDRESS, self.image.data)
        self.page_table = PageTable(self.machine, LOAD_ADDRESS + len(self.image.data), self.hooks)
        self.page_table.turn_on()
        stack = self.image.symbols["init_task_union"] + 8192 - _INITIAL_STACK_GAP
        self.machine.cpu.set("esp", stack)

    def variable(self, name: str) -> int:
        """Return the address of a global variable of the kernel."""
        return self.image.symbols[name]

    def _start_memory(self) -> None:
        symbols, memory, types = self.image.symbols, self.memory, self.types
        pages = self.machine.memory.size >> 12
        mem_map = self.page_table.end
        self.first_free = mem_map + pages * types.size("page") + 4095 & ~4095
        memory.set_u32(symbols["mem_map"], phys_to_virt(mem_map))
        memory.set_u32(symbols["max_mapnr"], pages)
        self.pages = PageAllocator(
            types, memory, phys_to_virt(mem_map), symbols["free_area"], symbols["nr_free_pages"], pages
        )
        self.pages.boot(self.first_free)
        self.page_table.use_allocator(self.pages.get_zeroed_page)
        self.slab = SlabAllocator(types, memory, self.pages, symbols["malloc_sizes"], symbols["slab_redzone"])
        self.vmalloc = Vmalloc(types, memory, self.page_table, self.pages, self.slab, symbols["vmlist"])

    def _start_parts(self) -> None:
        symbols, memory, types, machine = self.image.symbols, self.memory, self.types, self.machine
        self.symbols = SymbolTable()
        self.execution = Execution(machine, symbols["gate_text"], 2048)
        self.printk = Printk(memory, symbols["log_buf"], symbols["log_start"], symbols["log_end"])
        self.execution.report = self.log
        call = self.execution.call
        stat = types.view("irq_cpustat", symbols["irq_stat"])
        self.irq_stat = stat
        self.timers = Timers(
            types,
            memory,
            machine.clock,
            symbols["jiffies"],
            symbols["timer_list_head"],
            call,
            symbols["xtime"],
        )
        self.softirqs = SoftIrqs(stat)
        self.sched = Scheduler(
            types,
            machine,
            self.pages,
            symbols["current_task"],
            symbols["last_pid"],
            symbols["init_task_union"],
            stat,
            self.execution.idle,
        )
        self.sched.jiffies = lambda: self.timers.jiffies
        self.sched.resting = self.execution.rested
        self.threads = KernelThreads(types, self.sched, self.execution)
        self.execution.need_resched = self.sched.need_resched
        desc = Array(types, self.layouts.typedefs["irq_desc_t"], symbols["irq_desc"], NR_IRQS)
        self.irq = Interrupts(
            types,
            memory,
            self.slab,
            machine.pic,
            machine.clock,
            desc,
            stat,
            call,
            self.timers.tick,
            self.softirqs.do_softirq,
        )
        self.traps = Traps(
            machine,
            types,
            self.execution,
            self.printk,
            self.sched,
            self.irq,
            self.page_table,
            self.symbols,
            self.hooks,
            stat,
            symbols["tainted"],
            symbols["panic_on_oops"],
        )
        self.user = UserMemory(memory, self.page_table, self.pages)
        self.resources = Resources(types, memory, self.slab)
        self.pci = Pci(types, memory, machine.pci, self.slab, self.pages, self.resources, symbols, call)
        self.semaphores = Semaphores(types, self.sched)
        self.fs = FileSystems(
            FsParts(
                types,
                memory,
                machine,
                self.slab,
                self.pages,
                self.sched,
                self.semaphores,
                self.timers,
                self.irq,
                self.user,
                call,
                self.log,
                symbols,
            ),
            self.page_table,
        )
        self.files = self.fs.files
        self.dma = DmaChannels(types, symbols["dma_chan_busy"])
        self.sound = SoundCore(self.fs.parts, self.fs.chrdevs, self.fs.names)
        self.skbs = SocketBuffers(types, memory, self.slab, self.pages)
        self.net = NetDevices(
            types, memory, self.slab, self.skbs, self.timers, self.softirqs, symbols, call, self.log
        )
        expired = symbols["inet_expired_timers"]
        parts = Parts(
            types,
            memory,
            machine.clock,
            self.slab,
            self.skbs,
            self.net,
            self.timers,
            self.sched,
            BottomHalves(stat, self.softirqs),
            TimerBottomHalf(types, memory, self.timers, self.softirqs, expired, call),
            symbols,
        )
        self.inet = Inet(parts)
        self.inet_stream = InetStream(parts, self.inet.tcp, self.inet.routes, self.threads)
        self.sockets = KernelSockets(parts, self.inet_stream, call)
        self.user.limit = self.threads.address_limit
        self.kernel_files = KernelFiles(self.fs.parts, self.fs.files, self.fs.table, self.threads)
        self.sysctl = Sysctl(types, memory, self.slab, self.user, symbols["sysctl_table_headers"], call)

    def _export_functions(self) -> None:
        """Give every exported function its entry point; then the loader can bind to all of them."""
        self.functions: dict[str, tuple[Callable[..., Any], Export, FunctionType]] = {}
        self.exported = dict(self.image.exported)
        parts = (
            self.pages,
            self.slab,
            self.vmalloc,
            self.printk,
            self.sched,
            self.timers,
            self.irq,
            self.user,
            self.resources,
            self.pci,
            self.dma,
            self.sound,
            self.skbs,
            self.net,
            self.inet,
            self.inet_stream,
            self.sockets,
            self.sysctl,
            self.threads,
            self.kernel_files,
            self.traps,
            self.semaphores,
            *self.fs.exporting,
        )
        self.modules = Modules(
            self.types,
            self.memory,
            self.slab,
            self.vmalloc,
            self.exported,
            self.symbols,
            self.hooks,
            self.variable("module_list"),
            self.execution.call,
        )
        for part in (*parts, self.modules, self):
            for name, (function, mark) in exports_of(part).items():
                self._export(name, function, mark)

    def _export(self, name: str, function: Callable[..., Any], mark: Export) -> None:
        prototype = self.layouts.functions.get(name)
        if prototype is None:
            raise RuntimeError(f"kernel function {name} has no prototype in the headers")
        address = self.execution.add_function(name, function, Signature(prototype), mark.cycles)
        self.functions[name] = (function, mark, prototype)
        self.exported[name] = address

    def _boot_parts(self) -> None:
        self.sched.boot()
        self.traps.boot(self.variable("gdt_table"), self.variable("idt_table"))
        self.irq.boot()
        self.user.boot()
        self.pci.boot()
        self.dma.boot()
        self.net.boot()
        self.net.watchdog = self.exported["dev_watchdog"]
        self.inet.boot(self.exported)
        self.inet_stream.boot(self.exported)
        self.fs.boot(self.exported)
        self.sound.boot(self.exported)
        self.fs.kupdate.spawn = self._daemon
        self.pages.reclaim, self.pages.may_dip = self.fs.reclaim, self.sched.may_dip
        self.symbols.add(None, *self.image.text, self.image.exported)
        names = {gate.name: address for address, gate in self.execution.gates.items()}
        self.symbols.add(None, min(self.execution.gates), max(self.execution.gates) + GATE_SIZE, names)
        self.machine.timer.program(CYCLES_PER_JIFFY)
        self.machine.cpu.set("eflags", 0x202)
        self.log("Linux version 2.4.18 (Nooks Lab)\n")

    def handle_double_faults(self, met: Callable[[dict[str, int]], None]) -> int:
        """Give the double fault a task of its own; returns the page that a switch to it writes to.

        Parameters
        ----------
        met : callable (registers)
            Told first; when it returns, the kernel panics.

        Raises
        ------
        MemoryError
            When there is no memory for it.
        """

        def handle(registers: dict[str, int]) -> None:
            met(registers)
            self.traps.panic(f"double fault at {registers['eip']:08x}, esp {registers['esp']:08x}")

        page, stack = self.pages.get_zeroed_page(), self.pages.get_zeroed_page()
        if not page or not stack:
            raise MemoryError("no memory for the double fault's task")
        return DoubleFaultTask(self.machine, self.execution, self.page_table, page, stack, handle).page

    def log(self, text: str) -> None:
        """Write a line of the kernel's own into its log; a path that is no text comes out as the bytes it was."""
        self.printk.log(text.encode("utf-8", "surrogateescape"))

    def dmesg(self) -> str:
        """Return the kernel log."""
        return self.printk.text()

    # What a user does

    def in_task(self, name: str, body: Callable[[], T]) -> T:
        """Run kernel code in the context of a new process and wait for its end.

        Raises
        ------
        Panic, Hang, TripleFault
            When the system dies of it.
        TaskDied
            When an oops killed the process.
        """
        thread = self.start(name, body)
        self.wait(thread)
        result: T = thread.result
        return result

    def start(self, name: str, body: Callable[[], Any], flags: int = 0) -> Thread:
        """Make a process that executes kernel code ``body``; :meth:`wait` or :meth:`run` runs it.

        Parameters
        ----------
        flags : int
            See :meth:`.Scheduler.spawn`.
        """
        return self.sched.spawn(name, lambda: self.execution.system_call(body), self._exit, flags)

    def _exit(self, task: Any) -> None:
        """``do_exit``: a process gives up what it has open, whatever it ended of."""
        self.execution.system_call(lambda: self.fs.table.exit(task))

    def _daemon(self, name: str, body: Callable[[], Any]) -> Thread:
        thread = self.start(name, body)
        thread.detached = True
        return thread

    def wait(self, thread: Thread) -> None:
        """Run until a process has ended; see :meth:`in_task`.  One that does not end in ``PATIENCE`` has hung."""
        name = thread.task.comm.decode("latin-1")
        if not self.execution.system_call(lambda: self.sched.run(thread, PATIENCE)):
            seconds = PATIENCE // CPU_HZ
            raise Hang(
                f"process {name} has not ended after {seconds} seconds, and whoever waits for it hangs"
            )
        if thread.killed:
            raise TaskDied(name, thread.exit_code)

    def run(self, cycles: int) -> None:
        """Let the system run for a number of cycles."""
        until = self.machine.clock.now + cycles
        self.execution.system_call(lambda: self.sched.run_until(until))

    def insmod(self, name: str, obj: ObjectFile, parameters: Parameters | None = None) -> Module:
        """Load a module in the context of a process ``insmod``.

        Raises
        ------
        ModuleError
            When it cannot be loaded, or its init fails.
        """
        module = self.modules.load(name, obj, parameters)
        result = self.in_task("insmod", lambda: self.modules.init(module))
        if result:
            self.modules.unload(module)
            raise InitFailed(name, -result)
        return module

    def rmmod(self, name: str) -> None:
        """Unload a module.

        Raises
        ------
        ModuleError
            When no such module is loaded, it is in use, or another module uses it.
        """
        module = self.modules.loaded.get(name)
        if module is None:
            raise ModuleError(f"module {name} is not loaded")
        self.in_task("rmmod", lambda: self.modules.cleanup(module))
        self.modules.unload(module)

    def lsmod(self) -> list[ModuleInfo]:
        """Return the loaded modules, the latest first, read in the context of a process ``lsmod``."""
        return self.in_task("lsmod", self.modules.lsmod)

    def ifconfig_up(self, name: str) -> int:
        """Bring a network device up in the context of a process ``ifconfig``; returns the driver's result."""
        return self.in_task("ifconfig", lambda: self.net.open(self._device(name)))

    def ifconfig_down(self, name: str) -> int:
        """Bring a network device down."""
        return self.in_task("ifconfig", lambda: self.net.close(self._device(name)))

    def _device(self, name: str) -> Any:
        dev = self.net.by_name(name)
        if dev is None:
            raise LookupError(f"no network device {name}")
        return dev

    def send_frame(self, name: str, frame: bytes) -> int:
        """Send raw bytes through a device, as a packet socket does; 0 or an error number, negated."""

        def send() -> int:
            skb = self.skbs.make(frame)
            self.skbs.view(skb).dev = self._device(name).address
            return self.net.queue_xmit(skb)

        return self.in_task("sendto", send)

    @contextmanager
    def tap(self, seen: Callable[[Any, bytes], None]) -> Iterator[None]:
        """See every frame sent and received, as ``tcpdump`` does, within a ``with``."""
        self.net.taps.append(seen)
        try:
            yield
        finally:
            self.net.taps.remove(seen)


class TaskDied(Exception):  # noqa: N818 - an event of the guest
    """A process was killed by an oops; the system goes on."""

    def __init__(self, name: str, signal: int) -> None:
        super().__init__(f"process {name} was killed by signal {signal}")
        self.signal = signal


FATAL = (Panic, Hang, TripleFault)
"""What ends the whole system, whatever was running."""

__all__ = ["FATAL", "Hang", "Kernel", "KernelImage", "Panic", "TaskDied", "TripleFault", "kernel_image"]
