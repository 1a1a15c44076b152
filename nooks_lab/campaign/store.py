"""The results file: one SQLite file for a campaign, to which trials are appended durably.

Whatever was appended is there after a ``kill -9``; a trial is never in it twice.  A file is opened by one campaign
at a time, and only by the one that made it.
"""

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from nooks_lab.campaign.errors import CampaignError
from nooks_lab.campaign.files import corrupt
from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.settings import Settings, package_version
from nooks_lab.campaign.trial import FaultRecord, TrialResult

SCHEMA = 1
"""The tables' version; counted up when they change."""

APPLICATION_ID = 0x4E4F4F4B
"""Tells a results file from another program's SQLite file ("NOOK")."""

_TABLES = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE extension (name TEXT PRIMARY KEY, object_sha256 TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (id INTEGER PRIMARY KEY, jobs INTEGER NOT NULL, trials INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE TABLE trial (
    extension TEXT NOT NULL REFERENCES extension (name),
    number INTEGER NOT NULL,
    nooks INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    activated INTEGER NOT NULL,
    recoveries INTEGER NOT NULL,
    recovery_cycles INTEGER NOT NULL,
    cycles INTEGER NOT NULL,
    faults TEXT NOT NULL,
    leaked TEXT NOT NULL,
    wrong TEXT NOT NULL,
    disk TEXT NOT NULL,
    PRIMARY KEY (extension, number, nooks)
) WITHOUT ROWID;
"""

_VERSION = "package version"


@dataclass(frozen=True)
class Row:
    """A trial in the file; the attributes are those of :class:`TrialResult`, without its events.

    A replay makes the events again.
    """

    extension: str
    number: int
    nooks: bool
    outcome: Outcome
    reason: str
    activated: int
    recoveries: int
    recovery_cycles: int
    cycles: int
    faults: tuple[FaultRecord, ...]
    leaked: dict[str, int]
    wrong: tuple[str, ...]
    disk: tuple[str, ...]


@dataclass(frozen=True)
class Outline:
    """What a summary needs of a trial."""

    number: int
    nooks: bool
    outcome: Outcome
    reason: str
    activated: int
    recoveries: int
    recovery_cycles: int
    leaked: bool
    wrong: bool = False
    corrupt_disk: bool = False


def row_of(result: TrialResult) -> Row:
    """Return what is kept of a result."""
    spec = result.spec
    return Row(
        spec.extension,
        spec.number,
        spec.nooks,
        result.outcome,
        result.reason,
        result.activated,
        result.recoveries,
        result.recovery_cycles,
        result.cycles,
        result.faults,
        result.leaked or {},
        result.wrong,
        result.disk,
    )


class Store:
    """An open results file; see :func:`open_store`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._objects: dict[str, str] = dict(
            connection.execute("SELECT name, object_sha256 FROM extension").fetchall()
        )
        self._run: int | None = None

    def begin_run(self, jobs: int) -> None:
        """Begin to count the time of another run of the campaign."""
        with self._writing():
            self._run = self._connection.execute(
                "INSERT INTO run (jobs, trials, seconds) VALUES (?, 0, 0)", (jobs,)
            ).lastrowid

    def append(self, results: Iterable[TrialResult], seconds: float = 0) -> None:
        """Append trials; once this returns, they are on the disk, all of them.

        Parameters
        ----------
        seconds : float
            How long the present run has taken until now.

        Raises
        ------
        CampaignError
            When a trial is there already, was run on another object file than this extension's other trials, or the
            file cannot be written.
        """
        results = list(results)
        with self._writing():
            for result in results:
                self._check_object(result)
                self._insert(row_of(result))
            self._connection.execute(
                "UPDATE run SET trials = trials + ?, seconds = ? WHERE id = ?",
                (len(results), seconds, self._run),
            )

    def _check_object(self, result: TrialResult) -> None:
        name, digest = result.spec.extension, result.object_sha256
        known = self._objects.setdefault(name, digest)
        if known != digest:
            raise CampaignError(
                f"trial {result.spec.seed}:{result.spec.number} of {name} was run on another object file "
                f"({digest[:12]}) than the trials in {self.path} ({known[:12]}): "
                "a worker has another compiler or version"
            )
        self._connection.execute("INSERT OR IGNORE INTO extension VALUES (?, ?)", (name, digest))

    def _insert(self, row: Row) -> None:
        faults = json.dumps([astuple(fault) for fault in row.faults])
        lists = (json.dumps(row.leaked, sort_keys=True), json.dumps(row.wrong), json.dumps(row.disk))
        plain = (row.extension, row.number, row.nooks, row.outcome.value, row.reason, row.activated)
        counts = (row.recoveries, row.recovery_cycles, row.cycles)
        try:
            self._connection.execute(
                "INSERT INTO trial VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*plain, *counts, faults, *lists),
            )
        except sqlite3.IntegrityError as error:
            side = "under Nooks" if row.nooks else "natively"
            raise CampaignError(
                f"trial {row.number} of {row.extension} {side} is in {self.path} already"
            ) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.Error as error:
            raise CampaignError(f"{self.path}: cannot be written: {error}") from error

    def done(self, extension: str) -> set[tuple[int, bool]]:
        """Return the trials that are in the file: number, and whether under Nooks."""
        found = self._connection.execute("SELECT number, nooks FROM trial WHERE extension = ?", (extension,))
        return {(number, bool(nooks)) for number, nooks in found}

    def outcomes(self, extension: str) -> Iterator[tuple[int, bool, Outcome]]:
        """Yield number, whether under Nooks, and outcome, by number."""
        found = self._connection.execute(
            "SELECT number, nooks, outcome FROM trial WHERE extension = ? ORDER BY number, nooks",
            (extension,),
        )
        for number, nooks, outcome in found:
            yield number, bool(nooks), Outcome(outcome)

    def outlines(self, extension: str, numbers: int) -> Iterator[Outline]:
        """Yield what a summary needs of the trials whose numbers are below ``numbers``, in their order."""
        found = self._connection.execute(
            "SELECT number, nooks, outcome, reason, activated, recoveries, recovery_cycles, "
            "leaked != '{}', wrong != '[]', disk FROM trial WHERE extension = ? AND number < ? ORDER BY number, nooks",
            (extension, numbers),
        )
        for number, nooks, outcome, reason, activated, recoveries, cycles, leaked, wrong, disk in found:
            yield Outline(
                number,
                bool(nooks),
                Outcome(outcome),
                reason,
                activated,
                recoveries,
                cycles,
                bool(leaked),
                bool(wrong),
                corrupt(json.loads(disk)),
            )

    def rows(self, extension: str, numbers: int | None = None) -> Iterator[Row]:
        """Yield an extension's trials by number, native before Nooks.

        Parameters
        ----------
        numbers : int, optional
            Only the trials whose numbers are below this.
        """
        found = self._connection.execute(
            "SELECT * FROM trial WHERE extension = ? AND number < ? ORDER BY number, nooks",
            (extension, (1 << 62) if numbers is None else numbers),
        )
        return map(_row, found)

    def row(self, extension: str, number: int, nooks: bool) -> Row | None:
        """Return one trial, or None when it is not there."""
        found = self._connection.execute(
            "SELECT * FROM trial WHERE extension = ? AND number = ? AND nooks = ?", (extension, number, nooks)
        ).fetchone()
        return None if found is None else _row(found)

    def pace(self) -> tuple[int, float]:
        """Return how many trials all runs did, native and Nooks each counted, and their seconds."""
        trials, seconds = self._connection.execute(
            "SELECT coalesce(sum(trials), 0), coalesce(sum(seconds), 0) FROM run"
        ).fetchone()
        return int(trials), float(seconds)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _row(found: tuple[Any, ...]) -> Row:
    extension, number, nooks, outcome, reason, *counts, faults, leaked, wrong, disk = found
    activated, recoveries, recovery_cycles, cycles = counts
    return Row(
        extension,
        number,
        bool(nooks),
        Outcome(outcome),
        reason,
        activated,
        recoveries,
        recovery_cycles,
        cycles,
        tuple(FaultRecord(*fault) for fault in json.loads(faults)),
        json.loads(leaked),
        tuple(json.loads(wrong)),
        tuple(json.loads(disk)),
    )


def open_store(path: Path, settings: Settings, objects: Mapping[str, str]) -> Store:
    """Open a campaign's results file, or make it when there is none.

    Parameters
    ----------
    objects : mapping
        Of each extension that is to be tried, the hash of its object file.

    Raises
    ------
    CampaignError
        When the file is another campaign's, another version's, no results file, damaged, in use, or cannot be made;
        it is left as it was.
    """
    if not path.exists():
        _make(path, settings)
    connection = _connect(path)
    try:
        _check_kind(path, connection)
        _check_settings(path, connection, settings)
        _check_objects(path, connection, objects)
        _check_pages(path, connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return Store(path, connection)
    except sqlite3.OperationalError as error:
        connection.close()
        if "locked" in str(error):
            raise CampaignError(f"{path} is in use by another campaign") from error
        raise CampaignError(f"{path} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise CampaignError(_damaged(path, str(error))) from error
    except BaseException:
        connection.close()
        raise


def _damaged(path: Path, why: str) -> str:
    return f"{path} is not a whole results file ({why}); name another file, or remove it"


def _connect(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None
        )
    except sqlite3.Error as error:
        raise CampaignError(f"{path} cannot be opened: {error}") from error
    return connection


def _make(path: Path, settings: Settings) -> None:
    """Make a whole file aside and move it to its place, so that there never is a half-made one."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise CampaignError(f"{path} cannot be made: {error.strerror}") from error
    aside = Path(name)
    try:
        connection = sqlite3.connect(aside, isolation_level=None)
        try:
            connection.executescript(
                f"PRAGMA synchronous = FULL; PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {SCHEMA}; BEGIN; {_TABLES} COMMIT;"
            )
            kept = {_VERSION: package_version()} | settings.described()
            connection.executemany(
                "INSERT INTO setting VALUES (?, ?)", [(key, json.dumps(value)) for key, value in kept.items()]
            )
        finally:
            connection.close()
        # As mkstemp makes it, only its owner could read it.
        aside.chmod(0o644)
        _place(aside, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise CampaignError(f"{path} cannot be made: {error.strerror}") from error
    except sqlite3.Error as error:
        raise CampaignError(f"{path} cannot be made: {error}") from error
    finally:
        aside.unlink(missing_ok=True)


def _place(aside: Path, path: Path) -> None:
    """Give a file its name; FileExistsError when somebody else was faster."""
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems, FAT for one, have no second names.
        aside.rename(path)


def _check_kind(path: Path, connection: sqlite3.Connection) -> None:
    if path.stat().st_size == 0:
        raise CampaignError(_damaged(path, "it is empty"))
    # Exclusive, and taken before anything is read: two campaigns in one file would do every trial twice.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise CampaignError(f"{path} is an SQLite file, but not of a campaign; name another file")
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema != SCHEMA:
        raise CampaignError(
            f"{path} has tables of version {schema}, and this Nooks Lab reads version {SCHEMA}; name another file"
        )
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")


def _check_settings(path: Path, connection: sqlite3.Connection, settings: Settings) -> None:
    kept = {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM setting")}
    version = kept.pop(_VERSION, None)
    if version != package_version():
        raise CampaignError(
            f"{path} was made by version {version} of Nooks Lab, and this is {package_version()}: "
            "their trials cannot be mixed; name another file"
        )
    asked = settings.described()
    differences = [
        f"its {name} is {_plain(kept.get(name))}, not {_plain(value)}"
        for name, value in asked.items()
        if kept.get(name) != value
    ]
    if differences:
        raise CampaignError(f"{path} holds another campaign: {', and '.join(differences)}; name another file")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value) or "empty"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _check_objects(path: Path, connection: sqlite3.Connection, objects: Mapping[str, str]) -> None:
    for name, digest in connection.execute("SELECT name, object_sha256 FROM extension"):
        if objects.get(name, digest) != digest:
            raise CampaignError(
                f"{path} holds trials of another {name}: its object file was {digest[:12]}, "
                f"and now is {objects[name][:12]}; name another file"
            )


def _check_pages(path: Path, connection: sqlite3.Connection) -> None:
    """Find torn or missing pages; a file that was cut off has a whole beginning."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise CampaignError(_damaged(path, str(verdict).splitlines()[-1]))
