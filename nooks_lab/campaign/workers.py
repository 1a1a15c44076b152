"""Where a campaign's trials run: in processes of this host, or on a Dask cluster.

Both are executors of :mod:`concurrent.futures`: batches go in, futures come out.  A future tells exactly which batch
was lost with its worker, which ``joblib.Parallel`` does not; so the processes are those that it runs on too (loky).
"""

import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, Protocol

from joblib.externals.loky import ProcessPoolExecutor

from nooks_lab.campaign.errors import CampaignError
from nooks_lab.campaign.worker import be_a_worker

Futures = Iterable["Future[Any]"]

_IDLE = 60.0
"""Seconds after which an idle process ends; it boots its machines again when there is work."""


class Workers(Protocol):
    """Who runs batches."""

    @property
    def jobs(self) -> int:
        """How many batches can run at a time."""
        ...

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Begin a batch as soon as a worker is free."""
        ...

    def wait(self, futures: Futures) -> "set[Future[Any]]":
        """Wait until one or more have ended, and return those.

        Raises
        ------
        CampaignError
            When nobody is left to run them.
        """
        ...

    def lost(self, error: BaseException) -> bool:
        """Tell whether this error of a future means that its worker died."""
        ...

    def close(self, *, at_once: bool) -> None:
        """End the workers, also in the middle of their work."""
        ...


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Make processes and threads that Ctrl-C does not reach, also while they begin; here it comes afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Python's resource tracker would begin within, and let the signal through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Processes:
    """Worker processes on this host.

    Parameters
    ----------
    jobs : int
        How many.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._executor: Any = None
        # A worker that has grown ends after its batch, and another one takes its place: nothing to be warned of.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor")

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Begin a batch; after a worker died, the others are replaced too."""
        if self._executor is None:
            self._executor = self._start()
        try:
            return self._begin(work, *arguments)
        except BrokenExecutor:
            self._executor.shutdown(wait=True)
            self._executor = self._start()
            return self._begin(work, *arguments)

    def _begin(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        # What is missing of its processes, the executor makes now.
        with _without_interrupt():
            begun: Future[Any] = self._executor.submit(work, *arguments)
        return begun

    def _start(self) -> Any:
        return ProcessPoolExecutor(self.jobs, timeout=_IDLE, initializer=be_a_worker, initargs=(os.getpid(),))

    def wait(self, futures: Futures) -> "set[Future[Any]]":
        """Wait until one or more have ended, and return those."""
        return wait_for(futures, return_when="FIRST_COMPLETED").done

    def lost(self, error: BaseException) -> bool:
        """Tell whether this error of a future means that its worker died."""
        return isinstance(error, BrokenExecutor)

    def close(self, *, at_once: bool) -> None:
        """End the processes, also in the middle of their work."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=at_once)
            self._executor = None


_LOOK = 10.0
"""Seconds between two looks whether the cluster has workers."""

_PATIENCE = 6
"""How many looks in a row may find none: a worker that a nanny starts again is back long before."""


class DaskCluster:
    """The workers of a Dask cluster.

    The scheduler runs the batches of a worker that died on another one, and gives a batch up once it has lost
    several workers to it (its setting ``allowed-failures``).

    Parameters
    ----------
    address : str
        The scheduler's, as ``tcp://host:8786``.

    Raises
    ------
    CampaignError
        When Dask is not installed, or no scheduler answers.
    """

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise CampaignError("--dask needs Dask: pip install 'nooks-lab[cluster]'") from error
        try:
            self._client: Any = distributed.Client(address, timeout=_LOOK, set_as_default=False)
        except (OSError, ValueError) as error:
            raise CampaignError(f"no Dask scheduler answers at {address}") from error
        self._address = address
        self._executor = self._client.get_executor(pure=False)

    @property
    def jobs(self) -> int:
        """The workers that there are now: a worker's threads take turns at its machine."""
        return max(1, len(self._client.ncores()))

    def submit(self, work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Begin a batch as soon as a worker is free."""
        begun: Future[Any] = self._executor.submit(work, *arguments)
        return begun

    def wait(self, futures: Futures) -> "set[Future[Any]]":
        """Wait until one or more have ended, and return those."""
        futures = list(futures)
        for _ in range(_PATIENCE):
            done = wait_for(futures, timeout=_LOOK, return_when="FIRST_COMPLETED").done
            while not done and self._client.ncores():
                done = wait_for(futures, timeout=_LOOK, return_when="FIRST_COMPLETED").done
            if done:
                return done
        raise CampaignError(f"the Dask cluster at {self._address} has no workers any more")

    def lost(self, error: BaseException) -> bool:
        """Tell whether this error of a future means that its workers died."""
        from distributed import KilledWorker

        return isinstance(error, KilledWorker)

    def close(self, *, at_once: bool) -> None:
        """Leave the cluster; what is still running there is cancelled."""
        self._executor.shutdown(wait=not at_once)
        self._client.close()
