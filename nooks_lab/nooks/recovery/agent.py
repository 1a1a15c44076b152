"""The recovery agent (paper, section 4.5): a user task that decides what becomes of a failed extension."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nooks_lab.nooks.recovery.record import Recovery

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

Notify = Callable[[Recovery], object]


class RecoveryAgent:
    """Consults the policy, decides, and says so in the kernel's log.

    Attributes
    ----------
    notified : list of callable (recovery)
        Who is told of a failure, when policy says so.
    sync : list of callable
        What writes the caches back.
    """

    def __init__(self, nooks: "Nooks") -> None:
        self._nooks = nooks
        self.notified: list[Notify] = []
        self.sync: list[Callable[[], object]] = []

    def decide(self, recovery: Recovery, earlier: list[Recovery]) -> None:
        """Decide about one failure; sets ``recovery.restart``.

        Parameters
        ----------
        earlier : list of Recovery
            Those of the same extension before.
        """
        rule = recovery.rule
        self._say(recovery, f"{recovery.extension} failed: {recovery.trigger}")
        if rule.notify:
            for tell in self.notified:
                tell(recovery)
        reason = self._why_not(recovery, earlier)
        recovery.restart = not reason
        if reason:
            self._say(recovery, f"{recovery.extension} is disabled: {reason}")
        elif rule.action == "replace":
            self._say(recovery, f"{recovery.extension} is replaced by {rule.replacement}")
        else:
            changed = "".join(f", {name}={value}" for name, value in rule.parameters.items())
            self._say(recovery, f"{recovery.extension} is restarted{changed}")
        if rule.sync:
            for write_back in self.sync:
                write_back()
            self._say(recovery, "caches are written back before anything is released")

    def _why_not(self, recovery: Recovery, earlier: list[Recovery]) -> str:
        rule = recovery.rule
        if rule.action == "disable":
            return "policy says so"
        if recovery.while_starting:
            return "it failed while it was started again"
        if rule.give_up is not None:
            since = recovery.started - rule.give_up.cycles
            failures = 1 + sum(each.started >= since for each in earlier)
            if failures >= rule.give_up.failures:
                return f"{failures} failures in {rule.give_up.cycles:,} cycles"
        return ""

    def _say(self, recovery: Recovery, decision: str) -> None:
        recovery.decisions.append(decision)
        self._nooks.kernel.log(f"nooks-agent: {decision}\n")
