"""Nooks Lab: a course that shows, by running it, how an operating system survives its own drivers."""

from nooks_lab.lab import Lab, boot

__all__ = ["Lab", "boot"]
