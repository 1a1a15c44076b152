"""The host's own network, carried on by the station at the far end of a simulated wire."""
