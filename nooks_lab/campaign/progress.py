"""The bar that shows how far a campaign is, on a terminal."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from nooks_lab.campaign.interval import wilson
from nooks_lab.campaign.run import Progress


class _Rate(ProgressColumn):
    """Trials a second, native and Nooks each counted."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f} trials/s")


def crashes(progress: Progress) -> str:
    """Return the running counts in one line."""
    native, nooks = progress.native_crashes, progress.nooks_crashes
    said = f"crashes: native {native:,}, Nooks {nooks:,}"
    if native:
        low, high = wilson(progress.eliminated, native)
        said += f"; eliminated {progress.eliminated / native:.1%} ({low:.1%} to {high:.1%})"
    if progress.broken:
        said += f"; {len(progress.broken)} without a result"
    return said


class Bar:
    """Draws the progress on a console when that is a terminal, and nothing otherwise."""

    def __init__(self, console: Console) -> None:
        self._bar = RichProgress(
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)

    def show(self, progress: Progress) -> None:
        """Draw the present state."""
        done = min(progress.done, progress.wanted)
        if self._bar.tasks[0].total is None:
            # What earlier runs did is no speed of this one.
            self._bar.reset(self._task, completed=done)
        self._bar.update(self._task, total=progress.wanted, completed=done, description=crashes(progress))

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
