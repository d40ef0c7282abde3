"""Evidence engines, made once for each baseline and tolerance in use."""

import logging
from dataclasses import dataclass

from detectors.baseline import Baseline
from detectors.columns import ColumnGroup
from detectors.evidence import EvidenceEngine, EvidenceOptions
from service.detect.baselines import RefusedBaseline, load, supports_promise
from service.detect.plan import Era
from service.domain.records import BaselineRecord
from service.ports import Control

_logger = logging.getLogger("lazaretto.detect")


@dataclass(frozen=True, slots=True)
class Engine:
    """A baseline with the bets against it."""

    baseline: Baseline
    bets: EvidenceEngine
    sufficient: bool
    names: tuple[str, ...]
    joint: frozenset[str]
    """The columns that are scores of spaces."""


class Engines:
    """Engines by baseline and minimum effect; those that no version uses any more are dropped."""

    def __init__(self, signing_key: bytes) -> None:
        self._signing_key = signing_key
        self._records: dict[str, BaselineRecord] = {}
        self._engines: dict[tuple[str, float], Engine | None] = {}

    def heed(self, control: Control) -> None:
        """Learn which baselines there are, and forget the engines of those that others have replaced."""
        self._records = {record.id: record for records in control.baselines.values() for record in records}
        newest = {records[-1].id for records in control.baselines.values() if records}
        self._engines = {key: engine for key, engine in self._engines.items() if key[0] in newest}

    def of(self, era: Era) -> Engine | None:
        """Return the engine of an era; ``None`` without a baseline, or with one that must not be trusted."""
        if era.baseline_id is None:
            return None
        key = era.baseline_id, era.minimum_effect
        if key not in self._engines:
            self._engines[key] = self._make(era.baseline_id, era.minimum_effect)
        return self._engines[key]

    def _make(self, baseline_id: str, minimum_effect: float) -> Engine | None:
        record = self._records.get(baseline_id)
        if record is None:
            _logger.error("baseline is gone", extra={"baseline_id": baseline_id})
            return None
        try:
            baseline = load(self._signing_key, record)
        except RefusedBaseline as refused:
            _logger.error("baseline refused", extra={"baseline_id": baseline_id, "reason": str(refused)})  # noqa: TRY400 - the message says it all
            return None
        options = EvidenceOptions(minimum_effect=minimum_effect)
        joint = frozenset(c.spec.name for c in baseline.columns if c.spec.group is ColumnGroup.MULTIVARIATE)
        return Engine(baseline, EvidenceEngine(baseline, options), supports_promise(baseline), baseline.names, joint)
