"""Pictures of the running system, as pure functions of a snapshot."""
