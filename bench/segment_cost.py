"""What segments cost: in a body, in a tick, in a snapshot, in a baseline, and when an engine is made.

Run ``python -m bench.segment_cost``: 20 numeric and 5 categorical columns, bodies of 1,000 events, with and without
segments. Times are the median over ticks, of one core.
"""

import argparse
import time

import msgspec
import numpy as np

from service.detect.engines import Engine
from service.detect.reference import compile_reference
from service.detect.references import from_bytes
from service.detect.watched import Watched
from service.detect.windows import Windows
from service.domain.ids import Micros, Position, VersionId
from service.domain.policy import Segments, Tuning
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.frames import Coded, Frame, encode_frame
from service.ports import EntryKind, LogEntry

NUMERIC, CATEGORICAL = 20, 5
LABELS = tuple("abcdefgh")
SCHEMA = Schema(
    features=(
        *(Feature(name=f"n{i}", kind=FeatureKind.NUMERIC) for i in range(NUMERIC)),
        *(Feature(name=f"c{i}", kind=FeatureKind.CATEGORICAL) for i in range(CATEGORICAL)),
    ),
    prediction=Prediction(kind=PredictionKind.NUMBER),
)
BODIES, TICKS, ROWS = 5, 40, 1_000


def events(seed: int, rows: int, segments: int) -> Frame:
    """Return independent events, each of one of so many segments."""
    rng = np.random.default_rng(seed)
    regions = tuple(f"r{i}" for i in range(segments))
    return Frame(
        rows=rows,
        numeric_names=tuple(f"n{i}" for i in range(NUMERIC)),
        numeric=rng.normal(size=(NUMERIC, rows)).astype(np.float32),
        categorical_names=tuple(f"c{i}" for i in range(CATEGORICAL)),
        categorical=tuple(Coded(LABELS, rng.integers(0, 8, rows).astype(np.int32)) for _ in range(CATEGORICAL)),
        embeddings={},
        principals=None,
        event_ids=None,
        timestamps_us=None,
        segments={"region": Coded(regions, rng.integers(0, segments, rows).astype(np.int32))},
        attributions={},
        fingerprints=b"",
    )


def measure(number: int, declared: bool) -> str:  # noqa: FBT001 - with or without
    """Return a line of the table."""
    values = tuple(f"r{i}" for i in range(number))
    segments = Segments(column="segment.region", values=values) if declared else None
    artefact = compile_reference(SCHEMA, events(0, 1_000 * number, number), segments).artefact
    references = from_bytes(artefact)
    started = time.perf_counter()
    engine = Engine.of_all(references, Tuning(segments=segments))
    made = time.perf_counter() - started
    windows = Windows(VersionId(1), "b", engine.baseline.total, len(engine.names))
    watched = Watched(engine, windows, 1_000_000)
    entries = [encode_frame(events(i + 1, ROWS, number)) for i in range(BODIES)]
    bodies, ticks = [], []
    for tick in range(TICKS):
        for body in entries:
            entry = LogEntry(
                position=Position(1),
                arrival_us=Micros(tick * 1_000_000),
                kind=EntryKind.BATCH,
                version_id=VersionId(1),
                rows=ROWS,
                body=body,
            )
            started = time.perf_counter()
            watched.take(entry)
            bodies.append(time.perf_counter() - started)
        started = time.perf_counter()
        watched.step()
        ticks.append(time.perf_counter() - started)
    kept = len(watched.evidence_bytes()) + len(watched.changes.to_bytes())
    kept += len(msgspec.msgpack.encode(watched.parts.stored()))
    return (
        f"| {number if declared else 'no'} segments | {np.median(bodies) * 1e6 / ROWS:.2f} us an event"
        f" | {np.median(ticks) * 1e3:.2f} ms a tick | {kept / 1e3:.0f} kB kept | baseline {len(artefact) / 1e3:.0f} kB"
        f" | engine {made:.2f} s |"
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--segments", type=int, default=8)
    given = parser.parse_args()
    for declared in (False, True):
        print(measure(given.segments, declared), flush=True)


if __name__ == "__main__":
    main()
