"""A baseline that knows the hours: from the file that was put to the evidence of a tick and the words about it."""

import io
import math
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv

from detectors.baseline import Baseline
from service.api.compile import Upload, compile_upload
from service.api.explained import of_column
from service.console.promises import promise_of
from service.detect.baselines import describe
from service.detect.calibration import calibrate
from service.detect.reference import CompiledReference, compile_reference
from service.detect.watch import Watch
from service.domain.ids import Position, VersionId
from service.domain.policy import Policy, Tuning
from service.domain.records import Snapshot, Window
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.frames import Frame
from service.ingest.limits import Limits
from service.ports import Control, LogEntry
from service.settings import Settings
from tests.service.worker.world import KEY, SMALL_BUDGET, baseline_record, batch_entry, make_control, make_version

ARRIVAL_US = 1_795_428_000_000_000
"""When the worlds of these tests begin: at ten o'clock UTC."""
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
ROWS = 30 * 24 * 12
HALF_HOUR = 1_800.0
THRESHOLD = math.log(86_400)


def busy_frame(seed: int, at_us: np.ndarray) -> Frame:
    """Return telemetry whose number of items is high by day; age and income stay as they are."""
    rng = np.random.default_rng(seed)
    items = 3.0 * -np.cos(2 * np.pi * at_us / DAY_US) + rng.normal(size=len(at_us))
    numbers = {"age": rng.normal(40, 10, len(at_us)), "income": items}
    return Frame(
        rows=len(at_us),
        numeric_names=tuple(numbers),
        numeric=np.stack(list(numbers.values())).astype(np.float64),
        categorical_names=(),
        categorical=(),
        embeddings={},
        principals=None,
        event_ids=None,
        timestamps_us=at_us.astype(np.int64),
        segments={},
        attributions={},
        fingerprints=b"",
    )


SCHEMA = Schema(
    features=(Feature(name="age", kind=FeatureKind.NUMERIC), Feature(name="income", kind=FeatureKind.NUMERIC)),
    prediction=Prediction(kind=PredictionKind.NUMBER),
)


def reference_times() -> np.ndarray:
    return ARRIVAL_US - 31 * DAY_US + np.arange(ROWS) * (HOUR_US // 12)


@cache
def seasonal() -> CompiledReference:
    return compile_reference(SCHEMA, busy_frame(1, reference_times()))


def control() -> Control:
    version = replace(make_version(1), schema=SCHEMA)
    return make_control([version], {1: [baseline_record(1, seasonal())]})


def traffic(entries: int, *, late_us: int = 0) -> list[LogEntry]:
    """Return one batch every half an hour; ``late_us`` makes the day come so much later."""
    found = []
    for i in range(entries):
        at_us = np.full(20, ARRIVAL_US + round(i * HALF_HOUR * 1e6) - late_us)
        found.append(batch_entry(i + 1, i * HALF_HOUR, 1, busy_frame(100 + i, at_us)))
    return found


def unread(after: Position, *, max_entries: int, max_bytes: int) -> list[LogEntry]:
    """Only labels make a watch read the log."""
    raise AssertionError((after, max_entries, max_bytes))


def fold(entries: list[LogEntry], cuts: list[int]) -> tuple[Snapshot, list[float]]:
    """Fold entries, with a new process that goes on from the snapshot at each cut."""
    snapshots: dict[VersionId, Snapshot] = {}
    windows: dict[tuple[VersionId, str, int], Window] = {}
    evidence = []

    def read(version_id: VersionId, level: str, start_us: int) -> Window | None:
        return windows.get((version_id, level, start_us))

    for start, end in pairwise([0, *cuts, len(entries)]):
        watch = Watch(KEY, snapshots, read, read_log=unread)
        watch.heed(control())
        for entry in entries[start:end]:
            evidence += [e.evidence_log for e in watch.close_due(entry)]
            watch.take(entry, serving=True)
        watch.settle(entries[end - 1].position)
        snapshots |= {snapshot.version_id: snapshot for snapshot in watch.take_snapshots()}
        windows.update({(row.version_id, row.level, row.start_us): row for row in watch.take_rows()})
    return snapshots[VersionId(1)], evidence


def test_the_hour_at_which_a_tick_arrives_says_what_is_normal() -> None:
    baseline = Baseline.from_bytes(seasonal().artefact)
    assert "income" in {baseline.names[i] for i in baseline.seasonal}
    assert "age" not in {baseline.names[i] for i in baseline.seasonal}
    assert max(fold(traffic(96), [])[1]) < THRESHOLD
    assert max(fold(traffic(24, late_us=6 * HOUR_US), [])[1]) > THRESHOLD


def test_a_restart_at_any_entry_gives_the_same_bits() -> None:
    entries = traffic(30, late_us=HOUR_US)
    whole, evidence = fold(entries, [])
    assert fold(entries, [3, 11, 12, 29]) == (whole, evidence)


@pytest.mark.parametrize("timed", [True, False])
def test_the_timestamps_of_a_reference_file_give_the_hours(tmp_path: Path, timed: bool) -> None:
    frame = busy_frame(1, reference_times())
    order = np.random.default_rng(0).permutation(ROWS)
    columns = dict(zip(frame.numeric_names, frame.numeric[:, order], strict=True))
    table = pa.table(columns)
    if timed:
        table = table.append_column("timestamp", pa.array(reference_times()[order], pa.timestamp("us", tz="UTC")))
    body = io.BytesIO()
    arrow_csv.write_csv(table, body)
    path = tmp_path / "reference.csv"
    path.write_bytes(body.getvalue())
    found = compile_upload(
        Upload(
            path=str(path),
            content_type="text/csv",
            schema=SCHEMA,
            limits=Limits.from_settings(Settings()),
            pseudonym_key=KEY,
            tuning=Tuning(),
            budget_ticks=86_400.0,
        )
    )
    baseline = Baseline.from_bytes(found.artefact)
    assert ("income" in {baseline.names[i] for i in baseline.seasonal}) == timed
    assert found.calibration is not None
    said = {column.name: column.season for column in found.calibration.columns}
    assert said["age"] is None
    assert (said["income"] is not None) == timed


def test_api_and_console_say_which_hours_a_column_follows() -> None:
    found = calibrate(seasonal().artefact, Tuning(), SMALL_BUDGET.ticks_per_false_alarm)
    view = describe(seasonal().artefact)
    explained = {column.name: column for column in found.columns}
    income = next(column for column in view.columns if column.name == "income")
    told = of_column(income, explained["income"]).season
    assert told is not None
    assert told.startswith("follows the hour of the day (UTC)")
    promise = promise_of(found, Policy())
    assert promise is not None
    shown = {column.name: column.season for column in promise.columns}
    assert shown["income"] == f"F{told[1:]}."
    assert shown["age"] is None
