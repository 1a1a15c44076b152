"""What is kept of one recovery."""

from dataclasses import dataclass, field

from nooks_lab.kernel.module import Module
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.recovery.policy import Rule


@dataclass
class Recovery:
    """One recovery.

    Attributes
    ----------
    phases : list of (name, cycles)
    decisions : list of str
        What the agent decided, in its words.
    leaked : int
        Objects of the failed domain that are still tracked at the end.
    ok : bool
        The extension runs again.
    restart : bool
        The agent wants it to run again.
    while_starting : bool
        It failed while an earlier recovery was starting it.
    started : int
        Cycle of the failure.
    blocked : list of int
        Pids of tasks that could not be unwound: they sleep uninterruptibly in or beneath the extension.
    successor : Domain or None
        What the extension is being started again in.
    """

    extension: str
    trigger: str
    started: int
    rule: Rule
    phases: list[tuple[str, int]] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    leaked: int = 0
    ok: bool = False
    restart: bool = True
    while_starting: bool = False
    blocked: list[int] = field(default_factory=list)
    domain: Domain | None = field(default=None, repr=False)
    successor: Domain | None = field(default=None, repr=False)
    modules: list[Module] = field(default_factory=list, repr=False)
    lines: list[int] = field(default_factory=list, repr=False)

    @property
    def cycles(self) -> int:
        """Cycles that all phases took."""
        return sum(cycles for _, cycles in self.phases)

    @property
    def failed_domain(self) -> Domain:
        """The domain that is being recovered, as long as it is there."""
        assert self.domain is not None
        return self.domain
