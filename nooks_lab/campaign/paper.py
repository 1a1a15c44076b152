"""The paper's own reliability experiment (sections 5.1.2, 5.2.1 and 5.2.2), as far as it prints numbers.

Of single extensions it has bars without numbers.
"""

MEASURED = ("sb", "e1000", "pcnet32", "vfat", "khttpd")
"""The extensions that it reports (table 3, in bold)."""

TRIALS = 400
"""Trials for each of them, natively and once more under Nooks."""

FAULTS = 5
"""Faults in a trial."""

NATIVE_CRASHES, NOOKS_CRASHES = 317, 4
"""System crashes (figure 6); the four left are deadlocks."""

NATIVE_FAILURES, NOOKS_FAILURES = 512, 212
"""Non-fatal extension failures (figure 7)."""
