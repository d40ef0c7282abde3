"""Evidence engines, made once for each baseline and tuning in use."""

import logging
import math
from dataclasses import dataclass, replace

from detectors.baseline import Baseline
from detectors.columns import ColumnGroup
from detectors.evidence import EvidenceEngine
from detectors.performance import Sums
from service.detect.baselines import RefusedBaseline, load
from service.detect.plan import Era
from service.detect.references import References
from service.detect.request_measure import RequestMeasure
from service.detect.tuning import all_lacking, fit
from service.detect.yardsticks import Measure
from service.domain.errors import Place
from service.domain.policy import Segments, Tuning
from service.domain.records import BaselineRecord
from service.ports import Control

_logger = logging.getLogger("lazaretto.detect")
UNMEASURED = Place(
    "policy.adversarial.follow",
    "the baseline has nothing to measure principals with: put one with class probabilities under this policy",
)
UNREAD = Place(
    "policy.adversarial.requests",
    "the baseline has nothing to measure single requests with: put one with features or an embedding under this policy",
)
OUTDATED = Place(
    "policy.adversarial.requests.rules",
    "are not those that the baseline was put under: put it again, or the rules of then stay in force",
)


@dataclass(frozen=True, slots=True)
class Engine:
    """A baseline with the bets against it."""

    baseline: Baseline
    bets: EvidenceEngine
    names: tuple[str, ...]
    insufficient: str | None
    """What is missing for a promise, in a sentence; ``None`` when nothing is."""
    notes: tuple[Place, ...]
    """What the policy says without effect."""

    joint: frozenset[str]
    """The columns that are scores of spaces, and the parts of events that are added up."""
    column: str | None = None
    """That tells the segments apart."""
    segments: tuple["Segment", ...] = ()
    """In the order of their values."""
    measure: Measure | None = None
    """What single principals are measured with, where they are followed."""
    requests: RequestMeasure | None = None
    """What single requests are measured with, where they are looked at."""
    performance: Sums | None = None
    """What the answers of the reference were worth, where it had labels."""
    shares: bool = False
    """Whether class probabilities are shares of one, so that those which are not are invalid."""

    @classmethod
    def of_all(cls, references: References, tuning: Tuning) -> "Engine":
        """Make the bets against a baseline, and those against the baselines of segments."""
        whole, told = cls.of(references.whole, tuning), tuning.segments
        whole = replace(whole, performance=references.performance, shares=references.shares)
        if tuning.follow is not None:
            lacking = () if references.measure is not None else (UNMEASURED,)
            whole = replace(whole, measure=references.measure, notes=(*whole.notes, *lacking))
        if tuning.requests is not None:
            requests = references.requests
            notes = (UNREAD,) if requests is None else () if requests.rules == tuning.requests.rules else (OUTDATED,)
            whole = replace(whole, requests=requests, notes=(*whole.notes, *notes))
        if told is None:
            return whole
        segments = [_segment(told, value, references, tuning) for value in told.values]
        watched = [segment for segment in segments if segment.engine is not None]
        share = told.share / max(1, len(watched))
        unwatched = [_unwatched(segment) for segment in segments if segment.engine is None]
        return replace(
            whole,
            column=told.column,
            segments=tuple(s if s.engine is None else replace(s, log_share=math.log(share)) for s in segments),
            notes=(*whole.notes, *unwatched),
        )

    @classmethod
    def of(cls, baseline: Baseline, tuning: Tuning) -> "Engine":
        """Make the bets against the baseline of all events."""
        fitted = fit(tuning, baseline)
        bets = EvidenceEngine(baseline, fitted.options)
        joint = frozenset(c.spec.name for c in baseline.columns if c.spec.group is ColumnGroup.MULTIVARIATE)
        joint |= {space.parts_name for space in baseline.tilted}
        return cls(
            baseline, bets, baseline.names, all_lacking(fitted.insufficient, bets.insufficient), fitted.notes, joint
        )

    @property
    def sufficient(self) -> bool:
        """Whether its evidence may accuse anyone."""
        return self.insufficient is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of the traffic, and the bets against what is normal there."""

    value: str
    name: str
    """What people call it: ``region=eu``."""
    rows: int
    """Of the reference; 0 without one of its own."""
    engine: Engine | None
    """``None`` when it supports no promise: then it has no evidence, and leaves its share to the others."""
    insufficient: str | None
    log_share: float = -math.inf
    """Of the false-alarm budget."""


def _segment(told: Segments, value: str, references: References, tuning: Tuning) -> Segment:
    reference, name = references.of(told.column, value), told.name_of(value)
    if reference is None or reference.baseline is None:
        lacking = f"the baseline was put before the policy declared {name}: put it again"
        rows, sentence = (0, lacking) if reference is None else (reference.rows, reference.lacking)
        return Segment(value=value, name=name, rows=rows, engine=None, insufficient=sentence)
    engine = Engine.of(reference.baseline, tuning)
    watched = engine if engine.sufficient else None
    return Segment(value=value, name=name, rows=reference.rows, engine=watched, insufficient=engine.insufficient)


def _unwatched(segment: Segment) -> Place:
    reason = f"{segment.insufficient}; until then it is watched only with all other events"
    return Place(f"policy.segments.values.{segment.value[:100]}", reason)


class Engines:
    """Engines by baseline and tuning; those that no version uses any more are dropped."""

    def __init__(self, signing_key: bytes) -> None:
        self._signing_key = signing_key
        self._records: dict[str, BaselineRecord] = {}
        self._engines: dict[tuple[str, Tuning], Engine | None] = {}

    def heed(self, control: Control) -> None:
        """Learn which baselines there are, and forget engines whose baseline or tuning others have replaced."""
        self._records = {record.id: record for records in control.baselines.values() for record in records}
        newest = {records[-1].id for records in control.baselines.values() if records}
        tunings = {model.policy.tuning for model in control.models.values()}
        self._engines = {key: engine for key, engine in self._engines.items() if key[0] in newest and key[1] in tunings}

    def of(self, era: Era) -> Engine | None:
        """Return the engine of an era; ``None`` without a baseline, or with one that must not be trusted."""
        if era.baseline_id is None:
            return None
        key = era.baseline_id, era.tuning
        if key not in self._engines:
            self._engines[key] = self._make(*key)
        return self._engines[key]

    def _make(self, baseline_id: str, tuning: Tuning) -> Engine | None:
        record = self._records.get(baseline_id)
        if record is None:
            _logger.error("baseline is gone", extra={"baseline_id": baseline_id})
            return None
        try:
            references = load(self._signing_key, record)
        except RefusedBaseline as refused:
            _logger.error("baseline refused", extra={"baseline_id": baseline_id, "reason": str(refused)})  # noqa: TRY400 - the message says it all
            return None
        return Engine.of_all(references, tuning)
