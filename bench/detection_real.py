"""Replays of real data sets whose changes are known, or that have none.

Run ``python -m bench.detection_real DIRECTORY``, where the directory holds the ``tabular`` data sets.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv, parquet

from service.replay.engine import ReplayOptions, replay_file

LOAN = (
    "car_value", "salary_range", "debt_to_income_ratio", "loan_length", "repaid_loan_on_prev_car",
    "size_of_downpayment", "driver_tenure",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A reference, what follows it, and the row of the known change."""

    name: str
    reference: Any
    rest: Any
    options: ReplayOptions
    change: int | None = None


def _shuffled(table: Any) -> Any:
    return table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))


def _without(table: Any, *names: str) -> Any:
    return table.drop_columns([name for name in names if name in table.column_names])


def replays(tabular: Path) -> Iterator[Replay]:
    """Yield the data sets, cut into reference and rest."""
    elec = _without(csv.read_csv(tabular / "elec2.csv.gz"), "class", "date")
    for rows in (16_128, 8_064):
        for tick in (48, 1):
            yield Replay(
                name=f"Elec2, ticks of {tick}, reference {rows}",
                reference=elec.slice(0, rows),
                rest=elec.slice(rows),
                options=ReplayOptions(tick_rows=tick, budget=1e4 * 48 / tick),
                change=17_424 - rows,
            )
    bike = _without(csv.read_csv(tabular / "bike_sharing_hour.csv.gz"), "dteday", "instant", "yr")
    for tick in (24, 1):
        yield Replay(
            name=f"bike sharing, second year, ticks of {tick}",
            reference=bike.slice(0, 8_645),
            rest=bike.slice(8_645),
            options=ReplayOptions(tick_rows=tick, budget=3650 * 24 / tick),
            change=0,
        )
    loan, later = (parquet.read_table(tabular / f"synthetic_car_loan_{n}.parquet") for n in ("reference", "analysis"))
    one = ReplayOptions(columns=LOAN)
    yield Replay(name="car loan", reference=loan, rest=later, options=one, change=25_000)
    yield Replay(name="car loan, 1,000 rows", reference=loan.slice(0, 1000), rest=loan.slice(1000), options=one)
    wine = csv.read_csv(tabular / "wine_quality.csv.gz")
    white, red = (wine.filter(pc.equal(wine["type"], kind)).drop_columns(["type"]) for kind in ("white", "red"))
    white = _shuffled(white)
    rest = pa.concat_tables([white.slice(3000), red])
    change = white.num_rows - 3000
    yield Replay(name="wine", reference=white.slice(0, 3000), rest=rest, options=ReplayOptions(), change=change)
    for name, rows in (("credit_default", 12_000), ("adult", 5_000)):
        whole = _shuffled(csv.read_csv(tabular / f"{name}.csv.gz"))
        yield Replay(
            name=f"{name}, shuffled", reference=whole.slice(0, rows), rest=whole.slice(rows), options=ReplayOptions()
        )


def main() -> None:
    """Print one line per data set and alarm."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    for replay in replays(given.directory / "tabular"):
        if given.only not in replay.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / "reference.parquet", Path(folder) / "rest.parquet"]
            for table, path in zip((replay.reference, replay.rest), paths, strict=True):
                parquet.write_table(table, path)
            found = replay_file(paths[1], paths[0], replay.options)
        print(f"{replay.name}: {len(found.alarms)} alarms in {found.rows} rows; change at {replay.change}", flush=True)
        for alarm in found.alarms[:3]:
            blames = ", ".join(f"{blame.name} {blame.direction}" for blame in alarm.blames)
            print(f"    row {alarm.row}, since {alarm.since_row}: {blames}")


if __name__ == "__main__":
    main()
