"""A host of its own at the far end of a wire: ARP, echo, and a TCP (RFC 826, 792, 793).

The workloads' streams, their web clients and the bridge to real browsers all speak through it.  It shares no code with
the kernel's TCP, so that a mistake of one does not cancel out in the other.
"""
