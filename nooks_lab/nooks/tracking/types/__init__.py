"""The object types of the kernel's interface, a file for each part of the kernel; importing this registers them."""

from nooks_lab.nooks.tracking.types import block, fs, memory, net, pci, tasks

__all__ = ["block", "fs", "memory", "net", "pci", "tasks"]
