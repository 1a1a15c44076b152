"""Faults put into extensions on purpose."""
