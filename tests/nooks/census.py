"""The census of the kernel's objects, by the name that the tests know it by."""

from nooks_lab.faults.census import Census, take

__all__ = ["Census", "take"]
