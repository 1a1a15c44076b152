"""The object types of the kernel's interface, a file for each part of the kernel; importing this registers them."""

from nooks_lab.nooks.tracking.types import memory, net, pci, sockets, sysctl, tasks, threads

__all__ = ["memory", "net", "pci", "sockets", "sysctl", "tasks", "threads"]
