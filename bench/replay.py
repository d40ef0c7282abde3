"""How long ``lazaretto replay`` takes, as a person runs it: start, reading, baseline and all.

Run ``python -m bench.replay``, about two minutes: medians of five runs, the ways in turns. Files hold normal numbers
in which nothing changes, and lie in a folder that is deleted afterwards.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

COLUMNS = 20
REFERENCE = 100_000


@dataclass(frozen=True, kw_only=True)
class Way:
    """One command line."""

    name: str
    file: str
    reference: str
    options: tuple[str, ...]
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)


def ways(rows: int) -> list[Way]:
    """Return what is measured."""
    names = ",".join(f"x{j}" for j in range(COLUMNS))
    typed, text = ("rows.parquet", "reference.parquet"), ("rows.csv", "reference.csv")
    few = rows // 10
    return [
        Way(name=f"{rows:,} rows, Parquet", file=typed[0], reference=typed[1], options=("--tick-rows", "100")),
        Way(name=f"{rows:,} rows, CSV", file=text[0], reference=text[1], options=("--tick-rows", "100")),
        Way(
            name=f"{rows:,} rows, Parquet, each column by itself",
            file=typed[0],
            reference=typed[1],
            options=("--tick-rows", "100", "--columns", names),
        ),
        Way(name=f"{few:,} rows, Parquet, ticks of one row", file="few.parquet", reference=typed[1], options=()),
    ]


def write(folder: Path, rows: int) -> None:
    """Write reference data and what is replayed against it."""
    rng = np.random.default_rng(0)
    tables = {
        name: pa.table({f"x{j}": rng.normal(size=length) for j in range(COLUMNS)})
        for name, length in (("reference", REFERENCE), ("rows", rows))
    }
    for name, table in tables.items():
        parquet.write_table(table, folder / f"{name}.parquet")
        csv.write_csv(table, str(folder / f"{name}.csv"))
    parquet.write_table(tables["rows"].slice(0, rows // 10), folder / "few.parquet")


def run(way: Way, folder: Path) -> None:
    """Run the command once."""
    command = [sys.executable, "-m", "service", "replay", way.file, "--baseline", way.reference, *way.options, "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    way.seconds.append(time.perf_counter() - start)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    way.processor_seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    measured = ways(given.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, given.rows)
        for _ in range(given.repeats):
            for way in measured:
                run(way, folder)
    print(f"{COLUMNS} columns, {REFERENCE:,} reference rows; medians of {given.repeats}")
    print("| what | seconds | of processors |")
    print("|---|---|---|")
    for way in measured:
        print(f"| {way.name} | {statistics.median(way.seconds):.1f} | {statistics.median(way.processor_seconds):.1f} |")


if __name__ == "__main__":
    main()
