"""What commands print."""

import json
from typing import Any

import typer


def print_shown(what: Any) -> None:
    """Print text or one of rich's tables."""
    from rich.console import Console

    Console(highlight=False).print(what)


def print_json(data: dict[str, Any]) -> None:
    """Print an object for programs."""
    typer.echo(json.dumps(data, indent=2))


def terminal() -> Any:
    """Return the terminal that progress is shown on: not standard output, which may be a file."""
    from rich.console import Console

    return Console(stderr=True)
