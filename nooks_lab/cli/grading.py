"""Exercises: released, checked by students, graded by instructors."""

from pathlib import Path
from typing import Annotated

import typer

from nooks_lab.cli.app import AsJson, app
from nooks_lab.cli.output import print_json


@app.command()
def release(
    solutions: Annotated[
        Path, typer.Argument(help="Folder of the instructor's notebooks, or one of them.")
    ] = Path("solutions"),
    out: Annotated[Path, typer.Option(help="Folder for the exercises.")] = Path("exercises"),
) -> None:
    """Make the exercises that students get from the solutions."""
    from nooks_lab.grading.metadata import NotebookError
    from nooks_lab.grading.release import release as release_one

    paths = [solutions] if solutions.suffix == ".ipynb" else sorted(solutions.glob("*.ipynb"))
    if not paths:
        raise NotebookError(f"{solutions} holds no solution notebooks")
    for path in paths:
        typer.echo(f"{path} -> {release_one(path, out)}")


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="Your notebook.")],
    as_json: AsJson = False,
) -> None:
    """Run your own notebook's tests; exit code 1 when one fails."""
    from nooks_lab.grading.check import check as run_check

    report = run_check(notebook)
    if as_json:
        print_json(report.to_json())
    else:
        typer.echo(str(report))
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(help="The submissions, {student}/{assignment}/{notebook}.ipynb.")],
    out: Annotated[Path, typer.Option(help="Folder for grades.json, grades.csv and each results.json.")],
    jobs: Annotated[int, typer.Option(min=1, help="Submissions at a time.")] = 1,
    seed: Annotated[int | None, typer.Option(help="The secret seed; random when not given.")] = None,
    solutions: Annotated[Path, typer.Option(help="Folder of the solutions, or one of them.")] = Path(
        "solutions"
    ),
    as_json: AsJson = False,
) -> None:
    """Grade a class."""
    from nooks_lab.grading.grade import grade as grade_class

    def progress(line: str) -> None:
        typer.echo(line, err=True)

    report = grade_class(folder, out, seed=seed, jobs=jobs, progress=progress, solutions=solutions)
    if as_json:
        print_json(report.to_json())
        return
    for row in report.rows:
        reason = f": {row.reason}" if row.reason else ""
        typer.echo(f"{row.student}  {row.score:g} of {row.max_score:g}  {row.status}{reason}")
    typer.echo(f"The grades are in {out}.")
