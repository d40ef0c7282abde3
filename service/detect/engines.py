"""Evidence engines, made once for each baseline and tuning in use."""

import logging
from dataclasses import dataclass

from detectors.baseline import Baseline
from detectors.columns import ColumnGroup
from detectors.evidence import EvidenceEngine
from service.detect.baselines import RefusedBaseline, load
from service.detect.plan import Era
from service.detect.tuning import fit
from service.domain.errors import Place
from service.domain.policy import Tuning
from service.domain.records import BaselineRecord
from service.ports import Control

_logger = logging.getLogger("lazaretto.detect")


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

    @classmethod
    def of(cls, baseline: Baseline, tuning: Tuning) -> "Engine":
        """Make the bets against a baseline."""
        fitted = fit(tuning, baseline)
        bets = EvidenceEngine(baseline, fitted.options)
        joint = frozenset(c.spec.name for c in baseline.columns if c.spec.group is ColumnGroup.MULTIVARIATE)
        joint |= {space.parts_name for space in baseline.tilted}
        return cls(baseline, bets, baseline.names, fitted.insufficient or bets.insufficient, fitted.notes, joint)

    @property
    def sufficient(self) -> bool:
        """Whether its evidence may accuse anyone."""
        return self.insufficient is None


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
            baseline = load(self._signing_key, record)
        except RefusedBaseline as refused:
            _logger.error("baseline refused", extra={"baseline_id": baseline_id, "reason": str(refused)})  # noqa: TRY400 - the message says it all
            return None
        return Engine.of(baseline, tuning)
