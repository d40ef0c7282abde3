"""An artefact and a policy's words to what a person reads of them. Takes seconds: runs in the compiling process."""

import heapq
import math
from collections.abc import Sequence

from detectors.errors import BaselineError
from detectors.evidence import Explanation, SelfTest, Tolerated
from service.detect.baselines import RefusedBaseline
from service.detect.engines import Engine, Segment
from service.detect.references import from_bytes
from service.domain import calibration as c
from service.domain.policy import Tuning

TOLERANCES_MAX = 20_000
"""Of all columns together: a few megabytes."""
TOLERANCES_MIN = 4
"""Of each column, however many there are."""
BUDGET_MIN = 1.001
"""A budget of an alarm at every tick promises nothing, and cannot be tested."""
FEW = 0.01


def calibrate(artefact: bytes, tuning: Tuning, budget_ticks: float) -> c.Calibration:
    """Explain every tolerance and exponent, and replay the reference against itself.

    Raises
    ------
    RefusedBaseline
        When the bytes are no baseline.
    """
    try:
        references = from_bytes(artefact)
    except BaselineError as error:
        raise RefusedBaseline(f"the baseline cannot be read: {error}") from error
    engine = Engine.of_all(references, tuning)
    most = max(TOLERANCES_MIN, TOLERANCES_MAX // len(references.whole.columns))
    left = 1.0 - sum(math.exp(segment.log_share) for segment in engine.segments)
    return c.Calibration(
        tuning=tuning,
        budget_ticks=budget_ticks,
        insufficient=engine.insufficient,
        self_test=_self_test(engine.bets.self_test(max(budget_ticks, BUDGET_MIN))),
        columns=tuple(
            _column(explained, float(share) * left, most)
            for explained, share in zip(engine.bets.explain(), engine.bets.shares, strict=True)
        ),
        notes=engine.notes,
        segments=tuple(map(_segment, engine.segments)),
    )


def _segment(segment: Segment) -> c.SegmentCalibration:
    explained = () if segment.engine is None else segment.engine.bets.explain()
    return c.SegmentCalibration(
        segment=segment.name,
        rows=segment.rows,
        share=math.exp(segment.log_share),
        exponent=min((column.eta for column in explained), default=None),
        insufficient=segment.insufficient,
    )


def _column(explained: Explanation, share: float, most: int) -> c.ColumnCalibration:
    kept = _widest(explained.directions, most)
    return c.ColumnCalibration(
        name=explained.name,
        share=share,
        exponent=explained.eta,
        why=explained.text if share else "ignored by the policy: it raises no evidence",
        independent_rows=explained.independent_rows,
        insufficient=explained.insufficient,
        tolerances=tuple(
            c.Tolerance(direction=t.direction, by=t.by, cause=t.cause, exponent=t.eta, text=t.text) for t in kept
        ),
        left_out=len(explained.directions) - len(kept),
        season=explained.season,
    )


def _widest(directions: Sequence[Tolerated], most: int) -> list[Tolerated]:
    """Return the directions that tolerate the most, in their order."""
    places = heapq.nlargest(most, range(len(directions)), key=lambda place: directions[place].by)
    return [directions[place] for place in sorted(places)]


def _self_test(found: SelfTest) -> c.SelfTest:
    raised = len(found.alarms)
    text = "the reference is too short to be replayed against itself"
    if found.ticks:
        text = (
            f"replaying the reference against itself would have raised {raised} false "
            f"{'alarm' if raised == 1 else 'alarms'} where {_few(found.allowed)} were allowed "
            f"({found.ticks} ticks of about {found.tick_rows:.0f} rows, each fifth against the others)"
        )
    return c.SelfTest(
        ticks=found.ticks,
        tick_rows=found.tick_rows,
        allowed=found.allowed,
        alarms=tuple(
            c.SelfTestAlarm(first_row=alarm.first_row, last_row=alarm.last_row, columns=alarm.columns)
            for alarm in found.alarms
        ),
        text=text,
    )


def _few(allowed: float) -> str:
    return f"{allowed:.2g}" if allowed >= FEW else f"fewer than {FEW:g}"
