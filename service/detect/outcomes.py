"""Labels and the answers that they are about: joined, added up, and counted as columns of the open tick.

Answers are remembered from a version's first label on, and as far back from there as the log is looked through. A
label meets the latest answer of its event, among those that are remembered; the first label of an answer counts. One
that comes before its event waits a while. What an answer from before the baseline, or from before the last release,
turns out to be is shown, and is no evidence: that begins anew there.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.binning import count
from detectors.errors import StateError
from detectors.performance import NumberSums, Sums, class_outcomes, class_sums, number_outcomes, number_sums
from service.detect.answered import Answered, Answering, Vocabulary, class_key
from service.detect.answers_before import LookBack
from service.detect.answers_kept import LATE, REPEATED, UNKNOWN, AnswersKept
from service.detect.engines import Engine
from service.detect.event_keys import NO_KEY, keys_of, weights_of
from service.detect.outcome_bytes import seen_of
from service.detect.outcome_windows import OutcomeWindows, StoredWindows
from service.detect.plan import Era
from service.detect.reporters import Reporters
from service.detect.watched import Watched
from service.detect.witness import Carrier
from service.domain.ids import Micros, Position, VersionId
from service.domain.performance import PerformanceSeen
from service.domain.records import AnswerBlock, Snapshot
from service.domain.schema import PREDICTION, Prediction
from service.frames import Coded, FrameError, decode_named, texts_of
from service.frames.labels import LabelRow, LabelsError, Scalar, read_labels, text_of
from service.ports import LogEntry

WAITING_MAX = 1_000
"""Labels whose event has not come."""
LABEL_CHARACTERS_MAX = 256
"""Of a label that waits, or has a place of its own."""
UNLABELLED = (
    "the reference has no labels: put it again with `label` naming its column of true labels; until then, what labels "
    "tell is shown and raises nothing"
)
NO_BASELINE = "there is no baseline: what labels tell is shown and raises nothing"
_logger = logging.getLogger("lazaretto.detect")


Told = tuple[Scalar, str]
"""A label, and who reports it."""


class StoredOutcomes(msgspec.Struct, array_like=True):
    """How a snapshot keeps it; the answers themselves are beside it."""

    awake: bool
    bet_after: int
    taken: int
    oldest: int
    first: int
    bet_from: int
    counts: list[int]
    names: list[str]
    marks: list[tuple[int, bytes]]
    waiting: list[tuple[int, Told]]
    reported: tuple[int, dict[str, int]]
    windows: StoredWindows


class Counts(msgspec.Struct):
    """What became of labels."""

    joined: int = 0
    bet: int = 0
    repeated: int = 0
    late: int = 0
    unknown: int = 0
    unfit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joined:
    """Answers that have met their labels."""

    answers: NDArray[np.uint32] | NDArray[np.float64]
    told: NDArray[np.float32]
    labels: Sequence[Scalar]
    reporters: Sequence[str]
    delays_us: NDArray[np.int64]
    numbers: NDArray[np.int64]
    """Of the answers, in the order of the log."""


class _Known:
    """What is remembered of a version whose answers are known by their events' ids."""

    def __init__(self, prediction: Prediction, capacity: int) -> None:
        self.prediction = prediction
        self.answering = Answering(prediction)
        self.vocabulary = Vocabulary(self.answering.named, grows=not self.answering.named)
        self.kept = AnswersKept(capacity, self.answering.width, numbers=self.answering.numbers)


class Outcomes:
    """Labels and answers of one version; while people want no answers remembered, labels change nothing."""

    def __init__(self, version_id: VersionId) -> None:
        self._weights = weights_of(version_id)
        self._version_id = version_id
        self._known: _Known | None = None
        self._counts = Counts()
        self._waiting: dict[int, Told] = {}
        self._reporters = Reporters()
        """Of the labels that were evidence in this era."""
        self._windows = OutcomeWindows()
        self._awake = False
        """Whether a label has come: before, nothing is remembered."""
        self._bet_after = Position(0)
        """Of the answers up to this entry, outcomes are no evidence."""
        self._bet_from = 0
        """The first answer after it, by its number."""
        self._seen: PerformanceSeen | None = None
        """Of the status, as far as only labels change it."""

    def heed(self, prediction: Prediction, capacity: int) -> None:
        """Remember as many answers as people decided."""
        if self._known is None:
            self._forget(prediction, capacity)
        else:
            self._known.kept.forget(capacity)

    def begin(self, before: Era | None, era: Era, position: Position) -> None:
        """Begin an era: under another baseline, or after a release, only answers after an entry are evidence."""
        same = before is not None and (before.baseline_id, before.restart_position) == (
            era.baseline_id,
            era.restart_position,
        )
        self._seen = None
        if not same:
            self._bet_after, self._bet_from = position, 0 if self._known is None else self._known.kept.taken
        self._reporters = Reporters()

    def carrier(self) -> Carrier | None:
        """Return who reports most of what is evidence, if that is one principal."""
        found = self._reporters.majority()
        return None if found is None else Carrier(principal=found[0], share=found[1], without_log=-math.inf)

    def take(self, entry: LogEntry, watched: Watched | None) -> None:
        """Remember the answers of an entry, and join the labels that wait for them."""
        known = self._known
        if known is None or not known.kept.capacity or not self._awake:
            return
        try:
            frame = decode_named(entry.body)
        except FrameError:
            # Who counts it says so.
            return
        answered = None if frame is None else known.answering.read(frame)
        if frame is None or answered is None or frame.event_ids is None or isinstance(frame.event_ids, tuple):
            return
        keys = keys_of(frame.event_ids, self._weights)[answered.rows]
        if known.vocabulary.grows and PREDICTION in frame.categorical_names:
            known.vocabulary.meet(frame.categorical[frame.categorical_names.index(PREDICTION)])
        self._note(known, keys, answered, entry.arrival_us)
        if self._waiting:
            self._join_waiting(known, keys, entry.arrival_us, watched)

    def take_labels(self, entry: LogEntry, watched: Watched | None, before: LookBack) -> None:
        """Join the labels of an entry with the answers that they are about; before the first ones, read what was."""
        known = self._known
        if known is None or not known.kept.capacity:
            return
        if not self._awake:
            self._wake(known, before.batches(entry, known.kept.capacity))
        try:
            labels = read_labels(entry.body)
        except LabelsError:
            return
        self._seen = None
        fit = [row for row in labels if _fits(row.label, numbers=known.answering.numbers)]
        self._counts.unfit += len(labels) - len(fit)
        if fit:
            self._join(known, fit, entry.arrival_us, watched)

    def _wake(self, known: _Known, before: Sequence[LogEntry]) -> None:
        self._awake = True
        for entry in before:
            self.take(entry, None)
            if entry.position <= self._bet_after:
                self._bet_from = known.kept.taken

    # -- joining --------------------------------------------------------------------------------------------------

    def _note(self, known: _Known, keys: NDArray[np.uint64], answered: Answered, at_us: Micros) -> None:
        named = keys != NO_KEY
        if named.all():
            known.kept.note(keys, at_us, answered.answers, answered.told)
        else:
            known.kept.note(keys[named], at_us, answered.answers[named], answered.told[named])

    def _join(self, known: _Known, labels: list[LabelRow], at_us: Micros, watched: Watched | None) -> None:
        keys = keys_of(texts_of([row.event_id for row in labels]), self._weights)
        found = known.kept.find(keys)
        self._counts.repeated += int((found == REPEATED).sum())
        self._counts.late += int((found == LATE).sum())
        for place in np.flatnonzero(found == UNKNOWN).tolist():
            self._wait(int(keys[place]), (labels[place].label, labels[place].principal))
        places = np.flatnonzero(found >= 0)
        told = [(labels[place].label, labels[place].principal) for place in places.tolist()]
        self._take_joined(known, found[places], told, at_us, watched)

    def _wait(self, key: int, told: Told) -> None:
        if key == NO_KEY or (isinstance(told[0], str) and len(told[0]) > LABEL_CHARACTERS_MAX):
            self._counts.unknown += 1
        elif key in self._waiting:
            self._counts.repeated += 1
        else:
            self._waiting[key] = told
            if len(self._waiting) > WAITING_MAX:
                del self._waiting[next(iter(self._waiting))]
                self._counts.unknown += 1

    def _join_waiting(self, known: _Known, keys: NDArray[np.uint64], at_us: Micros, watched: Watched | None) -> None:
        waiting = np.fromiter(self._waiting, np.uint64, len(self._waiting))
        here = np.unique(keys[np.isin(keys, waiting)])
        if not len(here):
            return
        self._seen = None
        told = [self._waiting.pop(key) for key in here.tolist()]
        found = known.kept.find(here)
        kept = np.flatnonzero(found >= 0)
        self._take_joined(known, found[kept], [told[place] for place in kept.tolist()], at_us, watched)

    def _take_joined(
        self, known: _Known, numbers: NDArray[np.int64], told: list[Told], at_us: Micros, watched: Watched | None
    ) -> None:
        if not len(numbers):
            return
        rows = known.kept.rows(numbers)
        joined = Joined(
            answers=rows["answer"],
            told=rows["told"],
            labels=[label for label, _ in told],
            reporters=[name for _, name in told],
            delays_us=at_us - rows["at"],
            numbers=numbers,
        )
        self._counts.joined += len(numbers)
        self._windows.take(_sums(known, joined), joined.delays_us, at_us)
        bettable = numbers >= self._bet_from
        if watched is None or watched.engine.performance is None or not bettable.any():
            return
        self._counts.bet += int(bettable.sum())
        self._reporters.note(name for name, kept in zip(joined.reporters, bettable.tolist(), strict=True) if kept)
        watched.take_outcomes(at_us, outcome_counts(watched.engine, watched.engine.performance, joined, bettable))

    # -- kept and shown -------------------------------------------------------------------------------------------

    @property
    def first_block(self) -> int:
        """The oldest block of answers that is needed."""
        return 0 if self._known is None else self._known.kept.first

    def take_blocks(self) -> tuple[AnswerBlock, ...]:
        """Return the blocks of answers that have to be written since the last call."""
        return () if self._known is None else self._known.kept.take_blocks()

    def stored(self) -> StoredOutcomes | None:
        """Return everything that is needed to go on, but for the answers."""
        if self._known is None:
            return None
        kept = self._known.kept
        return StoredOutcomes(
            self._awake,
            self._bet_after,
            kept.taken,
            kept.oldest,
            kept.first,
            self._bet_from,
            list(msgspec.structs.astuple(self._counts)),
            self._known.vocabulary.names,
            kept.marks(),
            list(self._waiting.items()),
            (self._reporters.labels, self._reporters.counts),
            self._windows.stored(),
        )

    def adopt(self, stored: StoredOutcomes | None, snapshot: Snapshot) -> None:
        """Go on from a snapshot; with one that cannot be read, labels begin anew, and nothing else does."""
        known = self._known
        if known is None or stored is None:
            return
        try:
            known.kept.adopt(stored.taken, stored.oldest, stored.first, stored.marks, snapshot.answers)
            self._windows.adopt(stored.windows)
            self._counts = Counts(*stored.counts)
        except (StateError, msgspec.MsgspecError, TypeError) as error:
            extra = {"version_id": self._version_id, "reason": str(error)}
            _logger.error("answers not understood: labels begin anew", extra=extra)  # noqa: TRY400 - the message says it all
            self._forget(known.prediction, known.kept.capacity)
            self._bet_after = snapshot.position
            return
        if known.vocabulary.grows:
            known.vocabulary = Vocabulary(tuple(stored.names), grows=True)
        self._waiting, self._bet_from = dict(stored.waiting), stored.bet_from
        self._awake, self._bet_after = stored.awake, Position(stored.bet_after)
        self._reporters = Reporters(*stored.reported)
        known.kept.forget(known.kept.capacity)

    def status(self, engine: Engine | None) -> PerformanceSeen | None:
        """Return what people see; ``None`` while no label has come, and none is awaited as the reference has some."""
        known, awaited = self._known, engine is not None and engine.performance is not None
        told = awaited or self._counts != Counts() or self._waiting
        if known is None or not known.kept.capacity or not (known.kept.taken or told):
            return None
        if self._seen is None:
            reference = None if engine is None else engine.performance
            self._seen = PerformanceSeen(
                kind=str(known.prediction.kind),
                windows=self._windows.seen(),
                baseline=None if reference is None else seen_of(reference),
                lacking=NO_BASELINE if engine is None else UNLABELLED if reference is None else None,
                **msgspec.structs.asdict(self._counts),
            )
        kept = known.kept
        return msgspec.structs.replace(
            self._seen,
            capacity=kept.capacity,
            remembered=len(kept),
            labelled=kept.labelled,
            waiting=len(self._waiting),
            unknown=self._counts.unknown,
        )

    def _forget(self, prediction: Prediction, capacity: int) -> None:
        self._known, self._counts, self._waiting = _Known(prediction, capacity), Counts(), {}
        self._windows, self._bet_from, self._seen, self._awake = OutcomeWindows(), 0, None, False
        self._reporters = Reporters()


def outcome_counts(engine: Engine, reference: Sums, joined: Joined, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return some outcomes in the bins of the baseline."""
    labels = [label for label, kept in zip(joined.labels, chosen.tolist(), strict=True) if kept]
    answers = joined.answers[chosen]
    if isinstance(reference, NumberSums):
        return counts_of(engine, number_outcomes(answers.astype(np.float64), _numbers(labels)))
    truth = _keys(labels)
    places = Vocabulary(reference.classes, grows=False).places(truth)
    return counts_of(engine, class_outcomes(reference.classes, places, truth == answers))


def counts_of(engine: Engine, columns: dict[str, NDArray[np.float64]]) -> NDArray[np.int64]:
    """Count outcomes by bin; an answer that a column does not speak of is in none of its bins."""
    baseline = engine.baseline
    counts = count(baseline, columns)
    for name in columns:
        if name in baseline.index:
            place = baseline.slices[baseline.index[name]]
            counts[place.start + baseline.columns[baseline.index[name]].bin_labels.index("missing")] = 0
    return counts


def _sums(known: _Known, joined: Joined) -> Sums:
    if known.answering.numbers:
        return number_sums(joined.answers.astype(np.float64), _numbers(joined.labels))
    vocabulary = known.vocabulary
    if vocabulary.grows:
        texts = [text_of(label) for label in joined.labels]
        named = [text if len(text) <= LABEL_CHARACTERS_MAX else "" for text in texts]
        distinct = {text: code for code, text in enumerate(dict.fromkeys(filter(None, named)))}
        codes = np.array([distinct.get(text, -1) for text in named], np.int32)
        vocabulary.meet(Coded(tuple(distinct), codes))
    truth, answered = _keys(joined.labels), joined.answers.astype(np.uint32)
    return class_sums(
        tuple(vocabulary.names),
        vocabulary.places(truth),
        vocabulary.places(answered),
        truth == answered,
        joined.told,
    )


def _keys(labels: Sequence[Scalar]) -> NDArray[np.uint32]:
    return np.array([class_key(text_of(label)) for label in labels], np.uint32)


def _numbers(labels: Sequence[Scalar]) -> NDArray[np.float64]:
    return np.array([float(label) for label in labels], np.float64)


def _fits(label: Scalar, *, numbers: bool) -> bool:
    return not numbers or not isinstance(label, str | bool)
