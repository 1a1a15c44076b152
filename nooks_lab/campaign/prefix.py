"""The trials from number 0 on, without a gap: what a campaign counts while it runs, and by what it stops.

Workers finish trials in any order.  The rule that ends a campaign looks at the numbers in their order all the same, so
that it ends at the same number with any count of workers.
"""

from nooks_lab.campaign.interval import width
from nooks_lab.campaign.outcome import Outcome


class Prefix:
    """An extension's trials in the order of their numbers.

    Parameters
    ----------
    until_width : float, optional
        Stop once the interval of the eliminated share of native crashes is at most this wide.

    Attributes
    ----------
    length : int
        How many numbers have been counted; the next one is not yet done on both sides.
    native_crashes, nooks_crashes : int
    eliminated : int
        Native crashes whose trial under Nooks did not crash.
    stopped_at : int or None
        How many numbers were enough; later ones count no more.
    """

    def __init__(self, until_width: float | None = None) -> None:
        self._until = until_width
        self._waiting: dict[int, dict[bool, Outcome | None]] = {}
        self.length = 0
        self.native_crashes = self.nooks_crashes = self.eliminated = 0
        self.stopped_at: int | None = None

    def add(self, number: int, nooks: bool, outcome: Outcome | None) -> None:
        """Take one side of a trial; ``None`` for one that could not be run, whose number then counts nothing."""
        self._waiting.setdefault(number, {})[nooks] = outcome
        while self.stopped_at is None and len(self._waiting.get(self.length, ())) == 2:
            self._count(self._waiting.pop(self.length))

    def _count(self, sides: dict[bool, Outcome | None]) -> None:
        self.length += 1
        if None in sides.values():
            return
        native, nooks = (sides[side] is Outcome.CRASH for side in (False, True))
        self.native_crashes += native
        self.nooks_crashes += nooks
        self.eliminated += native and not nooks
        if self._until is not None and width(self.eliminated, self.native_crashes) <= self._until:
            self.stopped_at = self.length
