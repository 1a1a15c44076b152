"""The Nooks isolation manager: isolation, interposition, object tracking, recovery (paper, section 3)."""
