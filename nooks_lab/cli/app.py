"""The command's frame, to which every command adds itself."""

from typing import Annotated

import typer

app = typer.Typer(
    name="nooks-lab",
    help="Nooks Lab: how an operating system survives its own drivers.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
