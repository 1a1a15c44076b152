"""Detection of failures and recovery from them (paper, section 4.5)."""
