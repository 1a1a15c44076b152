"""Reliability, as the paper measured it: trials with injected faults, their outcomes, campaigns of many (section 5.2)."""
