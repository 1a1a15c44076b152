"""Wrapper skeletons from headers."""

from pathlib import Path
from typing import Annotated

import typer

from nooks_lab.cli.app import AsJson, app
from nooks_lab.cli.output import print_json


@app.command()
def wrappers(
    headers: Annotated[
        list[str] | None,
        typer.Argument(metavar="HEADER", help="As linux/skbuff.h; all of the kernel's if none is given."),
    ] = None,
    struct: Annotated[
        list[str] | None, typer.Option(help="Also wrap this struct's function pointers; repeatable.")
    ] = None,
    include: Annotated[
        list[Path] | None, typer.Option(help="A folder of headers of your own, before the kernel's.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new file for them, instead of the terminal.")] = None,
    as_json: AsJson = False,
) -> None:
    """Generate wrapper skeletons for the kernel functions that headers declare."""
    from nooks_lab.nooks import interposition  # noqa: F401 - it declares the wrappers
    from nooks_lab.nooks.wrappers.generator import headers as declared
    from nooks_lab.nooks.wrappers.generator.listing import to_json
    from nooks_lab.nooks.wrappers.generator.skeleton import skeletons

    named, folders = headers or declared.all_headers(), include or []
    functions = declared.kernel_functions(named, folders)
    structs = dict.fromkeys(struct or [])
    pointers = [each for name in structs for each in declared.function_pointers(name, named, folders)]
    if as_json and out is not None:
        raise declared.GeneratorError("--json prints to the terminal, and --out is for Python: choose one")
    if as_json:
        print_json(to_json(functions, pointers))
    elif out is None:
        typer.echo(skeletons(functions, pointers), nl=False)
    else:
        with out.open("x", encoding="utf-8", newline="\n") as file:
            file.write(skeletons(functions, pointers))
