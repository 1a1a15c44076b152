"""The library of driver bugs."""

from typing import Annotated

import typer

from nooks_lab.cli.app import AsJson, app
from nooks_lab.cli.output import print_json, print_shown


@app.command()
def bugs(
    name: Annotated[str | None, typer.Argument(help="A bug; all of them if none is given.")] = None,
    run: Annotated[bool, typer.Option("--run", help="Bring it out, natively and under Nooks.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the library of driver bugs, or show one and what comes of it."""
    from nooks_lab.faults.bugs import library, listing

    if name is None:
        if run:
            raise typer.BadParameter("--run is for one bug: nooks-lab bugs NAME --run")
        if as_json:
            print_json({"rows": [listing.row(bug) for bug in library.catalogue()]})
        else:
            print_shown(listing.table(library.catalogue()))
        return
    bug = library.find_bug(name)
    provoked = listing.run(bug) if run else ()
    if as_json:
        print_json(
            listing.row(bug) | {"nooks" if each.nooks else "native": each.to_json() for each in provoked}
        )
        return
    typer.echo(listing.page(bug))
    for each in provoked:
        typer.echo(listing.report(each))
