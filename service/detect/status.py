"""What people see of the evidence: blamed columns, effect sizes over the rolling windows, and the status answer."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.baseline.bins import Column
from detectors.columns import ColumnGroup
from detectors.evidence import Blame, Evidence, EvidenceState
from service.detect.baselines import effect_rows, sized
from service.detect.engines import Engine
from service.detect.outcome_words import worse_words
from service.detect.windows import Windows
from service.domain.ids import Micros
from service.domain.records import ColumnFinding

STATUS_WINDOW = "1h"
"""The rolling window whose effect sizes are in the snapshot: those of the others are read off the store's rows when
somebody asks (``service/detect/rolling.py``)."""
LEARNED = "distribution"
"""The direction of the learned bet."""
MISSING = "missing"
VANISHED = "missing up, vanished"
"""What is said of a column that no event has any more."""
ODD_BINS = frozenset({"missing", "invalid", "unseen"})


def findings_of(
    engine: Engine,
    blames: Sequence[Blame],
    counts: NDArray[np.int64],
    tick_us: int,
    segment: str | None = None,
) -> tuple[ColumnFinding, ...]:
    """Return the blamed columns with their effects over ``counts``: the events since the change."""
    effects = dict(zip(engine.names, effect_rows(engine.baseline, counts), strict=True))
    return tuple(
        ColumnFinding(
            name=b.name,
            group=str(b.group),
            direction=_direction(engine, b, counts),
            evidence_log=float(b.log_evidence),
            since_us=Micros(b.since_tick * tick_us),
            effects=effects[b.name],
            segment=segment,
        )
        for b in blames
    )


def strongest_tick(engine: Engine, evidence: EvidenceState) -> int:
    """Return since when the strongest column has changed, if it has."""
    return engine.bets.blame(evidence, math.inf)[0].since_tick


def columns_status(engine: Engine, read: Evidence, windows: Windows, findings: Sequence[ColumnFinding]) -> bytes:
    """Return every column with its evidence and its effects over the last hour, as JSON."""
    blamed = {finding.name: finding for finding in findings if finding.segment is None}
    effects, limits = sized(engine.baseline, windows.merged(STATUS_WINDOW))
    rows: list[dict[str, object]] = []
    for j, column in enumerate(engine.baseline.columns):
        finding = blamed.get(column.spec.name)
        rows.append(
            {
                "name": column.spec.name,
                "kind": column.spec.kind.value,
                "group": column.spec.group.value,
                "log_evidence": finite(read.log_columns[j]),
                "since_us": None if finding is None else finding.since_us,
                "direction": None if finding is None else finding.direction,
                "effects": {STATUS_WINDOW: effects[j]},
                "intervals": {STATUS_WINDOW: limits[j]},
            }
        )
    return msgspec.json.encode(rows)


def finite(log: float) -> float | None:
    """Return an evidence as JSON can say it: before the first tick there is none."""
    return round(float(log), 6) if math.isfinite(log) else None


def _vanished(column: Column, seen: NDArray[np.int64]) -> bool:
    """Tell whether no event has the column any more, that some of the baseline had."""
    place = next((place for place, name in column.specials if name == MISSING), None)
    return place is not None and 0 < int(seen[place]) == int(seen.sum()) and column.counts[place] < column.counts.sum()


def _direction(engine: Engine, blame: Blame, counts: NDArray[np.int64]) -> str:
    """Return what a person reads of the change.

    The learned bet says only that the distribution changed. Where one of the bins for odd values explains most of it,
    that bin is named: it makes the difference between drift and a data bug.
    """
    j = engine.baseline.index[blame.name]
    column, seen = engine.baseline.columns[j], counts[engine.baseline.slices[j]]
    if _vanished(column, seen):
        return VANISHED
    if column.spec.group is ColumnGroup.PERFORMANCE:
        return worse_words(column, seen)
    if blame.direction != LEARNED:
        return blame.direction
    # Half an event more in every bin keeps the logarithm finite where the baseline or the window has none.
    expected = (column.counts + 0.5) / (column.counts + 0.5).sum()
    share = (seen + 0.5) / (seen + 0.5).sum()
    most = int(np.argmax(share * np.log(share / expected)))
    return next((f"{name} up" for place, name in column.specials if place == most and name in ODD_BINS), LEARNED)
