"""Checksums of what no failure of an extension may change: the kernel's own memory, and other extensions'."""

import struct
import zlib

from nooks_lab.kernel.module import Module
from nooks_lab.kernel.page_table import phys_to_virt
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.machine.paging import A, D, PageFault

CHANGING = frozenset(
    [
        # Counters and the log.
        "jiffies",
        "xtime",
        "last_pid",
        "dev_ifindex",
        "ip_ident",
        "inet_next_port",
        "ping_ident",
        "tcp_isn",
        "ip_statistics",
        "icmp_statistics",
        "tcp_statistics",
        "udp_statistics",
        "arp_statistics",
        "nr_free_pages",
        "nr_buffer_pages",
        "nr_cached_pages",
        "nr_dentry",
        "nr_files",
        "nr_inodes",
        "ramfs_next_ino",
        "unnamed_dev_in_use",
        "last_ino",
        "log_buf",
        "log_start",
        "log_end",
        # Heads of lists whose members come and go.
        "arp_hash",
        "tcp_bhash",
        "tcp_ehash",
        "tcp_listening_hash",
        "bdev_list",
        "buffer_free_list",
        "buffer_hash_table",
        "chrdevs",
        "dentry_hashtable",
        "dentry_unused",
        "dev_base",
        "file_systems",
        "ide_hd",
        "ide_hwgroup",
        "inactive_list",
        "inode_hashtable",
        "inode_in_use",
        "inode_unused",
        "lru_list",
        "page_hash_table",
        "super_blocks",
        "vfsmntlist",
        "free_area",
        "dma_chan_busy",
        "inet_ifaddr_list",
        "iomem_resource",
        "ioport_resource",
        "irq_desc",
        "malloc_sizes",
        "module_list",
        "pci_drivers",
        "softnet_data",
        "sysctl_table_headers",
        "sound_chains",
        "timer_list_head",
        "vmlist",
        # Texts that the next call overwrites.
        "bdevname_buf",
        "kdevname_buf",
        # Entry points: wrappers get theirs when they are first needed.  Those there are have a part of their own.
        "gate_text",
        # A list of the supers of the kernel's own filesystem.
        "ramfs_fs_type",
        # The first task, and with it a kernel stack.
        "init_task_union",
    ]
)
"""The kernel's variables that change when a driver works, fails and comes back; all others must not."""


_WITHOUT_ACCESSES = int.from_bytes((0xFFFFFFFF & ~(A | D)).to_bytes(4, "little") * (PAGE_SIZE // 4), "little")
"""All bits of a page table but accessed and dirty."""


UNREADABLE = -1
"""In place of a checksum: a page that is not mapped any more, or a pointer that leads nowhere."""


def kernel_checksums(lab: Lab) -> dict[str, int]:
    """Return a checksum of each part of the kernel that stays as it is.

    Returns
    -------
    dict
        ``text``, ``read-only data``, ``idt``, ``gdt``, ``entry points`` (how many of its functions' have changed),
        ``other variables`` (the whole data section but ``CHANGING``), and ``page table`` (the entries of all RAM).
    """
    image = lab.kernel.image
    return {
        "text": _between(lab, *image.text),
        "read-only data": _between(lab, *image.read_only),
        "idt": _variable(lab, "idt_table"),
        "gdt": _variable(lab, "gdt_table"),
        "entry points": _entry_points(lab),
        "other variables": _other_variables(lab),
        "page table": _page_table(lab),
    }


def _entry_points(lab: Lab) -> int:
    try:
        return lab.kernel.execution.changed_gates()
    except PageFault:
        return UNREADABLE


def _other_variables(lab: Lab) -> int:
    image = lab.kernel.image
    start, end = image.writable
    try:
        data = bytearray(lab.kernel.memory.read(start, end - start))
    except PageFault:
        return UNREADABLE
    for name in CHANGING:
        at, size = image.symbols[name] - start, image.sizes[name]
        data[at : at + size] = bytes(size)
    return zlib.crc32(data)


def _page_table(lab: Lab) -> int:
    """Return the checksum of the entries of all RAM, but for the bits that the CPU sets."""
    end = phys_to_virt(lab.machine.memory.size)
    total = 0
    for slot, entries in lab.kernel.page_table.tables():
        if slot << 22 < end:
            table = int.from_bytes(struct.pack(f"<{len(entries)}I", *entries), "little") & _WITHOUT_ACCESSES
            total = zlib.crc32(table.to_bytes(PAGE_SIZE, "little"), total)
    return total


def module_checksum(lab: Lab, module: Module) -> int:
    """Return the checksum of a module's memory: text, data and all."""
    return checksum(lab, module.base, module.size)


def _variable(lab: Lab, name: str) -> int:
    return checksum(lab, lab.kernel.variable(name), lab.kernel.image.sizes[name])


def _between(lab: Lab, start: int, end: int) -> int:
    return checksum(lab, start, end - start)


def checksum(lab: Lab, address: int, size: int) -> int:
    """Return the checksum of memory, ``UNREADABLE`` where there is none any more."""
    try:
        return zlib.crc32(lab.kernel.memory.read(address, size))
    except PageFault:
        return UNREADABLE
