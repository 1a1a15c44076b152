"""The same faulty driver natively and under Nooks."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nooks_lab.cli.app import AsJson, app
from nooks_lab.cli.figure_file import check_figure
from nooks_lab.cli.output import print_json, print_shown
from nooks_lab.cli.policy_file import PolicyFile, read_policy_file

if TYPE_CHECKING:
    from nooks_lab.lab import Lab


@app.command()
def demo(
    extension: Annotated[str, typer.Option(help="Whose faulty version to load.")] = "e1000",
    seed: Annotated[int, typer.Option(help="Which bug.")] = 1,
    as_json: AsJson = False,
    figure: Annotated[
        Path | None, typer.Option(help="Draw domains and page rights into this file (.png, .svg, .pdf).")
    ] = None,
    policy: PolicyFile = None,
) -> None:
    """Run the same faulty driver natively and under Nooks, side by side."""
    from nooks_lab.demo import demo as run_demo
    from nooks_lab.demo import show

    look = None if figure is None else _draw_into(figure)
    result = run_demo(extension, seed, look, read_policy_file(policy))
    if as_json:
        print_json(result.to_json())
    else:
        print_shown(show(result))
        if figure is not None:
            print_shown(f"The picture is in {figure}.")


def _draw_into(figure: Path) -> Callable[["Lab"], None]:
    check_figure(figure)

    def look(lab: "Lab") -> None:
        from nooks_lab.views.domains import draw

        draw(lab).savefig(figure)

    return look
