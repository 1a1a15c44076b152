"""The reference of the kernel's interface."""

from pathlib import Path
from typing import Annotated

import typer

from nooks_lab.cli.app import app


@app.command()
def api(
    out: Annotated[Path | None, typer.Option(help="A file for it, instead of the terminal.")] = None,
) -> None:
    """Write the reference of the kernel's interface for extensions, from its headers and declarations."""
    from nooks_lab.kernel_api.page import page

    if out is None:
        typer.echo(page(), nl=False)
    else:
        out.write_text(page(), encoding="utf-8", newline="\n")
