"""Reliability, as the paper measured it: trials with injected faults, outcomes, campaigns of many (section 5.2)."""
