"""Which workload puts an extension to work."""

from collections.abc import Callable

from nooks_lab import extensions
from nooks_lab.workloads.network import Network
from nooks_lab.workloads.workload import Workload

OTHERS: dict[str, Callable[[int], Workload]] = {}
"""For each extension that is no network driver, what makes its workload from a seed."""


class NoWorkload(LookupError):  # noqa: N818 - the sentence is for the user
    """An extension that nothing puts to work; the message lists those that have a workload."""


def names() -> list[str]:
    """Return the names of the extensions that have a workload."""
    return [name for name in extensions.names() if _factory(name) is not None]


def workload(extension: str, seed: int = 0) -> Workload:
    """Return an extension's workload.

    Parameters
    ----------
    seed : int
        Of its data and sizes.

    Raises
    ------
    NoWorkload
        When it has none.
    """
    factory = _factory(extension)
    if factory is None:
        raise NoWorkload(f"no workload for {extension!r}; there are some for: {', '.join(names())}")
    return factory(seed)


def _factory(extension: str) -> Callable[[int], Workload] | None:
    if extensions.CLASSES.get(extension) == "network":
        return lambda seed: Network(extension, seed)
    return OTHERS.get(extension)
