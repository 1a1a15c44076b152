"""The object tracker (paper, section 4.3): which kernel objects an extension uses, and until when."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from nooks_lab.nooks.domain import BadParameter, Domain


@dataclass(frozen=True)
class ObjectType:
    """A kind of kernel object.

    Attributes
    ----------
    lifetime : str
        ``call``: until the XPC returns; ``explicit``: from allocation to release; ``timer``: until it fires.
    dma : bool
        A device can still reach it when its driver has failed, so it is released last.
    """

    name: str
    lifetime: str
    dma: bool = False


TYPES = {
    each.name: each
    for each in (
        ObjectType("net_device", "explicit"),
        ObjectType("net_device_stats", "explicit"),
        ObjectType("registered_netdev", "explicit"),
        ObjectType("sk_buff", "explicit", dma=True),
        ObjectType("pci_driver", "explicit"),
        ObjectType("pci_dev", "explicit"),
        ObjectType("timer_list", "timer"),
        ObjectType("irqaction", "explicit", dma=True),
        ObjectType("heap block", "explicit"),
        ObjectType("vmalloc area", "explicit"),
        ObjectType("ioremap area", "explicit", dma=True),
        ObjectType("pci regions", "explicit", dma=True),
        ObjectType("consistent memory", "explicit", dma=True),
        ObjectType("dma mapping", "explicit", dma=True),
        ObjectType("ifreq", "call"),
    )
}


@dataclass
class TrackedObject:
    """An object in use: its kernel version and, where the extension may write it, the extension's version.

    ``detail`` is what the release function needs.
    """

    type: str
    kernel: int
    extension: int
    lifetime: str
    release: Callable[["TrackedObject"], None]
    detail: Any = None


class ObjectTracker:
    """The tables of all domains, by type and by either address."""

    def __init__(self) -> None:
        self._tables: dict[int, dict[tuple[str, int], TrackedObject]] = {}
        self._kernel_versions: dict[tuple[str, int], tuple[Domain, TrackedObject]] = {}

    def add(
        self,
        domain: Domain,
        kind: str,
        kernel: int,
        extension: int,
        release: Callable[[TrackedObject], None],
        detail: Any = None,
    ) -> TrackedObject:
        """Record an object; its extension version is the key."""
        tracked = TrackedObject(kind, kernel, extension, TYPES[kind].lifetime, release, detail)
        self._tables.setdefault(domain.number, {})[kind, extension] = tracked
        self._kernel_versions[kind, kernel] = domain, tracked
        return tracked

    def find(self, domain: Domain, kind: str, extension: int) -> TrackedObject | None:
        """Return the object whose extension version lies at an address, or None."""
        return self._tables.get(domain.number, {}).get((kind, extension))

    def check(self, domain: Domain, kind: str, extension: int, function: str) -> TrackedObject:
        """Parameter check: the pointer must be an object of this type that the extension holds.

        Raises
        ------
        BadParameter
            When it is not.
        """
        found = self.find(domain, kind, extension)
        if found is None:
            raise BadParameter(f"{function}: {extension:08x} is no {kind} of domain {domain.name}")
        return found

    def by_kernel(self, kind: str, kernel: int) -> tuple[Domain, TrackedObject] | None:
        """Return domain and object whose kernel version lies at an address, or None."""
        return self._kernel_versions.get((kind, kernel))

    def remove(self, domain: Domain, tracked: TrackedObject) -> None:
        """Forget an object whose lifetime has ended."""
        del self._tables[domain.number][tracked.type, tracked.extension]
        held = self._kernel_versions.get((tracked.type, tracked.kernel))
        if held is not None and held[1] is tracked:
            del self._kernel_versions[tracked.type, tracked.kernel]

    def objects(self, domain: Domain) -> list[TrackedObject]:
        """Return all objects of a domain, oldest first."""
        return list(self._tables.get(domain.number, {}).values())

    def release(self, domain: Domain, kinds: Iterable[str]) -> int:
        """Release every object of these kinds, newest first; returns how many."""
        wanted = set(kinds)
        doomed = [o for o in reversed(self.objects(domain)) if o.type in wanted]
        for tracked in doomed:
            if self.find(domain, tracked.type, tracked.extension) is tracked:
                self.remove(domain, tracked)
                tracked.release(tracked)
        return len(doomed)
