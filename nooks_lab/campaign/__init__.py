"""Reliability as the paper measured it: trials with injected faults, their outcomes, campaigns (section 5.2)."""
