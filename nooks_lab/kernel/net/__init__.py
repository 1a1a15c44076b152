"""The network core: packets, devices, and the protocols above them."""
