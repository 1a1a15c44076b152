"""The block layer: requests, the disk's driver, the buffer cache."""
