"""Which trials are still to be run, and in what portions a worker gets them."""

from collections.abc import Collection, Iterator

from nooks_lab.campaign.settings import Settings
from nooks_lab.campaign.trial import TrialSpec

Batch = tuple[TrialSpec, ...]
"""What one worker runs, one after the other, before it reports."""

MOST_PAIRS = 8
"""Of a batch: scheduling costs little beside eight pairs, and they are on the disk within a second."""

_BATCHES_PER_JOB = 8


def pairs_per_batch(pairs: int, jobs: int) -> int:
    """Return how many numbers to give a worker at a time, so that no worker is long idle at the end."""
    return max(1, min(MOST_PAIRS, pairs // (jobs * _BATCHES_PER_JOB)))


def missing(
    settings: Settings, extension: str, trials: int, done: Collection[tuple[int, bool]]
) -> Iterator[TrialSpec]:
    """Yield what is not done yet: by number, native before Nooks."""
    for number in range(trials):
        for nooks in (False, True):
            if (number, nooks) not in done:
                yield settings.spec(extension, number, nooks)


def batches(
    settings: Settings, extension: str, trials: int, done: Collection[tuple[int, bool]], jobs: int
) -> Iterator[Batch]:
    """Yield the missing trials in batches; both sides of a number are always in the same one."""
    size = pairs_per_batch(trials - len(done) // 2, jobs)
    batch: list[TrialSpec] = []
    numbers = 0
    for spec in missing(settings, extension, trials, done):
        if not batch or batch[-1].number != spec.number:
            if numbers == size:
                yield tuple(batch)
                batch, numbers = [], 0
            numbers += 1
        batch.append(spec)
    if batch:
        yield tuple(batch)
