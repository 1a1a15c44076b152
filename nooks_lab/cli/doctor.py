"""Whether this host has what the course needs."""

import typer

from nooks_lab.cli.app import AsJson, app
from nooks_lab.cli.output import print_json


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check Python, packages, compiler, notebooks and sandbox; say how to mend what is wrong."""
    from nooks_lab import doctor as checks

    findings = checks.examine()
    if as_json:
        print_json(checks.to_json(findings))
    else:
        for finding in findings:
            typer.echo(f"{finding.status:<7} {finding.what}: {finding.found}")
            if finding.mend:
                typer.echo(f"        {finding.mend}")
    raise typer.Exit(0 if checks.healthy(findings) else 1)
