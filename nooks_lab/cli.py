"""The command ``nooks-lab``.

What a command needs is imported in it, so that ``--help`` answers at once.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from nooks_lab.campaign.settings import Settings
    from nooks_lab.lab import Lab
    from nooks_lab.nooks.log_only import DirectStore
    from nooks_lab.nooks.recovery.policy import Policy

USER_ERROR = 2
_FIGURES = (".png", ".svg", ".pdf")

_OVERRIDES = {
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
}
"""JupyterLab would open the start page in its editor, and lay a question about Jupyter news over it."""

app = typer.Typer(
    name="nooks-lab",
    help="Nooks Lab: how an operating system survives its own drivers.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

PolicyFile = Annotated[Path | None, typer.Option(help="What recovery does, for each extension (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def lab(
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab at the course's start page."""
    root = Path(__file__).parent.parent
    page = root / "course" / "README.md"
    if not page.is_file():
        raise FileNotFoundError(
            2, "the course is not there; run this from a clone of the repository", str(page)
        )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    command.append(f"--LabApp.default_url=/lab/tree/{page.relative_to(root).as_posix()}")
    if not browser:
        command.append("--no-browser")
    # JupyterLab refuses to run as root, as one is in most containers, unless told so.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with tempfile.TemporaryDirectory(prefix="nooks-lab-") as config:
        overrides = Path(config, "labconfig", "default_setting_overrides.json")
        overrides.parent.mkdir()
        overrides.write_text(json.dumps(_OVERRIDES), encoding="utf-8")
        search = os.pathsep.join(filter(None, (config, os.environ.get("JUPYTER_CONFIG_PATH"))))
        server = subprocess.Popen(command, env=os.environ | {"JUPYTER_CONFIG_PATH": search})
        # Ctrl-C is the server's: it asks whether to stop, and then ends its kernels.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = server.wait()
    raise typer.Exit(code)


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
    result = run_demo(extension, seed, look, _read_policy(policy))
    if as_json:
        _print_json(result.to_json())
    else:
        _print(show(result))
        if figure is not None:
            _print(f"The picture is in {figure}.")


def _read_policy(path: Path | None) -> "Policy | None":
    from nooks_lab.extensions import CLASSES
    from nooks_lab.nooks.recovery.policy import read_policy

    return None if path is None else read_policy(path, CLASSES)


def _check_figure(figure: Path) -> None:
    from nooks_lab.demo import DemoError

    if figure.suffix not in _FIGURES:
        raise DemoError(f"{figure} does not end in one of {', '.join(_FIGURES)}")


def _draw_into(figure: Path) -> Callable[["Lab"], None]:
    _check_figure(figure)

    def look(lab: "Lab") -> None:
        from nooks_lab.views.domains import draw

        draw(lab).savefig(figure)

    return look


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check Python, packages, compiler, notebooks and sandbox; say how to mend what is wrong."""
    from nooks_lab import doctor as checks

    findings = checks.examine()
    if as_json:
        _print_json(checks.to_json(findings))
    else:
        for finding in findings:
            typer.echo(f"{finding.status:<7} {finding.what}: {finding.found}")
            if finding.mend:
                typer.echo(f"        {finding.mend}")
    raise typer.Exit(0 if checks.healthy(findings) else 1)


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
        _check_figure(figure)
    listed = table()
    if figure is not None:
        from nooks_lab.views.wrapper_sharing import draw

        draw([row.bar for row in listed]).savefig(figure, dpi=150)
    rows = [row.to_json() for row in listed]
    if as_json:
        _print_json({"rows": rows})
        return
    sharing = [
        column for column in rows[0] if column in ("unique_wrappers", "class_wrappers", "shared_wrappers")
    ]
    hidden = ("device", *sharing, "kernel_sharing", "extension_sharing")
    _print(_table([{key: row[key] for key in row if key not in hidden} for row in rows]))
    _print("\nWrappers that only one extension uses, one class of them, or several classes:\n")
    _print(_table([{key: row[key] for key in ("name", "device", *sharing)} for row in rows]))
    if figure is not None:
        _print(f"The picture is in {figure}.")


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


@app.command()
def lines(as_json: AsJson = False) -> None:
    """Count the lines of Nooks, by component, beside the paper's."""
    from nooks_lab.component_table import PAPER_TOTAL, table

    counted = table()
    if as_json:
        _print_json(counted.to_json())
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
    _print(shown)
    parts = sum(row.paper for row in counted.rows)
    _print(
        "Lines without comments, docstrings and blanks. "
        f"The paper's parts (SOSP 2003, table 2) sum to {parts:,}; its shares are of that."
    )


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
        _print_json(to_json(functions, pointers))
    elif out is None:
        typer.echo(skeletons(functions, pointers), nl=False)
    else:
        with out.open("x", encoding="utf-8", newline="\n") as file:
            file.write(skeletons(functions, pointers))


@app.command()
def api(
    out: Annotated[Path | None, typer.Option(help="A file for it, instead of the terminal.")] = None,
) -> None:
    """Write the reference of the kernel's interface for extensions, from its headers and declarations."""
    from nooks_lab.kernel_api.page import page

    if out is None:
        typer.echo(page(), nl=False)
    else:
        out.write_text(page(), encoding="utf-8", newline="\n")


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
            _print_json({"rows": [listing.row(bug) for bug in library.catalogue()]})
        else:
            _print(listing.table(library.catalogue()))
        return
    bug = library.find_bug(name)
    provoked = listing.run(bug) if run else ()
    if as_json:
        _print_json(
            listing.row(bug) | {"nooks" if each.nooks else "native": each.to_json() for each in provoked}
        )
        return
    typer.echo(listing.page(bug))
    for each in provoked:
        typer.echo(listing.report(each))


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
        read_driver(file), device, nooks=not native, log_only=log_only, policy=_read_policy(policy)
    )
    if as_json:
        _print_json(trial.to_json())
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
        _check_figure(picture)
    if replay is not None:
        _replay(replay, names, settings, results, picture, as_json)
        return
    file = default_results(settings) if results is None else results
    request = Request(names, trials, settings, file, jobs, dask, until_width, csv, parquet, figures)
    try:
        done = command.run_campaign(request, _console())
    except command.Interrupted as stop:
        typer.echo(f"nooks-lab: {stop}", err=True)
        raise typer.Exit(command.INTERRUPTED) from None
    if as_json:
        _print_json(done.data)
    else:
        from nooks_lab.campaign.summary_table import show

        _print(show(done.summaries))
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
        _print_json(replayed.to_json())
    else:
        _print(show(replayed))
        if picture is not None:
            typer.echo(f"The picture is in {picture}.")
    for difference in replayed.differences:
        typer.echo(f"nooks-lab: {difference}", err=True)
    raise typer.Exit(1 if replayed.differences else 0)


def _console() -> Any:
    """Return the terminal that progress is shown on: not standard output, which may be a file."""
    from rich.console import Console

    return Console(stderr=True)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The host's port; 0 lets the host choose.")],
    native: Annotated[bool, typer.Option("--native", help="Without Nooks.")] = False,
    fault: Annotated[
        str, typer.Option(help="Which extension a fault is injected into: khttpd or e1000.")
    ] = "khttpd",
    address: Annotated[str, typer.Option(help="The host's address to listen on.")] = "127.0.0.1",
) -> None:
    """Let kHTTPd's machine code in a nook answer real browsers; the key f or a URL injects a fault."""
    from nooks_lab.serve import serve as run_serve

    def say(line: str) -> None:
        # Whoever reads a pipe needs the URL now.
        print(line, flush=True)

    served = run_serve(port, nooks=not native, fault=fault, address=address, say=say)
    typer.echo(
        f"{served.connections} connections, {served.faults} faults injected, {served.recoveries} recoveries"
    )
    raise typer.Exit(1 if served.died else 0)


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
        _print_json(report.to_json())
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
        _print_json(report.to_json())
        return
    for row in report.rows:
        reason = f": {row.reason}" if row.reason else ""
        typer.echo(f"{row.student}  {row.score:g} of {row.max_score:g}  {row.status}{reason}")
    typer.echo(f"The grades are in {out}.")


def _print(what: Any) -> None:
    from rich.console import Console

    Console(highlight=False).print(what)


def _print_json(data: dict[str, Any]) -> None:
    typer.echo(json.dumps(data, indent=2))


def _sentence(error: BaseException) -> str:
    """Return one line for the user: of a compiler's report, its first error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    first, *more = str(error).splitlines() or [type(error).__name__]
    cause = next((line for line in more if "error:" in line), "")
    return f"{first} {cause}".strip()


def _is_users(error: Exception) -> bool:
    """Tell whether an error is the user's; loaded only once there is one."""
    from nooks_lab.campaign.errors import CampaignError
    from nooks_lab.cards import UnknownCard
    from nooks_lab.demo import DemoError
    from nooks_lab.extensions import UnknownExtension
    from nooks_lab.faults.bugs.library import UnknownBug
    from nooks_lab.faults.injector import NothingQualifies, UnknownFaultClass
    from nooks_lab.faults.text_fault import NoSuchFault
    from nooks_lab.grading.metadata import NotebookError
    from nooks_lab.grading.reference import UnusableReference
    from nooks_lab.kernel.modules import ModuleError
    from nooks_lab.nooks.recovery.policy import PolicyError
    from nooks_lab.nooks.wrappers.generator.headers import GeneratorError
    from nooks_lab.replay import CaptureError
    from nooks_lab.toolchain.compiler import CompileError
    from nooks_lab.toolchain.elf import ElfError

    programs = (CompileError, ElfError, ModuleError, UnknownExtension, UnknownCard, CaptureError, DemoError)
    injection = (CampaignError, NothingQualifies, UnknownFaultClass, UnknownBug)
    return isinstance(
        error,
        (
            *programs,
            *injection,
            NoSuchFault,
            PolicyError,
            GeneratorError,
            NotebookError,
            UnusableReference,
            OSError,
        ),
    )


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
        if not _is_users(error):
            raise
        typer.echo(f"nooks-lab: {_sentence(error)}", err=True)
        sys.exit(USER_ERROR)
    sys.exit(code if isinstance(code, int) else 0)
