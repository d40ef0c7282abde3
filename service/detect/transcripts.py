"""The latest requests of those that were found, drawn from the log once there is a finding.

Nothing is remembered for it beforehand: it costs nothing until somebody is accused, and the same log gives the same
transcript, whatever restarts there were. All findings of a pass share one look back, which has bounds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes
from detectors.errors import DetectorError
from detectors.principals.buckets import Buckets
from service.detect.columns import columns_of
from service.detect.engines import Engine
from service.detect.printed import MATCHED_MIN, Printed, Told, told_by
from service.detect.request_measure import SHOWN, RequestMeasure
from service.detect.witness import backwards
from service.detect.yardsticks import Measure, usable
from service.domain.ids import Position, VersionId
from service.domain.schema import PREDICTION, PROBABILITY_PREFIX, Feature, FeatureKind, Schema, Treatment
from service.domain.transcripts import Accused, TranscriptBody, TranscriptRequest
from service.frames import Frame, FrameError, decode_frame
from service.ports import EntryKind, LogEntry, LogReader

ENTRIES_MAX = 4_096
"""Entries of the log, of all versions, that are looked at for the findings of one pass."""
BYTES_MAX = 32 * 1024 * 1024
DECODED_MAX = 512
"""Of them, those that hold requests of an accused principal and are decoded."""
ACCUSED_MAX = 32
"""Findings of one pass whose requests are looked for; of more, the newest."""
ID_MAX = 200
"""Characters of an event id that are kept."""
LABEL_MAX = 200
DIGITS = 6
CLASSES_MIN = 2


class Looker(NamedTuple):
    """What requests of one version are read with."""

    schema: Schema
    engine: Engine | None
    tag: int
    """Of the salt of fingerprints; 0: unknown."""


@dataclass(slots=True)
class Draft:
    """What was found for one finding."""

    accused: Accused
    requests: list[TranscriptRequest] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    """Of the features, request by request; empty where the policy keeps none."""
    points: list[NDArray[np.float32] | None] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    cut: bool = False
    over: bool = False
    """Whether the entries before the evidence were reached."""

    @property
    def wants(self) -> bool:
        """Tell whether there may be more to find."""
        return not self.over and len(self.requests) < self.accused.requests_max

    def body(self) -> TranscriptBody:
        """Return what is kept in the clear."""
        return TranscriptBody(requests=tuple(self.requests), cut=self.cut)


def draw(log: LogReader, accused: Sequence[Accused], lookers: Mapping[VersionId, Looker]) -> list[Draft]:
    """Return the latest requests of each accused principal up to its finding, oldest first."""
    # Of two findings about one alert and principal, the later one has all requests of the earlier.
    latest: dict[tuple[str, str], Accused] = {}
    for one in accused:
        before = latest.pop((one.alert_id, one.principal), one)
        latest[one.alert_id, one.principal] = replace(one, news=one.news or before.news)
    drafts = [Draft(one) for one in list(latest.values())[-ACCUSED_MAX:]]
    if drafts:
        _search(log, drafts, lookers)
    for draft in drafts:
        looker = lookers.get(draft.accused.version_id)
        for part in (draft.requests, draft.values, draft.points, draft.labels):
            part.reverse()
        measure = None if looker is None or looker.engine is None else looker.engine.measure
        if measure is not None:
            draft.requests = _with_nearest(draft, measure)
    return drafts


def _search(log: LogReader, drafts: Sequence[Draft], lookers: Mapping[VersionId, Looker]) -> None:
    stop = max(draft.accused.position for draft in drafts) + 1
    floor = max(0, stop - 1 - ENTRIES_MAX)
    readers = {v: _Reader(looker) for v, looker in lookers.items()}
    size = decoded = 0
    for entry in backwards(log, Position(floor), Position(stop)):
        for draft in drafts:
            draft.over |= entry.arrival_us < draft.accused.since_us
        waiting = [draft for draft in drafts if draft.wants]
        size += len(entry.body)
        if not waiting or size > BYTES_MAX or decoded >= DECODED_MAX:
            break
        reader = readers.get(entry.version_id)
        if entry.kind is not EntryKind.BATCH or reader is None:
            continue
        body = bytes(entry.body)
        mine = [draft for draft in waiting if _may_have(draft.accused, entry, body)]
        if mine:
            decoded += 1
            reader.read(entry, mine)
    else:
        # Only the bound on entries may have ended it.
        for draft in drafts:
            draft.cut = draft.wants and floor > 0
        return
    for draft in drafts:
        draft.cut = draft.wants


def _may_have(accused: Accused, entry: LogEntry, body: bytes) -> bool:
    """Tell whether an entry may hold requests of a principal: pseudonyms stand in it as their bytes."""
    ours = entry.version_id == accused.version_id and entry.position <= accused.position
    return ours and bytes.fromhex(accused.principal) in body


class _Reader:
    """Reads requests of one version."""

    def __init__(self, looker: Looker) -> None:
        self._looker = looker
        engine = looker.engine
        self._measure: Measure | None = None if engine is None else engine.measure
        self._requests: RequestMeasure | None = None if engine is None else engine.requests
        self._buckets: Buckets | None = None
        if self._measure is not None:
            yardstick = self._measure.yardstick
            self._buckets = Buckets(yardstick.population, yardstick.dimension, self._measure.space.key)
        self._kept = [f for f in looker.schema.features if f.treatment is not Treatment.DROP]
        self._kept = [f for f in self._kept if f.classification in SHOWN]

    def read(self, entry: LogEntry, drafts: Sequence[Draft]) -> None:
        """Add the requests of an entry to the drafts, the newest first."""
        try:
            frame = decode_frame(entry.body)
        except FrameError:
            # Who counts it says so.
            return
        if frame.principals is None:
            return
        ids = None if frame.event_ids is None else list(frame.event_ids)
        for draft in drafts:
            rows = self._rows(frame, draft)
            if not len(rows):
                continue
            told = self._told(frame)
            points, labels, names, margins = self._answers(frame, rows, told)
            scores = self._scores(frame, rows)
            sampled = draft.accused.policy.samples
            for i, row in enumerate(rows.tolist()):
                matched_by, hashes = self._hashes(told, row, points[i])
                event_id = None if ids is None else ids[row]
                request = TranscriptRequest(
                    at_us=entry.arrival_us,
                    position=entry.position,
                    row=row,
                    event_id=event_id and event_id[:ID_MAX],
                    label=names[i],
                    margin=_number(margins[i]),
                    matched_by=matched_by,
                    hashes=hashes,
                    nearest=None,
                    score=_number(scores[i]),
                )
                draft.requests.append(request)
                draft.points.append(points[i])
                draft.labels.append(labels[i])
                if sampled:
                    draft.values.append({f.name: _value(frame, f, row) for f in self._kept})

    def _rows(self, frame: Frame, draft: Draft) -> NDArray[np.int64]:
        """Return the rows of the accused principal, the newest first, as many as there is room for."""
        principals = frame.principals
        if principals is None or draft.accused.principal not in principals.labels:
            return np.zeros(0, np.int64)
        code = principals.labels.index(draft.accused.principal)
        rows = np.flatnonzero(principals.codes == code)[::-1]
        return rows[: draft.accused.requests_max - len(draft.requests)].astype(np.int64)

    def _told(self, frame: Frame) -> Told | None:
        if not frame.fingerprints:
            return None
        tag = self._looker.tag
        return told_by(frame, lambda tags: tag or (int(tags[0]) if len(tags) else 0))

    def _answers(
        self, frame: Frame, rows: NDArray[np.int64], told: Told | None
    ) -> tuple[list[NDArray[np.float32] | None], list[int], list[str | None], list[float]]:
        """Return points, places of the predicted classes, their names, and margins."""
        names = _labels(frame, rows)
        columns = columns_of(frame, (*_probabilities(frame), *(() if self._measure is None else self._measure.wanted)))
        shares = [np.asarray(columns[name], np.float64)[rows] for name in _probabilities(frame)]
        margins, likeliest = _margins(np.array(shares).T if len(shares) >= CLASSES_MIN else None, len(rows))
        if likeliest is not None:
            classes = [name.removeprefix(PROBABILITY_PREFIX)[:LABEL_MAX] for name in _probabilities(frame)]
            names = [
                name if name is not None or i < 0 else classes[i] for name, i in zip(names, likeliest, strict=True)
            ]
        nothing: list[NDArray[np.float32] | None] = [None] * len(rows)
        measure = self._measure
        if measure is None or not all(name in columns for name in measure.needed):
            return nothing, [-1] * len(rows), names, margins
        try:
            printed = told is not None and isinstance(measure.space, Printed)
            points = told.points[rows] if printed and told is not None else measure.points(frame, columns)[rows]
        except (DetectorError, KeyError):
            return nothing, [-1] * len(rows), names, margins
        answers = np.nan_to_num(measure.answers(columns, rows), nan=-1.0)
        good = usable(points).tolist()
        found = [points[i] if good[i] else None for i in range(len(rows))]
        return found, answers.argmax(axis=1).tolist(), names, margins

    def _hashes(self, told: Told | None, row: int, point: NDArray[np.float32] | None) -> tuple[str | None, str]:
        if told is not None and told.valid[row] and np.count_nonzero(told.hashes[row]) >= MATCHED_MIN:
            return "fingerprint", _hex(told.hashes[row])
        if point is None or self._buckets is None:
            return None, ""
        return "point", _hex(self._buckets.of(point))

    def _scores(self, frame: Frame, rows: NDArray[np.int64]) -> list[float]:
        """Return how odd requests are by themselves; not a number where nobody can tell."""
        scores = np.full(len(rows), np.nan)
        if self._requests is None:
            return list(scores.tolist())
        inputs = self._requests.inputs
        read = inputs.read(frame, columns_of(frame, inputs.wanted))
        good = np.zeros(len(rows), np.bool_) if read is None else read.good[rows]
        if read is not None and good.any():
            scores[good] = self._requests.model.judge(read.batch.taken(rows[good])).scores
        return list(scores.tolist())


def _with_nearest(draft: Draft, measure: Measure) -> list[TranscriptRequest]:
    """Return the requests with how near each is to an earlier one."""
    typical = measure.yardstick.population.typical
    found: list[TranscriptRequest] = []
    earlier: list[NDArray[np.float32]] = []
    for request, point, label in zip(draft.requests, draft.points, draft.labels, strict=True):
        nearest = None
        if point is not None and earlier:
            away = float(np.linalg.norm(np.stack(earlier) - point, axis=1).min())
            nearest = _number(away / max(float(typical[label]), 1e-12))
        if point is not None:
            earlier.append(point)
        found.append(msgspec.structs.replace(request, nearest=nearest))
    return found


def _probabilities(frame: Frame) -> tuple[str, ...]:
    return tuple(sorted(name for name in frame.numeric_names if name.startswith(PROBABILITY_PREFIX)))


def _labels(frame: Frame, rows: NDArray[np.int64]) -> list[str | None]:
    """Return the predicted classes as they were told."""
    told = columns_of(frame, (PREDICTION,)).get(PREDICTION)
    if not isinstance(told, Codes):
        return [None] * len(rows)
    codes = told.codes[rows].tolist()
    return [told.labels[code][:LABEL_MAX] if code >= 0 else None for code in codes]


def _margins(shares: NDArray[np.float64] | None, rows: int) -> tuple[list[float], list[int] | None]:
    """Return how far the likeliest class is above the next, and which one it is; -1 where nobody can tell."""
    if shares is None:
        return [math.nan] * rows, None
    sound = np.asarray(np.isfinite(shares).all(axis=1))
    ordered = np.sort(np.where(sound[:, None], shares, 0.0), axis=1)
    margins = np.where(sound, ordered[:, -1] - ordered[:, -2], np.nan)
    best = np.where(sound, np.nan_to_num(shares, nan=-1.0).argmax(axis=1), -1)
    return list(margins.tolist()), list(best.tolist())


def _value(frame: Frame, feature: Feature, row: int) -> Any:
    """Return a stored value: a number, a text, a list of numbers, or ``None`` where there is none that is valid."""
    if feature.kind is FeatureKind.EMBEDDING:
        values = frame.embeddings.get(feature.name)
        return None if values is None or not np.isfinite(values[row]).all() else values[row].tolist()
    if feature.name in frame.numeric_names:
        return _number(float(frame.numeric[frame.numeric_names.index(feature.name), row]), digits=None)
    if feature.name in frame.categorical_names:
        coded = frame.categorical[frame.categorical_names.index(feature.name)]
        code = int(coded.codes[row])
        return coded.labels[code] if code >= 0 else None
    return None


def _number(value: float, digits: int | None = DIGITS) -> float | None:
    if not math.isfinite(value):
        return None
    return value if digits is None else round(value, digits)


def _hex(hashes: NDArray[np.uint64]) -> str:
    return "".join(f"{one:016x}" for one in hashes.tolist())
