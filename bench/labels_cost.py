"""What labels cost the worker: remembering answers by event id, joining labels, and what a snapshot grows by.

``python -m bench.labels_cost``: microseconds per event and per label, processor time, the best of several rounds.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from service.detect.answers_before import LookBack
from service.detect.outcomes import Outcomes
from service.domain.ids import Micros, Position, VersionId
from service.domain.schema import Prediction, PredictionKind
from service.frames import Coded, Frame, encode_frame, texts_of
from service.frames.labels import LabelRow, encode_labels
from service.ports import EntryKind, LogEntry

CLASSES = ("fraud", "ok")
COLUMNS, ROUNDS = 20, 9


def frame_of(rows: int, seed: int) -> Frame:
    """Return events with twenty numbers, a class and its probabilities."""
    rng = np.random.default_rng(seed)
    fraud = rng.random(rows)
    return Frame(
        rows=rows,
        numeric_names=(*(f"x{i}" for i in range(COLUMNS)), "probabilities.fraud", "probabilities.ok"),
        numeric=np.concatenate([rng.normal(size=(COLUMNS, rows)), [fraud, 1.0 - fraud]]),
        categorical_names=("prediction",),
        categorical=(Coded(CLASSES, (fraud < 0.5).astype(np.int32)),),
        embeddings={},
        principals=None,
        event_ids=None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )


def entries_of(number: int, rows: int, *, named: bool) -> list[LogEntry]:
    """Return batches; with ids of 36 characters where they are named."""
    found = []
    for i in range(number):
        frame = frame_of(rows, i)
        if named:
            frame = replace(frame, event_ids=texts_of([f"{i:018d}{row:018d}" for row in range(rows)]))
        found.append(entry_of(i + 1, EntryKind.BATCH, rows, encode_frame(frame)))
    return found


def entry_of(position: int, kind: EntryKind, rows: int, body: bytes) -> LogEntry:
    """Return an entry, a second after the one before."""
    arrival = Micros(1_795_428_000_000_000 + position * 1_000_000)
    return LogEntry(
        position=Position(position), arrival_us=arrival, kind=kind, version_id=VersionId(1), rows=rows, body=body
    )


def best(work: Callable[[], object], units: int) -> float:
    """Return the microseconds of processor time of one unit of the best round."""
    took = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        took.append((time.process_time() - begun) / units * 1e6)
    return min(took)


def no_log(after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:
    """Return nothing: there is nothing before the first label."""
    del after, max_entries, max_bytes
    return ()


def remembered(entries: Sequence[LogEntry], *, labelled: bool = True) -> Outcomes:
    """Return what is known after some batches, of a version that has had a label or not."""
    outcomes = Outcomes(VersionId(1))
    outcomes.heed(Prediction(kind=PredictionKind.CLASS, classes=CLASSES), 50_000)
    if labelled:
        first = entry_of(0, EntryKind.LABELS, 1, encode_labels([LabelRow("of no event", "ok", -1)]))
        outcomes.take_labels(first, None, LookBack(no_log))
    for entry in entries:
        outcomes.take(entry, None)
    return outcomes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=60)
    chosen = parser.parse_args()
    print("| what | us |\n|---|---|")
    for rows in (1, 20, 1_000):
        number = chosen.batches if rows > 1 else 10 * chosen.batches
        for labelled, named in ((False, True), (True, False), (True, True)):
            entries = entries_of(number, rows, named=named)
            took = best(lambda: remembered(entries, labelled=labelled), number * rows)  # noqa: B023 - called at once
            which = f"{'with' if named else 'without'} ids{'' if labelled else ', no label ever'}"
            print(f"| an event, batches of {rows}, {which} | {took:.3f} |")
    entries = entries_of(chosen.batches, 1_000, named=True)
    for size in (1, 1_000):
        labels = [
            entry_of(
                1_000 + i,
                EntryKind.LABELS,
                size,
                encode_labels([LabelRow(f"{59 - i % 40:018d}{row + i // 40:018d}", "ok", -1) for row in range(size)]),
            )
            for i in range(40)
        ]
        rounds = []
        for _ in range(3):
            outcomes = remembered(entries)
            begun = time.process_time()
            for entry in labels:
                outcomes.take_labels(entry, None, LookBack(no_log))
            rounds.append((time.process_time() - begun) / (len(labels) * size) * 1e6)
        print(f"| a label, bodies of {size:,} among 50,000 answers | {min(rounds):.2f} |")


if __name__ == "__main__":
    main()
