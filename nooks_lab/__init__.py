"""Nooks Lab: a course that shows, by running it, how an operating system survives its own drivers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nooks_lab.lab import Lab, boot

__all__ = ["Lab", "boot"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: the whole PC, which most commands can answer without.
    if name in __all__:
        from nooks_lab import lab

        return getattr(lab, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
