"""The object types of the kernel's interface, a file for each part of the kernel; importing this registers them."""

from nooks_lab.nooks.tracking.types import (
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

__all__ = [
    "block",
    "filp",
    "fs",
    "memory",
    "net",
    "pci",
    "sockets",
    "sound",
    "sysctl",
    "tasks",
    "threads",
]
