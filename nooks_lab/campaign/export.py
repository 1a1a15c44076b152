"""A campaign's trials for other programs: CSV and Parquet, one row a trial, and the summary beside them as JSON."""

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nooks_lab.campaign.store import Row

_FAULT = pa.struct(
    [
        ("kind", pa.string()),
        ("offset", pa.int64()),
        ("address", pa.int64()),
        ("symbol", pa.string()),
        ("line", pa.string()),
        ("before", pa.string()),
        ("after", pa.string()),
        ("disassembly_before", pa.string()),
        ("disassembly_after", pa.string()),
        ("activated", pa.bool_()),
    ]
)

SCHEMA = pa.schema(
    [
        ("seed", pa.int64()),
        ("extension", pa.string()),
        ("number", pa.int64()),
        ("nooks", pa.bool_()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("activated", pa.int64()),
        ("recoveries", pa.int64()),
        ("recovery_cycles", pa.int64()),
        ("cycles", pa.int64()),
        ("faults", pa.list_(_FAULT)),
        ("leaked", pa.map_(pa.string(), pa.int64())),
        ("wrong", pa.list_(pa.string())),
        ("disk", pa.list_(pa.string())),
    ]
)
"""A Parquet file's columns; ``seed`` and ``number`` are what a replay needs."""

_NESTED = ("faults", "leaked", "wrong", "disk")
_GROUP = 10_000
"""Rows that are in memory at a time."""


def write_csv(rows: Iterable[Row], seed: int, path: Path) -> None:
    """Write a CSV file with a header; cells that hold several things hold them as JSON."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, SCHEMA.names)
        writer.writeheader()
        for row in rows:
            cells = _cells(row, seed)
            writer.writerow(cells | {name: json.dumps(cells[name]) for name in _NESTED})


def write_parquet(rows: Iterable[Row], seed: int, path: Path) -> None:
    """Write a Parquet file; faults, leaks and messages are nested columns."""
    left = iter(rows)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        while group := list(islice(left, _GROUP)):
            cells = [_cells(row, seed) for row in group]
            for row in cells:
                row["leaked"] = list(row["leaked"].items())
            writer.write_table(pa.Table.from_pylist(cells, SCHEMA))


def write_summary(data: dict[str, Any], table: Path) -> Path:
    """Write the summary beside a table of trials: ``NAME.summary.json`` for ``NAME.csv``; return where it is."""
    path = table.with_suffix(".summary.json")
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return path


def _cells(row: Row, seed: int) -> dict[str, Any]:
    cells = {field.name: getattr(row, field.name) for field in fields(row)}
    nested = {
        "faults": [asdict(fault) for fault in row.faults],
        "wrong": list(row.wrong),
        "disk": list(row.disk),
    }
    return {"seed": seed} | cells | nested | {"outcome": row.outcome.value}
