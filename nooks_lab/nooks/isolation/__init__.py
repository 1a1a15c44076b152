"""Memory management: lightweight protection domains and what they may write (paper, section 4.1)."""
