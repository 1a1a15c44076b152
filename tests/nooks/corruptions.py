"""States of the isolation manager that cannot be: each damages one thing in guest memory.

A corruption returns what ``validate()`` must say of it, as the whole of one sentence.
"""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.irq import NR_IRQS
from nooks_lab.kernel.page_table import PAGE_OFFSET, phys_to_virt, virt_to_phys
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.paging import RW, P
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.isolation.page_tracker import Grant
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.tracking.object_types import TYPES
from nooks_lab.nooks.tracking.tracker import BUCKETS, TrackedObject, bucket
from nooks_lab.nooks.tracking.validate import validate

Corruption = Callable[["Victim"], str]

CORRUPTIONS: dict[str, Corruption] = {}


class Victim:
    """A healthy system with the e1000 up; short ways to its data."""

    def __init__(self, lab: Lab) -> None:
        assert lab.nooks is not None
        self.lab, self.kernel, self.memory = lab, lab.kernel, lab.kernel.memory
        self.nooks: Nooks = lab.nooks
        self.domain: Domain = lab.nooks.domains[0]
        # An e1000 that is up has no block of its own: as kmalloc makes one.
        block = self.domain.heap.alloc(200)
        self.nooks.tracker.add(self.domain, "heap block", block, block)

    def objects(self, kind: str) -> list[TrackedObject]:
        return [each for each in self.nooks.tracker.objects(self.domain) if each.type == kind]

    def one(self, kind: str) -> TrackedObject:
        """The oldest object of a type."""
        return self.objects(kind)[0]

    def record(self, tracked: TrackedObject) -> Any:
        return self.nooks.types.view("nooks_object", tracked.address)

    def chain_of(self, tracked: TrackedObject) -> int:
        """The number of an object's chain in its domain's table."""
        return bucket(TYPES[tracked.type].number, tracked.extension)

    def version_chain_of(self, tracked: TrackedObject) -> int:
        return bucket(TYPES[tracked.type].number, tracked.kernel)

    def raw_function(self) -> int:
        """A function of the extension's, which no pointer of the kernel's may hold."""
        image = self.kernel.modules.loaded["e1000"].image
        assert image is not None
        return image.symbols["e1000_intr"]

    def pte(self, page: int) -> int:
        """Where the domain's entry of a page lies, as an index of words in physical memory."""
        words = self.lab.machine.memory.words
        pde = int(words[(self.domain.directory >> 2) + (page >> 22)])
        return ((pde & PAGE_MASK) >> 2) + (page >> 12 & 0x3FF)

    def note(self, page: int) -> int:
        """Where the page tracker's word of a page lies, as an index of words in physical memory."""
        words, tables = self.lab.machine.memory.words, virt_to_phys(self.domain.page_tracker.address)
        table = int(words[(tables >> 2) + (page - PAGE_OFFSET >> 22)])
        return (virt_to_phys(table) >> 2) + (page >> 12 & 0x3FF)

    def set_word(self, index: int, value: int) -> None:
        self.lab.machine.memory.words[index] = value

    def word(self, index: int) -> int:
        return int(self.lab.machine.memory.words[index])

    def said(self, tracked: TrackedObject, problem: str) -> str:
        return f"domain e1000: {tracked.type} {tracked.extension:08x}: {problem}"


def corruption(name: str) -> Callable[[Corruption], Corruption]:
    def add(damage: Corruption) -> Corruption:
        CORRUPTIONS[name] = damage
        return damage

    return add


# Records


@corruption("a record's type is none")
def unknown_type(victim: Victim) -> str:
    tracked = victim.one("pci_driver")
    victim.record(tracked).type = 77
    return f"domain e1000: chain {victim.chain_of(tracked)}: record {tracked.address:08x} has the unknown type 77"


@corruption("a record's type is another")
def other_type(victim: Victim) -> str:
    tracked = victim.one("pci_driver")
    victim.record(tracked).type = TYPES["timer_list"].number
    return f"domain e1000: record {tracked.address:08x} stands in the wrong chain"


@corruption("a record's type is one of calls")
def call_type(victim: Victim) -> str:
    tracked = victim.one("pci_driver")
    victim.record(tracked).type = TYPES["ifreq"].number
    return (
        f"domain e1000: record {tracked.address:08x} is a ifreq of one call, and stands in the domain's table"
    )


@corruption("a record's domain is another address")
def domain_pointer(victim: Victim) -> str:
    tracked = victim.one("irqaction")
    victim.record(tracked).domain = victim.domain.record.address + 32
    return f"domain e1000: record {tracked.address:08x} names the domain at {victim.domain.record.address + 32:08x}"


@corruption("a record's kernel address")
def kernel_address(victim: Victim) -> str:
    tracked = victim.one("net_device")
    victim.record(tracked).kernel = tracked.kernel + 4
    return victim.said(tracked, f"the kernel's version {tracked.kernel + 4:08x} is no allocated net_device")


@corruption("a record's kernel address is another object's")
def other_kernel_address(victim: Victim) -> str:
    tracked = victim.one("net_device")
    other = victim.kernel.slab.zalloc(victim.kernel.types.size("net_device"))
    victim.record(tracked).kernel = other
    return (
        f"domain e1000: registered_netdev {tracked.extension:08x}: {tracked.kernel:08x} is registered, "
        f"and the kernel's version of the domain's net_device is {other:08x}"
    )


@corruption("a record's kernel address is the extension's version")
def kernel_address_of_the_extension(victim: Victim) -> str:
    tracked = victim.one("net_device")
    victim.record(tracked).kernel = tracked.extension
    return victim.said(tracked, f"the kernel's version {tracked.extension:08x} is no allocated net_device")


@corruption("a record's extension address")
def extension_address(victim: Victim) -> str:
    tracked = victim.one("net_device")
    victim.record(tracked).extension = 0
    return "domain e1000: net_device 00000000: the extension's version 00000000 is no block of its heap"


@corruption("a plain object gets two addresses")
def two_addresses(victim: Victim) -> str:
    tracked = victim.one("heap block")
    victim.record(tracked).kernel = tracked.kernel ^ 0x80
    return (
        f"domain e1000: record {tracked.address:08x} has two addresses of one heap block, "
        f"{tracked.kernel ^ 0x80:08x} for the kernel"
    )


@corruption("a record's serial is from the future")
def serial(victim: Victim) -> str:
    tracked = victim.one("heap block")
    victim.record(tracked).serial = 0xFFFF
    return f"domain e1000: record {tracked.address:08x} has the serial 65535, which was never given out"


# Chains


@corruption("a chain runs in a circle")
def circle(victim: Victim) -> str:
    tracked = victim.one("pci_dev")
    victim.record(tracked).next = tracked.address
    return f"domain e1000: chain {victim.chain_of(tracked)}: comes to record {tracked.address:08x} again"


@corruption("a record hangs in a second chain")
def second_chain(victim: Victim) -> str:
    tracked = victim.one("pci_dev")
    objects = victim.domain.record.objects
    # The two records that chains begin with: one of them is met in the chain of the other.
    first, second = [index for index in range(BUCKETS) if objects[index]][:2]
    objects[second] = objects[first]
    assert tracked
    return f"domain e1000: record {objects[first]:08x} stands in two places"


@corruption("a record stands in the wrong chain")
def wrong_bucket(victim: Victim) -> str:
    objects = victim.domain.record.objects
    used = next(index for index in range(BUCKETS) if objects[index])
    free = next(index for index in range(BUCKETS) if not objects[index])
    objects[free], objects[used] = objects[used], 0
    return f"domain e1000: record {objects[free]:08x} stands in the wrong chain"


@corruption("a chain leads nowhere")
def dangling(victim: Victim) -> str:
    tracked = victim.one("pci_dev")
    victim.record(tracked).next = 0x10
    return f"domain e1000: chain {victim.chain_of(tracked)}: leads to 00000010, which is no allocated record"


@corruption("a chain leads into another object")
def astray(victim: Victim) -> str:
    tracked = victim.one("pci_dev")
    elsewhere = victim.kernel.variable("jiffies")
    victim.record(tracked).next = elsewhere
    return f"domain e1000: chain {victim.chain_of(tracked)}: leads to {elsewhere:08x}, which is no allocated record"


@corruption("a record is freed")
def freed_record(victim: Victim) -> str:
    tracked = victim.one("irqaction")
    victim.kernel.slab.free(tracked.address)
    return (
        f"domain e1000: chain {victim.chain_of(tracked)}: "
        f"leads to {tracked.address:08x}, which is no allocated record"
    )


@corruption("a record is gone from its domain's table")
def lost_record(victim: Victim) -> str:
    tracked = victim.one("irqaction")
    victim.domain.record.objects[victim.chain_of(tracked)] = 0
    return f"kernel versions: irqaction {tracked.kernel:08x} is unknown to its domain"


@corruption("a record is gone from the table of kernel versions")
def lost_version(victim: Victim) -> str:
    tracked = victim.one("net_device")
    victim.nooks.tracker.record.versions[victim.version_chain_of(tracked)] = 0
    return f"kernel versions: net_device {tracked.kernel:08x} is missing"


@corruption("the kernel versions run in a circle")
def version_circle(victim: Victim) -> str:
    tracked = victim.one("pci_driver")
    victim.record(tracked).next_version = tracked.address
    chain = victim.version_chain_of(tracked)
    return f"kernel versions: chain {chain}: comes to record {tracked.address:08x} again"


@corruption("a kernel version stands in the wrong chain")
def wrong_version_bucket(victim: Victim) -> str:
    versions = victim.nooks.tracker.record.versions
    used = next(index for index in range(BUCKETS) if versions[index])
    free = next(index for index in range(BUCKETS) if not versions[index])
    tracked = victim.nooks.tracker.read(versions[used])[2]
    versions[free], versions[used] = versions[used], 0
    return f"kernel versions: {tracked.type} {tracked.kernel:08x} stands in the wrong chain"


# Kernel objects


@corruption("a function pointer of the kernel's leads into the extension")
def raw_pointer(victim: Victim) -> str:
    tracked, function = victim.one("net_device"), victim.raw_function()
    victim.kernel.net.view(tracked.kernel).open = function
    return victim.said(tracked, f"the kernel's open is {function:08x}, which is no wrapper")


@corruption("a function pointer of the kernel's is the wrapper of another")
def wrong_wrapper(victim: Victim) -> str:
    tracked = victim.one("net_device")
    device = victim.kernel.net.view(tracked.kernel)
    device.stop = device.open
    return victim.said(tracked, f"the kernel's stop is {device.open:08x}, which is no wrapper")


@corruption("a PCI driver's probe leads into the extension")
def raw_probe(victim: Victim) -> str:
    tracked, function = victim.one("pci_driver"), victim.raw_function()
    victim.kernel.types.view("pci_driver", tracked.kernel).probe = function
    return victim.said(tracked, f"the kernel's probe is {function:08x}, which is no wrapper")


@corruption("a PCI driver is taken from the kernel's list")
def unlisted_driver(victim: Victim) -> str:
    tracked = victim.one("pci_driver")
    head = victim.kernel.variable("pci_drivers")
    victim.memory.set_u32(head, head)
    return victim.said(tracked, f"{tracked.kernel:08x} is not in the kernel's list of drivers")


@corruption("a device is taken from the kernel's list")
def unlisted_device(victim: Victim) -> str:
    tracked = victim.one("registered_netdev")
    victim.memory.set_u32(victim.kernel.variable("dev_base"), 0)
    return victim.said(tracked, f"{tracked.kernel:08x} is not in the kernel's list of devices")


@corruption("a timer is taken from the kernel's list")
def unlisted_timer(victim: Victim) -> str:
    tracked = victim.one("timer_list")
    following, before = victim.memory.u32(tracked.kernel), victim.memory.u32(tracked.kernel + 4)
    victim.memory.set_u32(before, following)
    victim.memory.set_u32(following + 4, before)
    return victim.said(tracked, f"{tracked.kernel:08x} does not hang in the kernel's list")


@corruption("a timer calls the extension directly")
def raw_timer(victim: Victim) -> str:
    tracked, function = victim.one("timer_list"), victim.raw_function()
    victim.kernel.types.view("timer_list", tracked.kernel).function = function
    return victim.said(tracked, f"its function {function:08x} is no wrapper")


@corruption("a timer names another")
def timer_data(victim: Victim) -> str:
    tracked = victim.one("timer_list")
    victim.kernel.types.view("timer_list", tracked.kernel).data = 5
    return victim.said(tracked, "its data 00000005 do not name it")


@corruption("the list of timers runs in a circle")
def timer_circle(victim: Victim) -> str:
    timer = victim.kernel.timers.pending()[0]
    victim.memory.set_u32(timer, timer)
    return f"kernel: the list of timers comes to {timer:08x} again"


@corruption("an irqaction's handler leads into the extension")
def raw_handler(victim: Victim) -> str:
    tracked, function = victim.one("irqaction"), victim.raw_function()
    line = tracked.detail[0]
    (action,) = victim.kernel.irq.actions(line)
    action.handler = function
    return victim.said(tracked, f"the handler of line {line} is {function:08x}, which is no wrapper")


@corruption("an irqaction has another cookie")
def cookie(victim: Victim) -> str:
    tracked = victim.one("irqaction")
    line = tracked.detail[0]
    (action,) = victim.kernel.irq.actions(line)
    action.dev_id = 0
    return victim.said(tracked, f"no handler of line {line} has the cookie {tracked.kernel:08x}")


@corruption("an irqaction's line is none")
def line(victim: Victim) -> str:
    tracked = victim.one("irqaction")
    victim.record(tracked).detail[0] = NR_IRQS
    return victim.said(tracked, f"there is no line {NR_IRQS}")


@corruption("the handler of the extension's is no code of its")
def strange_handler(victim: Victim) -> str:
    tracked = victim.one("irqaction")
    victim.record(tracked).detail[1] = victim.kernel.variable("jiffies")
    return victim.said(
        tracked,
        f"the extension's handler {victim.kernel.variable('jiffies'):08x} is no function of its",
    )


@corruption("a packet's head moves")
def packet_head(victim: Victim) -> str:
    tracked = victim.one("sk_buff")
    head, end, _ = tracked.detail
    victim.kernel.skbs.view(tracked.kernel).head = head - 16
    return victim.said(
        tracked, f"its buffer is {head - 16:08x} to {end:08x}, {head:08x} to {end:08x} was granted"
    )


@corruption("a packet's end moves")
def packet_end(victim: Victim) -> str:
    tracked = victim.one("sk_buff")
    head, end, _ = tracked.detail
    victim.record(tracked).detail[1] = end + PAGE_SIZE
    return victim.said(
        tracked, f"its buffer is {head:08x} to {end:08x}, {head:08x} to {end + PAGE_SIZE:08x} was granted"
    )


@corruption("a packet is freed behind the tracker's back")
def freed_packet(victim: Victim) -> str:
    tracked = victim.one("sk_buff")
    victim.kernel.slab.free(tracked.kernel)
    return victim.said(tracked, f"the kernel's version {tracked.kernel:08x} is no allocated sk_buff")


@corruption("a heap block is freed behind the tracker's back")
def freed_block(victim: Victim) -> str:
    tracked = victim.one("heap block")
    victim.domain.heap.free(tracked.kernel)
    return victim.said(tracked, f"{tracked.kernel:08x} is no allocated block of the domain's heap")


@corruption("an area is freed behind the tracker's back")
def freed_area(victim: Victim) -> str:
    tracked = victim.one("ioremap area")
    victim.kernel.vmalloc.iounmap(tracked.kernel)
    return victim.said(tracked, f"{tracked.kernel:08x} is no area of the kernel's")


@corruption("an area's size grows")
def longer_area(victim: Victim) -> str:
    tracked = victim.one("ioremap area")
    area = victim.kernel.vmalloc.area(tracked.kernel)
    victim.record(tracked).detail[0] = area.size
    return victim.said(tracked, f"its {area.size} bytes are more than the area at {tracked.kernel:08x} has")


@corruption("a DMA mapping leads outside RAM")
def mapping(victim: Victim) -> str:
    tracked = victim.one("dma mapping")
    victim.record(tracked).detail[0] = 1 << 24
    return victim.said(tracked, f"its {1 << 24} bytes at bus address {tracked.kernel:08x} are not all RAM")


@corruption("a PCI device is none")
def no_device(victim: Victim) -> str:
    tracked = victim.one("pci regions")
    head = victim.kernel.variable("pci_devices")
    victim.memory.set_u32(head, head)
    return victim.said(tracked, f"{tracked.kernel:08x} is no PCI device")


# Page rights


@corruption("a granted page is read-only")
def read_only(victim: Victim) -> str:
    page = victim.one("net_device").extension & PAGE_MASK
    victim.set_word(victim.pte(page), victim.word(victim.pte(page)) & ~RW)
    return f"domain e1000: page {page:08x} is read-only, which its grants do not say"


@corruption("a page of the kernel's is writable in the domain")
def writable(victim: Victim) -> str:
    page = victim.kernel.variable("idt_table") & PAGE_MASK
    victim.set_word(victim.pte(page), victim.word(victim.pte(page)) | RW)
    return f"domain e1000: page {page:08x} is writable, which its grants do not say"


@corruption("a page leads to another frame")
def other_frame(victim: Victim) -> str:
    page = victim.kernel.variable("jiffies") & PAGE_MASK
    entry = victim.word(victim.pte(page))
    victim.set_word(victim.pte(page), entry ^ 0x5000)
    kernels = victim.kernel.page_table.pte(page)
    return (
        f"domain e1000: page {page:08x}: its entry {entry ^ 0x5000:08x} "
        f"is out of step with the kernel's {kernels:08x}"
    )


@corruption("a page is missing in the domain")
def missing_page(victim: Victim) -> str:
    page = victim.kernel.variable("jiffies") & PAGE_MASK
    victim.set_word(victim.pte(page), 0)
    kernels = victim.kernel.page_table.pte(page)
    return f"domain e1000: page {page:08x}: its entry 00000000 is out of step with the kernel's {kernels:08x}"


@corruption("a page is mapped in the domain alone")
def extra_page(victim: Victim) -> str:
    free = victim.kernel.vmalloc.areas()[-1]
    page = free.addr + free.size + 16 * PAGE_SIZE
    victim.set_word(victim.pte(page), 0x5000 | P)
    return f"domain e1000: page {page:08x} is mapped in the domain and not in the kernel"


@corruption("a user page is mapped in the domain")
def user_page(victim: Victim) -> str:
    own = victim.domain.directory >> 2
    victim.set_word(own, victim.word(own + (PAGE_OFFSET >> 22)))
    return "domain e1000: page 00000000 is mapped in the domain and not in the kernel"


@corruption("a page table lies outside RAM")
def wild_table(victim: Victim) -> str:
    victim.set_word((victim.domain.directory >> 2) + (PAGE_OFFSET >> 22), 0xFFFFF000 | P | RW)
    return "domain e1000: the data are nonsense (index out of bounds on dimension 1)"


@corruption("a count of the page tracker drops to nothing")
def dropped_count(victim: Victim) -> str:
    page = victim.one("consistent memory").kernel & PAGE_MASK
    victim.set_word(victim.note(page), 0)
    return f"domain e1000: page {page:08x} is writable, which its grants do not say"


@corruption("a count of the page tracker drops by one")
def lower_count(victim: Victim) -> str:
    # A packet and its clone have one buffer, whose pages are granted twice.
    tracked, size = victim.one("sk_buff"), victim.kernel.types.size("sk_buff")
    head, end, _ = tracked.detail
    clone, version = victim.kernel.slab.alloc(size), victim.domain.heap.alloc(size)
    victim.memory.write(clone, victim.memory.read(tracked.kernel, size))
    victim.domain.grant(head, end - head, Grant.PACKET)
    victim.nooks.tracker.add(victim.domain, "sk_buff", clone, version, head, end)
    assert validate(victim.nooks) == []
    page = head & PAGE_MASK
    victim.domain.page_tracker.drop(page)
    return f"domain e1000: page {page:08x} is granted 1 times, and in use 2 times"


@corruption("a page is granted for nothing")
def extra_grant(victim: Victim) -> str:
    page = victim.kernel.pages.alloc(0)
    victim.set_word(victim.note(page), 1 | 4 << 16)
    victim.set_word(victim.pte(page), victim.word(victim.pte(page)) | RW)
    return f"domain e1000: page {page:08x} is granted 1 times, and in use 0 times"


@corruption("a page is granted that is not mapped")
def unmapped_grant(victim: Victim) -> str:
    area = victim.kernel.vmalloc.areas()[-1]
    page = area.addr + area.size + 16 * PAGE_SIZE
    victim.set_word(victim.note(page), 1 | 4 << 16)
    return f"domain e1000: page {page:08x} is granted but not mapped"


# The domain and its queues


@corruption("a domain's record names another page directory")
def directory(victim: Victim) -> str:
    victim.domain.record.directory = victim.kernel.page_table.directory
    return (
        f"domain e1000: its record has {victim.kernel.page_table.directory:08x} as directory, "
        f"where {victim.domain.directory:08x} belongs"
    )


@corruption("a domain has failed a little")
def failed(victim: Victim) -> str:
    victim.domain.record.failed = 2
    return "domain e1000: its record has 00000002 as failed, which is neither yes nor no"


@corruption("a queue holds too many calls")
def full_queue(victim: Victim) -> str:
    queue = victim.nooks.queues(victim.domain).kernel_calls
    victim.memory.set_u32(queue.address, 65)
    return "domain e1000: the extension-domain queue holds 65 calls where 64 have room"


@corruption("a queue names no function")
def wild_call(victim: Victim) -> str:
    queue = victim.nooks.queues(victim.domain).extension_calls
    victim.memory.set_u32(queue.address, 1)
    victim.memory.set_u32(queue.address + 4, 0xC0FFEE)
    return "domain e1000: the kernel-domain queue names function 12648430, which there is not"


@corruption("the extension may write the kernel's queue")
def open_queue(victim: Victim) -> str:
    queue = victim.nooks.queues(victim.domain).extension_calls
    page = queue.address & PAGE_MASK
    victim.set_word(victim.pte(page), victim.word(victim.pte(page)) | RW)
    return "domain e1000: the extension may write the kernel-domain queue"


@corruption("a queue of the extension's is freed")
def freed_queue(victim: Victim) -> str:
    victim.domain.heap.free(victim.nooks.queues(victim.domain).kernel_calls.address)
    return "domain e1000: the extension-domain queue is no block of its heap"


# Calls in progress


def _put_on_task(victim: Victim, kind: str, domain: int) -> int:
    """Hang a record at the idle task; returns its address."""
    tracker = victim.nooks.tracker
    address = victim.kernel.slab.zalloc(victim.nooks.types.size("nooks_object"))
    record = victim.nooks.types.view("nooks_object", address)
    record.type, record.domain, record.serial = TYPES[kind].number, domain, 1
    victim.memory.set_u32(tracker.task_chain(victim.kernel.variable("init_task_union")), address)
    return int(address)


@corruption("an object of a call that nobody makes")
def stale_call(victim: Victim) -> str:
    record = _put_on_task(victim, "ifreq", victim.domain.record.address)
    return f"task 0: record {record:08x} is of a call into e1000, where the task is not"


@corruption("an object of a call into no domain")
def call_of_no_domain(victim: Victim) -> str:
    record = _put_on_task(victim, "ifreq", 0xC0001000)
    return f"task 0: record {record:08x} names the domain at c0001000, which there is not"


@corruption("a long-lived object hangs at a task")
def long_lived_call(victim: Victim) -> str:
    record = _put_on_task(victim, "pci_dev", victim.domain.record.address)
    return f"task 0: record {record:08x} is a pci_dev, which is no object of one call"


@corruption("a record of the domain's hangs at a task too")
def record_at_task(victim: Victim) -> str:
    tracked = victim.one("pci_dev")
    head = victim.nooks.tracker.task_chain(victim.kernel.variable("init_task_union"))
    victim.memory.set_u32(head, tracked.address)
    return f"task 0: record {tracked.address:08x} stands in two places"


@corruption("a task's table leads nowhere")
def wild_task_table(victim: Victim) -> str:
    head = victim.nooks.tracker.task_chain(victim.kernel.variable("init_task_union"))
    victim.memory.set_u32(head, 0xFFFFFFF0)
    return "task 0: its table leads to fffffff0, which is no allocated record"


def interesting_words(victim: Victim) -> list[int]:
    """Linear addresses of words that ``validate()`` relies on: records, tables, queues, kernel objects and lists."""
    memory, kernel, nooks, domain = victim.memory, victim.kernel, victim.nooks, victim.domain
    tracker, types = nooks.tracker, kernel.types
    spans = [(tracked.address, 40) for tracked in tracker.objects(domain)]
    spans += [
        (domain.record.address, nooks.types.size("nooks_domain")),
        (tracker.record.address, nooks.types.size("nooks_manager")),
        (nooks.queues(domain).kernel_calls.address, 32),
        (nooks.queues(domain).extension_calls.address, 32),
        (domain.page_tracker.address, 64),
        (phys_to_virt(domain.directory) + (PAGE_OFFSET >> 20), 64),
        (tracker.task_chain(kernel.variable("init_task_union")), 4),
    ]
    for kind, struct in (("net_device", "net_device"), ("sk_buff", "sk_buff"), ("timer_list", "timer_list")):
        spans += [(tracked.kernel, types.size(struct)) for tracked in victim.objects(kind)[:2]]
    for slab in domain.heap.slabs():
        spans.append((slab.address, types.size("slab")))
    for tracked in victim.objects("heap block")[:4]:
        spans.append((kernel.pages.page(tracked.kernel), types.size("page")))
    for variable, size in (
        ("timer_list_head", 8),
        ("pci_devices", 8),
        ("pci_drivers", 8),
        ("dev_base", 4),
        ("vmlist", 4),
        ("irq_desc", 64),
        ("malloc_sizes", 200),
        ("iomem_resource", types.size("resource")),
    ):
        spans.append((kernel.variable(variable), size))
    assert memory is kernel.memory
    return [address for start, size in spans for address in range(start, start + size, 4)]
