"""Fault injection: campaigns, and single trials replayed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nooks_lab.cli.app import AsJson, app
from nooks_lab.cli.figure_file import check_figure
from nooks_lab.cli.output import print_json, print_shown, terminal

if TYPE_CHECKING:
    from nooks_lab.campaign.settings import Settings


@app.command()
def campaign(
    extension: Annotated[
        list[str] | None,
        typer.Option(help="Repeatable; all, or paper for the five that the paper measured (the default)."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Of each extension, natively and under Nooks.")] = 400,
    faults: Annotated[int, typer.Option(min=1, help="Faults in a trial.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=(1 << 32) - 1, help="Which faults.")] = 1,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; as many as there are processors by default.")
    ] = None,
    classes: Annotated[
        str, typer.Option(help="Fault classes, separated by commas; the paper's eight by default.")
    ] = "",
    placement: Annotated[
        Literal["uniform", "as-released"], typer.Option(help="How an instruction is chosen.")
    ] = "uniform",
    panic_on_oops: Annotated[
        bool, typer.Option("--panic-on-oops", help="Natively, any oops ends the system.")
    ] = False,
    nanny: Annotated[
        bool, typer.Option("--nanny", help="Under Nooks, probe the service and recover it when it is gone.")
    ] = False,
    sync: Annotated[bool, typer.Option(help="VFAT: write the cache to disk before a recovery.")] = True,
    results: Annotated[
        Path | None, typer.Option(help="The results file (SQLite); the same command goes on with it.")
    ] = None,
    until_width: Annotated[
        float | None, typer.Option(help="Stop once the interval of crashes eliminated is this narrow: 0.02.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on the cluster of this Dask scheduler.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the trials into this file.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the trials into this file.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Draw the paper's figures 6 and 7 of them into this folder.")
    ] = None,
    replay: Annotated[
        str | None, typer.Option(metavar="[SEED:]NUMBER", help="Show a single trial, with all its events.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the replayed trial into this file (.png, .svg, .pdf).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Inject faults, natively and under Nooks the same ones, and count what comes of them; resumable."""
    from nooks_lab.campaign import command
    from nooks_lab.campaign.request import Request, default_results, fault_classes, named_extensions
    from nooks_lab.campaign.settings import Settings

    names = named_extensions(extension or ["paper"])
    settings = Settings(seed, faults, fault_classes(classes), placement, panic_on_oops, nanny, sync)
    if picture is not None:
        if replay is None:
            raise typer.BadParameter("--picture is of a trial that --replay names")
        check_figure(picture)
    if replay is not None:
        _replay(replay, names, settings, results, picture, as_json)
        return
    file = default_results(settings) if results is None else results
    request = Request(names, trials, settings, file, jobs, dask, until_width, csv, parquet, figures)
    try:
        done = command.run_campaign(request, terminal())
    except command.Interrupted as stop:
        typer.echo(f"nooks-lab: {stop}", err=True)
        raise typer.Exit(command.INTERRUPTED) from None
    if as_json:
        print_json(done.data)
    else:
        from nooks_lab.campaign.summary_table import show

        print_shown(show(done.summaries))
        for sentence in done.files:
            typer.echo(sentence)
    for broken in done.broken:
        typer.echo(f"nooks-lab: without a result: {broken}", err=True)
    raise typer.Exit(1 if done.broken else 0)


def _replay(
    which: str,
    names: Sequence[str],
    settings: "Settings",
    results: Path | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Show one trial, natively and under Nooks."""
    from nooks_lab.campaign.replayed import replay, show

    replayed = replay(which, names, settings, results)
    if picture is not None:
        from nooks_lab.campaign.replayed_picture import draw

        draw(replayed).savefig(picture, dpi=150)
    if as_json:
        print_json(replayed.to_json())
    else:
        print_shown(show(replayed))
        if picture is not None:
            typer.echo(f"The picture is in {picture}.")
    for difference in replayed.differences:
        typer.echo(f"nooks-lab: {difference}", err=True)
    raise typer.Exit(1 if replayed.differences else 0)
