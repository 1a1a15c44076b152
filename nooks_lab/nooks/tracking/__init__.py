"""Object tracking: which kernel objects an extension uses, and until when (paper, section 4.4)."""
