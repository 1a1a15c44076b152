"""Extension procedure calls, at once and deferred (paper, section 4.1)."""
