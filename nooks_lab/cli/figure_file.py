"""Files that pictures are drawn into."""

from pathlib import Path

_ENDINGS = (".png", ".svg", ".pdf")


def check_figure(figure: Path) -> None:
    """Refuse an ending that says no format of a picture, before anything is run for it."""
    from nooks_lab.demo import DemoError

    if figure.suffix not in _ENDINGS:
        raise DemoError(f"{figure} does not end in one of {', '.join(_ENDINGS)}")
