"""The extensions, and what Nooks does for each."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nooks_lab.cli.app import AsJson, app
from nooks_lab.cli.figure_file import check_figure
from nooks_lab.cli.output import print_json, print_shown


@app.command()
def extensions(
    as_json: AsJson = False,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Draw who shares which wrappers into this file (.png, .svg, .pdf), as the paper's figure 5."
        ),
    ] = None,
) -> None:
    """List the extensions, with what Nooks does for each."""
    from nooks_lab.extension_table import table

    if figure is not None:
        check_figure(figure)
    listed = table()
    if figure is not None:
        from nooks_lab.views.wrapper_sharing import draw

        draw([row.bar for row in listed]).savefig(figure, dpi=150)
    rows = [row.to_json() for row in listed]
    if as_json:
        print_json({"rows": rows})
        return
    sharing = [
        column for column in rows[0] if column in ("unique_wrappers", "class_wrappers", "shared_wrappers")
    ]
    hidden = ("device", *sharing, "kernel_sharing", "extension_sharing")
    print_shown(_table([{key: row[key] for key in row if key not in hidden} for row in rows]))
    print_shown("\nWrappers that only one extension uses, one class of them, or several classes:\n")
    print_shown(_table([{key: row[key] for key in ("name", "device", *sharing)} for row in rows]))
    if figure is not None:
        print_shown(f"The picture is in {figure}.")


def _table(rows: list[dict[str, Any]]) -> Any:
    """Return rows as a table; of a hash its beginning is shown."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column, value in rows[0].items():
        # Only the device's name may be folded; eighty columns are enough for the rest.
        shown.add_column(
            column.replace("_", "\n"),
            justify="right" if isinstance(value, int) else "left",
            no_wrap=column != "device",
        )
    for row in rows:
        shown.add_row(
            *(str(cell)[:7] if column == "object_sha256" else str(cell) for column, cell in row.items())
        )
    return shown
