"""All versions at once: which ticks are due, and what a pass has to write."""

import math
from collections.abc import Mapping

from detectors.columns import ColumnGroup
from service.detect.alone import known
from service.detect.answers_before import LookBack
from service.detect.engines import Engines
from service.detect.fold import VersionFold
from service.detect.freeze import histograms_of
from service.detect.plan import Plan
from service.detect.recall import ReadEntries, recall
from service.detect.silence import ServingSince, Silences
from service.detect.transcripts import Looker
from service.detect.windows import ReadWindow
from service.detect.witness import Carrier, NotNow, Question, carrier_of, is_due
from service.domain.evaluation import Evaluation, Silence, UseFound
from service.domain.ids import Micros, Position, VersionId
from service.domain.incidents import FrozenHistogram
from service.domain.records import Snapshot, Version, Window
from service.ports import Control, EntryKind, LogEntry, LogReader


class Watch:
    """The folds of all versions, in the order of the log."""

    def __init__(
        self,
        signing_key: bytes,
        snapshots: Mapping[VersionId, Snapshot],
        read: ReadWindow,
        *,
        read_log: ReadEntries,
        read_at: Micros | None = None,
    ) -> None:
        """Begin after an entry that arrived at ``read_at``, where that is known."""
        self._engines = Engines(signing_key)
        self._snapshots = dict(snapshots)
        """Of versions that were not needed yet."""
        self._read, self._before = read, LookBack(read_log)
        self._folds: dict[VersionId, VersionFold] = {}
        self._plans: dict[VersionId, Plan] = {}
        self._touched: set[VersionId] = set()
        self._unsettled: set[VersionId] = set()
        """Versions whose plan changes at a position that is yet to come."""
        self._next_close_us: float = -math.inf
        """No tick ends before this; unknown at the start."""
        self._silences = Silences(read_at)
        self._last = Position(0)

    def heed(self, control: Control) -> None:
        """Take over what people decided."""
        self._engines.heed(control)
        self._silences.look_again()
        before, self._plans = self._plans, {}
        for version in control.versions.values():
            plan = Plan.of(version, control.models[version.model_id].policy, control.baselines.get(version.id, ()))
            if plan == before.get(version.id):
                self._plans[version.id] = before[version.id]
                continue
            self._plans[version.id] = plan
            self._unsettled.add(version.id)
            if version.id in self._folds:
                self._folds[version.id].forget_status()
                self._folds[version.id].outcomes.heed(plan.prediction, plan.answers)

    def close_due(self, entry: LogEntry) -> list[Evaluation]:
        """Close every tick that ended before ``entry`` arrived, in the order of their ends."""
        if entry.arrival_us < self._next_close_us:
            return []
        self._load_all()
        open_ticks = [(f.closes_us, f.version_id) for f in self._folds.values() if f.closes_us is not None]
        due = sorted((closes, version_id) for closes, version_id in open_ticks if closes <= entry.arrival_us)
        evaluations = [self._close(version_id, entry.position, entry.arrival_us) for _, version_id in due]
        self._next_close_us = min((closes for closes, _ in open_ticks if closes > entry.arrival_us), default=math.inf)
        return [evaluation for evaluation in evaluations if evaluation is not None]

    def silences(self, entry: LogEntry, serving_since: ServingSince) -> list[Silence]:
        """Return which versions have fallen silent by the time of an entry, and whether its own is silent no more."""
        off = self._silences.hear(entry)
        if off or self._silences.due(entry):
            self._load_all()
        if off:
            for version_id, fold in self._folds.items():
                if fold.last_arrival_us and version_id in self._plans:
                    fold.hear_from(entry)
                    self._touched.add(version_id)
        found = self._silences.find(entry, self._folds, self._plans, serving_since)
        self._touched.update(silence.version_id for silence in found)
        return found

    def take(self, entry: LogEntry, *, serving: bool) -> list[UseFound]:
        """Add one entry to its version, and return what it says of single principals."""
        if entry.kind is EntryKind.MARK or entry.version_id not in self._plans:
            return []
        fold = self._at(entry.version_id, entry.position)
        self._touched.add(entry.version_id)
        if entry.kind is EntryKind.LABELS:
            fold.take_labels(entry, self._before)
            self._note_close(fold)
            return fold.conduct.take_found()
        fold.take_batch(entry, serving=serving)
        fold.conduct.take(entry, self._plans[entry.version_id].vouched)
        self._note_close(fold)
        if fold.principals is None:
            return fold.conduct.take_found()
        return fold.principals.take_found() + [known(use, fold.principals.find) for use in fold.conduct.take_found()]

    def carrier(
        self, log: LogReader, evaluation: Evaluation, since_us: Micros, opened_us: Micros, *, news: bool
    ) -> Carrier | None:
        """Return the principal on which the evidence of a change rests, if it rests on one.

        Where the answer is ``news`` it is worked out in any case: nobody would hear of it later.

        Raises
        ------
        NotNow
            Between the ticks at which that is worked out.
        """
        fold = self._folds.get(evaluation.version_id)
        if fold is None or fold.era is None or fold.watched is None or not evaluation.findings:
            return None
        of_events = [finding for finding in evaluation.findings if finding.group != ColumnGroup.PERFORMANCE]
        if not of_events:
            return fold.outcomes.carrier()
        waited = (evaluation.at_us - opened_us) // fold.era.tick_us
        if not news and not is_due(fold.watched.read.ticks, waited):
            raise NotNow
        asked = Question(
            version_id=evaluation.version_id,
            since_us=since_us,
            before=evaluation.position,
            evidence_log=evaluation.evidence_log,
            threshold_log=evaluation.threshold_log,
            column=of_events[0].name,
        )
        return carrier_of(log, fold.era, fold.watched.engine, asked)

    def looker(self, version: Version) -> Looker:
        """Return what requests of a version are read with, as it is now."""
        fold = self._folds.get(version.id)
        watched, principals = (None, None) if fold is None else (fold.watched, fold.principals)
        engine = None if watched is None else watched.engine
        return Looker(version.schema, engine, 0 if principals is None else principals.tag)

    def histograms(self, evaluation: Evaluation) -> tuple[FrozenHistogram, ...]:
        """Return the histograms of the blamed columns, as the tick just closed has left them."""
        fold = self._folds.get(evaluation.version_id)
        return () if fold is None or fold.watched is None else histograms_of(fold.watched, evaluation.findings)

    def settle(self, last: Position) -> None:
        """Bring versions about which people decided to where the next entry after ``last`` would find them."""
        for version_id in sorted(self._unsettled):
            fold = self._at(version_id, Position(last + 1))
            if fold.watched is not None or fold.position:
                self._touched.add(version_id)
        self._unsettled = {v for v in self._unsettled if self._plans[v].settled_after > last}
        self._last = last
        self._before.forget()
        # What is known of principals must not stay behind the log while only others send.
        self._touched.update(
            version_id
            for version_id, fold in self._folds.items()
            if version_id in self._plans and fold.principals is not None and fold.principals.cadence.is_old(last)
        )

    def recall(self, read: ReadEntries, last: Position) -> None:
        """Let what is known of principals catch up with everything else that was folded, up to ``last``."""
        for version_id in [v for v, snapshot in self._snapshots.items() if snapshot.principals and v in self._plans]:
            self._load(version_id)
        recall({v: fold.principals for v, fold in self._folds.items() if fold.principals is not None}, read, last)

    def take_snapshots(self) -> list[Snapshot]:
        """Return the snapshots of the versions that were touched since the last call."""
        touched, self._touched = sorted(self._touched), set()
        return [self._folds[version_id].snapshot(self._plans[version_id], self._last) for version_id in touched]

    def take_rows(self) -> list[Window]:
        """Return the window rows that were touched since the last call."""
        return [row for version_id in sorted(self._folds) for row in self._folds[version_id].take_rows()]

    def _at(self, version_id: VersionId, position: Position) -> VersionFold:
        """Return a version's fold, in the era of the entry at ``position``."""
        fold = self._folds.get(version_id) or self._load(version_id)
        plan = self._plans[version_id]
        era = plan.era_at(position, fold.era)
        if era == fold.era:
            return fold
        fold.enter(era, self._engines.of(era), position)
        return fold

    def _close(self, version_id: VersionId, position: Position, at_us: Micros) -> Evaluation | None:
        if version_id not in self._plans:
            return None
        fold = self._at(version_id, position)
        self._touched.add(version_id)
        # A new era has moved the open tick into the windows already.
        if fold.closes_us is None:
            return None
        return fold.close_tick(self._plans[version_id], position, at_us)

    def _note_close(self, fold: VersionFold) -> None:
        """Remember when the open tick of a version ends, if it is the next one to end."""
        if fold.closes_us is not None:
            self._next_close_us = min(self._next_close_us, fold.closes_us)

    def _load_all(self) -> None:
        """Load what is still in snapshots: a tick may be open in any of them."""
        for version_id in list(self._snapshots):
            if version_id in self._plans:
                self._load(version_id)

    def _load(self, version_id: VersionId) -> VersionFold:
        snapshot = self._snapshots.pop(version_id, None)
        fold = VersionFold(version_id)
        fold.outcomes.heed(self._plans[version_id].prediction, self._plans[version_id].answers)
        if snapshot is not None:
            fold.restore(snapshot, self._engines, self._read)
        self._folds[version_id] = fold
        return fold
