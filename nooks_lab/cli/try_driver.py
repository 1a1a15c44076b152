"""A driver of the user's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nooks_lab.cli.app import AsJson, app
from nooks_lab.cli.output import print_json
from nooks_lab.cli.policy_file import PolicyFile, read_policy_file

if TYPE_CHECKING:
    from nooks_lab.nooks.log_only import DirectStore


@app.command(name="try")
def try_(
    file: Annotated[Path, typer.Argument(help="A driver: FILE.c, or FILE.o for i386.")],
    device: Annotated[str, typer.Option(help="The device it drives, or the service whose place it takes.")],
    native: Annotated[bool, typer.Option("--native", help="Without Nooks.")] = False,
    log_only: Annotated[
        bool, typer.Option("--log-only", help="Let its direct stores to kernel data through, and list them.")
    ] = False,
    as_json: AsJson = False,
    policy: PolicyFile = None,
) -> None:
    """Compile your own driver, load it, run that device's workload, and say what happened."""
    from nooks_lab.try_driver import read_driver, try_driver

    if native and log_only:
        raise typer.BadParameter("--log-only is a mode of Nooks, and --native is without Nooks")
    trial = try_driver(
        read_driver(file), device, nooks=not native, log_only=log_only, policy=read_policy_file(policy)
    )
    if as_json:
        print_json(trial.to_json())
        return
    for message in trial.messages:
        typer.echo(message)
    typer.echo(f"{trial.name} {'natively' if native else 'under Nooks'}: {trial.outcome}")
    if trial.end:
        typer.echo(trial.end)
    if trial.traffic is not None:
        typer.echo(f"{trial.traffic.sent} packets sent, {trial.traffic.lost} lost")
    if trial.result is not None:
        typer.echo(", ".join(f"{number:,} {what}" for what, number in trial.result.counts.items()))
        for sentence in trial.result.wrong:
            typer.echo(sentence)
    if trial.stores is not None:
        _echo_stores(trial.stores)


def _echo_stores(stores: Sequence["DirectStore"]) -> None:
    """Print log-only mode's list: where in the source, how often, to what."""
    places = "1 place" if len(stores) == 1 else f"{len(stores)} places"
    typer.echo(f"direct stores to kernel data: {places if stores else 'none'}")
    for store in stores:
        times = "once" if store.count == 1 else f"{store.count} times"
        typer.echo(f"  {store}, {times}")
