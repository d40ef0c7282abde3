"""What effect sizes over rolling windows cost when a status or a history is asked for.

Run ``python -m bench.rolling_cost``: 20 numeric and 5 categorical columns and a prediction, 26 hours of events in a
SQLite store, an entry a minute. CPU times, median of 30.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from bench.labels_cost import no_log
from bench.segment_cost import SCHEMA, events
from service.api.history import points_of, span_of
from service.api.rolling import columns_over
from service.clock import SystemClock
from service.detect.baselines import describe
from service.detect.reference import compile_reference
from service.detect.watch import Watch
from service.detect.windows import ROLLING
from service.domain.ids import Actor, Micros, Position
from service.domain.records import BaselineRecord, Version
from service.frames import encode_frame
from service.ingest.deidentify import Deidentifier
from service.ingest.limits import Limits
from service.office import OfficeStages, put_baseline, register_model, register_version
from service.ports import EntryKind, LogEntry, Outcome
from service.settings import Settings
from service.store import Store, open_store

KEY, ACTOR = b"k" * 32, Actor("bench")
MINUTES, ROWS, REPEATS = 26 * 60, 200, 30
START_US = 1_795_428_000_000_000
MINUTE_US = 60_000_000


def median_ms(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    taken = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return float(np.median(taken)) * 1e3


def fill(store: Store) -> Version:
    """Let a worker fold 26 hours of events; return its version."""
    office = OfficeStages(
        control=store.control,
        clock=SystemClock(),
        head=lambda: Position(0),
        limits=Limits.from_settings(Settings()),
        deidentifier=Deidentifier(KEY),
        signing_key=KEY,
    )
    register_model(office, ACTOR, "m", "bench")
    version = register_version(office, ACTOR, "m", "1", SCHEMA)
    put_baseline(office, ACTOR, version, compile_reference(SCHEMA, events(0, 20_000, 1)))
    worker = store.worker("bench", 60.0, SystemClock())
    first = worker.position()
    control = worker.control()
    watch = Watch(KEY, {}, worker.windows, read_log=no_log)
    watch.heed(control)
    bodies = [encode_frame(events(i + 1, ROWS, 1)) for i in range(5)]
    for minute in range(MINUTES):
        entry = LogEntry(
            position=Position(minute + 1),
            arrival_us=Micros(START_US + minute * MINUTE_US),
            kind=EntryKind.BATCH,
            version_id=version.id,
            rows=ROWS,
            body=bodies[minute % len(bodies)],
        )
        watch.close_due(entry)
        watch.take(entry, serving=True)
    snapshots, rows = watch.take_snapshots(), watch.take_rows()
    outcome = Outcome(first=first, last=Position(MINUTES), revision=control.revision, snapshots=snapshots, windows=rows)
    worker.commit(outcome)
    return version


def over_status(store: Store, version: Version) -> None:
    """Print what a status costs by its window."""
    for name in ROLLING:
        taken = median_ms(lambda name=name: columns_over(store.read, version, name))  # type: ignore[misc]  # bound now
        print(f"status over {name}: {taken:.1f} ms", flush=True)


def over_history(store: Store, version: Version, record: BaselineRecord) -> None:
    """Print what a history of 120 points costs."""
    now, view = Micros(START_US + MINUTES * MINUTE_US), describe(record.artefact)
    for window, step in (("1h", "1h"), ("1h", "5m"), ("1d", "1h"), ("1d", "5m")):
        for column in (None, "n0"):

            def history(window: str = window, step: str = step, column: str | None = column) -> int:
                span = span_of(window, None, None, now, view.total, step)
                rows = store.read.windows(version.id, span.level, span.rows_from_us, span.last_us)
                return len(msgspec.json.encode(list(points_of(rows, span, record.id, view, column))))

            print(f"history {window} by {step} of {column or 'the model'}: {median_ms(history):.0f} ms", flush=True)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'state.db'}", timeout_seconds=10.0)
        try:
            filled = fill(store)
            version, record = store.read.version("m", "1"), store.read.baseline(filled.id)
            assert version is not None
            assert record is not None
            over_status(store, version)
            over_history(store, version, record)
        finally:
            store.close()


if __name__ == "__main__":
    main()
