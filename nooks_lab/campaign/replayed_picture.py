"""A replayed trial as a picture."""

import re

from matplotlib.figure import Figure

from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.replayed import Replayed, ran
from nooks_lab.campaign.trial import TrialResult
from nooks_lab.views import trial
from nooks_lab.views.trial import FaultLine, Side

_DUMP = re.compile(r"\s|$|(CPU|EIP|EFLAGS|eax|esi|ds|Stack|Call Trace|Code): ?|\*pte = |[0-9a-f]{8}$")
"""Lines of an oops that a picture leaves out: registers, stack and code."""

_GOOD = (Outcome.NO_EFFECT, Outcome.RECOVERED)


def draw(replayed: Replayed) -> Figure:
    """Return the picture: the faults above, and below what each system made of them."""
    spec = replayed.native.spec
    faults = [
        FaultLine(
            native.kind,
            native.symbol,
            native.line,
            native.disassembly_before,
            native.disassembly_after,
            ran(native.activated, nooks.activated),
        )
        for native, nooks in zip(replayed.native.faults, replayed.nooks.faults, strict=True)
    ]
    title = f"{spec.extension}, trial {spec.seed}:{spec.number}"
    return trial.draw(title, faults, _side("native", replayed.native), _side("Nooks", replayed.nooks))


def _side(name: str, result: TrialResult) -> Side:
    told = tuple(line.strip() for line in result.events if not _DUMP.match(line))
    return Side(name, str(result.outcome), result.outcome in _GOOD, result.reason, (*told, *result.wrong))
