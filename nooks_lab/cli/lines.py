"""The size of Nooks, component by component."""

from nooks_lab.cli.app import AsJson, app
from nooks_lab.cli.output import print_json, print_shown


@app.command()
def lines(as_json: AsJson = False) -> None:
    """Count the lines of Nooks, by component, beside the paper's."""
    from nooks_lab.component_table import PAPER_TOTAL, table

    counted = table()
    if as_json:
        print_json(counted.to_json())
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, show_footer=True)
    shown.add_column("component", "total")
    shown.add_column("lines", f"{counted.total:,}", justify="right")
    shown.add_column("share", justify="right")
    shown.add_column("paper's\nlines", f"{PAPER_TOTAL:,}", justify="right")
    shown.add_column("paper's\nshare", justify="right")
    for row in counted.rows:
        shown.add_row(
            row.component,
            f"{row.lines:,}",
            f"{counted.share(row):.1%}",
            f"{row.paper:,}",
            f"{counted.paper_share(row):.1%}",
        )
    print_shown(shown)
    parts = sum(row.paper for row in counted.rows)
    print_shown(
        "Lines without comments, docstrings and blanks. "
        f"The paper's parts (SOSP 2003, table 2) sum to {parts:,}; its shares are of that."
    )
