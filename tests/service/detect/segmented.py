"""Telemetry of a small model whose events say which region they come from."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np

from service.detect.reference import CompiledReference, compile_reference
from service.domain.policy import Policy, Segments
from service.frames import MISSING, Coded, Frame
from service.ports import Control, LogEntry
from tests.service.worker.world import (
    SCHEMA,
    SMALL_BUDGET,
    baseline_record,
    batch_entry,
    make_control,
    make_frame,
    make_version,
)

REGIONS = ("eu", "us", "jp", "br")
SEGMENTS = Segments(column="segment.region", values=("br", "eu", "jp", "us"))
POLICY = msgspec.structs.replace(SMALL_BUDGET, segments=SEGMENTS)


def regional(seed: int, rows: int, *, shift: float = 0.0, inside: str | None = None, extras: bool = True) -> Frame:
    """Return telemetry of four regions, a tenth of it of none; ``shift`` moves ages, ``inside`` one region only."""
    rng = np.random.default_rng([seed, 7])
    codes = rng.integers(0, len(REGIONS), rows).astype(np.int32)
    codes[rng.random(rows) < 0.1] = MISSING
    frame = make_frame(seed, rows, extras=extras)
    numeric = frame.numeric.copy()
    moved = codes == REGIONS.index(inside) if inside else np.ones(rows, np.bool_)
    numeric[0, moved] += 10.0 * shift
    return replace(frame, numeric=numeric, segments={"region": Coded(REGIONS, codes)})


@cache
def reference(rows: int = 6_000, segments: Segments | None = SEGMENTS) -> CompiledReference:
    return compile_reference(SCHEMA, regional(99, rows), segments)


def control_of(policy: Policy = POLICY, compiled: CompiledReference | None = None) -> Control:
    return make_control([make_version(1)], {1: [baseline_record(1, compiled or reference())]}, policy)


def stream(
    seconds: int, *, start: int = 0, rows: int = 80, shift: float = 0.0, inside: str | None = None
) -> list[LogEntry]:
    """One batch a second."""
    return [
        batch_entry(i + 1, i, 1, regional(i, rows, shift=shift, inside=inside)) for i in range(start, start + seconds)
    ]


def shifted(quiet: int, then: int, shift: float, inside: str) -> Sequence[LogEntry]:
    """Steady traffic, and then a shift in one region."""
    return [*stream(quiet), *stream(then, start=quiet, shift=shift, inside=inside)]
