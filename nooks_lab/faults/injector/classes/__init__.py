"""The classes of faults, one in each file."""
