"""A small Linux 2.4 in Python, whose data live in guest memory; it knows nothing of Nooks."""
