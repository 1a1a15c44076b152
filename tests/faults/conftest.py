import pytest

from nooks_lab.faults.bugs import sound_situations
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.recovery import storm


@pytest.fixture
def short_storms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nooks waits for 20 ms of a storm instead of 100, and the one that is played lasts 24: it costs host time."""
    monkeypatch.setattr(storm, "STORM_CYCLES", CPU_HZ // 50)
    monkeypatch.setattr(sound_situations, "SEVERAL_FRAGMENTS", 704)
