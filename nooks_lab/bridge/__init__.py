"""A host's end of the simulated network: a TCP of its own, spoken by the station at the far end of a wire.

It shares no code with the kernel's TCP, so that a mistake of one does not cancel out in the other.
"""
