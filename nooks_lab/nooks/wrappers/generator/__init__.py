"""The wrapper generator: declarations and body skeletons out of the kernel's headers (paper, section 4.3)."""
