"""Telemetry with event ids, and labels that come for it later."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from service.detect.reference import CompiledReference, compile_reference
from service.domain.ids import Micros, Position, VersionId
from service.domain.policy import Policy
from service.domain.schema import Prediction, PredictionKind, Schema
from service.frames import Coded, Frame, texts_of
from service.frames.labels import LabelRow, Scalar, encode_labels
from service.ports import Control, EntryKind, LogEntry
from tests.service.worker.world import SCHEMA, SMALL_BUDGET, baseline_record, make_control, make_frame, make_version

CLASSES = ("fraud", "ok")
BEGUN_US = 1_795_428_000_000_000
NUMBERS = Schema(features=SCHEMA.features, prediction=Prediction(kind=PredictionKind.NUMBER))


def named(frame: Frame, start: int = 0) -> Frame:
    """Give every event an id."""
    return replace(frame, event_ids=texts_of([f"event-{start + row}" for row in range(frame.rows)]))


def answers_of(frame: Frame) -> list[str]:
    coded = frame.categorical[frame.categorical_names.index("prediction")]
    return [coded.labels[code] for code in coded.codes.tolist()]


def truth_of(frame: Frame, wrong: float, seed: int) -> list[str]:
    """Return what turns out to be true: another class than the answer in a share ``wrong`` of the cases."""
    flips = np.random.default_rng(seed).random(frame.rows) < wrong
    other = dict(zip(CLASSES, CLASSES[::-1], strict=True))
    return [other[answer] if flip else answer for answer, flip in zip(answers_of(frame), flips.tolist(), strict=True)]


def numbered(frame: Frame, values: NDArray[np.float64]) -> Frame:
    """Return the frame of a version that answers with numbers."""
    place = frame.categorical_names.index("prediction")
    kept = [i for i in range(len(frame.categorical)) if i != place]
    return replace(
        frame,
        numeric_names=("age", "income", "prediction"),
        numeric=np.stack([frame.numeric[0], frame.numeric[1], values]),
        categorical_names=tuple(frame.categorical_names[i] for i in kept),
        categorical=tuple(frame.categorical[i] for i in kept),
    )


@cache
def labelled_reference(wrong: float = 0.05, rows: int = 4_000, labelled: float = 1.0) -> CompiledReference:
    """Return a baseline of undisturbed telemetry, whose answers are wrong as often."""
    frame = make_frame(99, rows)
    codes = np.array([CLASSES.index(each) for each in truth_of(frame, wrong, 7)], np.int32)
    codes[np.random.default_rng(8).random(rows) >= labelled] = -1
    return compile_reference(SCHEMA, frame, labels=Coded(CLASSES, codes))


def control_of(
    reference: CompiledReference | None = None, policy: Policy = SMALL_BUDGET, restart: int = 0, schema: Schema = SCHEMA
) -> Control:
    version = replace(make_version(1, restart=restart), schema=schema)
    return make_control([version], {} if reference is None else {1: [baseline_record(1, reference)]}, policy)


def labels_entry(position: int, seconds: float, rows: Sequence[tuple[str, Scalar]]) -> LogEntry:
    return LogEntry(
        position=Position(position),
        arrival_us=Micros(BEGUN_US + round(seconds * 1e6)),
        kind=EntryKind.LABELS,
        version_id=VersionId(1),
        rows=len(rows),
        body=encode_labels([LabelRow(event_id, label, -1) for event_id, label in rows]),
    )
