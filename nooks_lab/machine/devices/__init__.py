"""Device models, each after its public register description."""
