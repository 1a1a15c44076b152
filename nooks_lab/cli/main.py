"""Runs the command."""

import sys

import typer

# Each adds its commands, in the order in which --help lists them.
# isort: off
from nooks_lab.cli import (  # noqa: F401
    lab,
    demo,
    doctor,
    extensions,
    lines,
    wrappers,
    api,
    bugs,
    try_driver,
    campaign,
    serve,
    grading,
)
# isort: on

from nooks_lab.cli.app import app
from nooks_lab.cli.errors import is_users, sentence

USER_ERROR = 2


def main(arguments: list[str] | None = None) -> None:
    """Run the command; the program ends with its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of the program's own.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(given or ["--help"], prog_name="nooks-lab", standalone_mode=False)
    except typer.Abort:
        sys.exit(130)
    except typer.TyperException as error:
        message = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
        typer.echo(f"nooks-lab: {message}", err=True)
        sys.exit(USER_ERROR)
    except (ValueError, LookupError, OSError) as error:
        if not is_users(error):
            raise
        typer.echo(f"nooks-lab: {sentence(error)}", err=True)
        sys.exit(USER_ERROR)
    sys.exit(code if isinstance(code, int) else 0)
