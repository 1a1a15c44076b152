"""Which workload puts an extension to work: the whole of it, and a brief one of the same kind."""

from collections.abc import Callable
from dataclasses import dataclass

from nooks_lab import extensions
from nooks_lab.workloads.compile_local import CompileLocal
from nooks_lab.workloads.fat_volume import format_volume
from nooks_lab.workloads.network import Network
from nooks_lab.workloads.play_tune import PlayTune
from nooks_lab.workloads.tune import Tune
from nooks_lab.workloads.web_load import WebLoad
from nooks_lab.workloads.workload import Workload

FULL_MESSAGES, FULL_PINGS = 32, 8
"""A stream of a megabyte each way."""


@dataclass(frozen=True)
class Factories:
    """What makes an extension's workload from a seed.

    Attributes
    ----------
    full : callable (seed)
        The workload as the paper has it.
    brief : callable (seed)
        A few seconds of it at most, for runs with a fault each.
    trial : callable (seed)
        Every operation of it a few times, and no more patience than a recovery takes: for trials by the thousand.
    """

    full: Callable[[int], Workload]
    brief: Callable[[int], Workload]
    trial: Callable[[int], Workload]


TRIAL_ATTEMPTS = 2
"""Once more after a recovery."""

TRIAL_PATIENCE = 1.0
"""Simulated seconds; a recovery and the link that comes up behind it take a tenth of one."""

TRIAL_TUNE = 0.2
TRIAL_MESSAGES, TRIAL_MESSAGE, TRIAL_PINGS = 2, 4096, 2
TRIAL_REQUESTS, TRIAL_CLIENTS = 6, 3

BRIEF_TUNE = 0.5
"""Seconds of a brief tune; the whole one takes a minute."""


FULL_REQUESTS, BRIEF_REQUESTS = 1000, 40
"""Pages of 1 KB, and pages of many sizes."""


def _trial_compile(seed: int) -> CompileLocal:
    """Return the smallest tree: one source, one header, their object and program."""
    volume = format_volume(1 << 20, 12, 1)
    return CompileLocal(1, 1, 700, seed, volume, 100, attempts=1)


def _trial_network(extension: str, seed: int) -> Network:
    return Network(
        extension, seed, TRIAL_MESSAGES, TRIAL_PINGS, TRIAL_ATTEMPTS, TRIAL_PATIENCE, TRIAL_MESSAGE
    )


def _trial_web(seed: int) -> WebLoad:
    return WebLoad(
        seed,
        TRIAL_REQUESTS,
        TRIAL_CLIENTS,
        mixed=True,
        attempts=TRIAL_ATTEMPTS,
        patience=TRIAL_PATIENCE,
    )


def _brief_compile(seed: int) -> CompileLocal:
    """Return a tree of some files, in which the driver is nearly all there is to do."""
    volume = format_volume(2 << 20, 12, 1)
    return CompileLocal(files=3, directories=2, size=1200, seed=seed, volume=volume, cycles_a_byte=100)


class NoWorkload(LookupError):  # noqa: N818 - the sentence is for the user
    """An extension that nothing puts to work; the message lists those that have a workload."""


def names() -> list[str]:
    """Return the names of the extensions that have a workload."""
    return [name for name in extensions.names() if _factories(name) is not None]


def workload(extension: str, seed: int = 0) -> Workload:
    """Return an extension's workload, the whole of it.

    Parameters
    ----------
    seed : int
        Of its data and sizes.

    Raises
    ------
    NoWorkload
        When it has none.
    """
    return _found(extension).full(seed)


def brief_workload(extension: str, seed: int = 0) -> Workload:
    """Return a brief workload; as :func:`workload` otherwise."""
    return _found(extension).brief(seed)


def trial_workload(extension: str, seed: int = 0) -> Workload:
    """Return the workload of a trial; as :func:`workload` otherwise."""
    return _found(extension).trial(seed)


def _found(extension: str) -> Factories:
    factories = _factories(extension)
    if factories is None:
        raise NoWorkload(f"no workload for {extension!r}; there are some for: {', '.join(names())}")
    return factories


def _factories(extension: str) -> Factories | None:
    if extensions.CLASSES.get(extension) == "network":
        return Factories(
            lambda seed: Network(extension, seed, FULL_MESSAGES, FULL_PINGS),
            lambda seed: Network(extension, seed),
            lambda seed: _trial_network(extension, seed),
        )
    if extensions.CLASSES.get(extension) == "sound":
        return Factories(
            lambda seed: PlayTune(extension, Tune(seed=seed)),
            lambda seed: PlayTune(extension, Tune(BRIEF_TUNE, seed=seed)),
            lambda seed: PlayTune(extension, Tune(TRIAL_TUNE, seed=seed), TRIAL_ATTEMPTS),
        )
    if extension == "khttpd":
        return Factories(
            lambda seed: WebLoad(seed, FULL_REQUESTS),
            lambda seed: WebLoad(seed, BRIEF_REQUESTS, mixed=True),
            _trial_web,
        )
    if extension == "vfat":
        return Factories(lambda seed: CompileLocal(seed=seed), _brief_compile, _trial_compile)
    return None
