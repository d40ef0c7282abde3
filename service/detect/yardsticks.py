"""What single principals are measured with: made of the reference, kept in the baseline's artefact."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.columns import Values
from detectors.errors import BaselineError, DetectorError
from detectors.principals.extraction import Moments
from detectors.principals.grown import INTENT, grown
from detectors.principals.monitor import LENGTH_MAX, Thresholds, Tier, Yardstick
from detectors.principals.persistence import Bets
from detectors.principals.points import Embedded, Projection
from detectors.principals.population import Population
from detectors.principals.ranked import ranked
from detectors.principals.thresholds import EXTRACTION_LEAST, PROBING_LEAST, Calibration, at_most, calibrate
from service.detect.answers import SURE, answers_of, labels_in
from service.detect.printed import Printed, told_by
from service.domain.schema import PREDICTION, PROBABILITY_PREFIX, FeatureKind, PredictionKind, Schema
from service.frames import Frame

ROWS_MAX = 8_192
"""Reference requests that are looked at: neighbourhoods need no more, and each is compared with hundreds."""
CLASSES_MIN = 2
INTENT_OF_LABELS = INTENT
EDITION, UNCHECKED = 3, 2
"""Of the evidence that thresholds are of: in the first one, that of probing grew without end; in the second one, that
of intent was not held against the reference."""


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """How requests become points, and what is usual among them."""

    yardstick: Yardstick
    thresholds: Thresholds
    classes: tuple[str, ...]
    """Columns of the probabilities, in order; without probabilities, labels of the prediction."""
    space: Projection | Embedded | Printed
    embedding: str | None = None
    """The feature whose embeddings are the points; ``None``: the columns of the space are."""
    labelled: bool = False
    """Whether answers are labels only."""
    checked: bool = True
    """Whether the threshold of intent was held against what the reference itself gives."""
    held: Calibration | None = None
    """What thresholds were held against; ``None`` in baselines of earlier releases."""

    def told(self) -> dict[str, dict[str, float]]:
        """Return what the status says of each tier's threshold beside its value.

        The nominal one, the largest evidence of a session of the reference, how many of those there were, and how
        large a share of them may be above the threshold, as none is.
        """
        nominal = {Tier.PROBING: PROBING_LEAST, Tier.INTENT: INTENT, Tier.EXTRACTION: EXTRACTION_LEAST}
        found = {tier.value: {"nominal": nominal[tier]} for tier in Tier}
        if self.held is not None:
            for tier, count in self.held.sessions.items():
                reached = self.held.reached.of(tier)
                found[tier.value] |= {"reached": reached, "sessions": count, "at_most": at_most(count)}
        return found

    @property
    def ranked(self) -> bool:
        """Whether stories are ranked among those of sessions of the reference, too."""
        return self.held is not None and self.held.ladders is not None

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns that are needed of a frame."""
        own = (*self.space.numeric, *self.space.categorical) if isinstance(self.space, Projection) else ()
        return (*own, *self.needed)

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns without which there is no answer."""
        return (PREDICTION,) if self.labelled else self.classes

    def points(self, frame: Frame, columns: Mapping[str, Values]) -> NDArray[np.float32]:
        """Return the points of a frame's events; rows that have none are not finite."""
        return _points(self.space, self.embedding, frame, columns)

    def answers(self, columns: Mapping[str, Values], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the answers to some events, shape (rows, classes); rows without one are not finite."""
        return answers_of(self.classes, columns[PREDICTION] if self.labelled else None, columns, rows)


class _Stored(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    classes: tuple[str, ...]
    embedding: str | None
    dimension: int
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    key: bytes
    places: list[int]
    """How many of each class."""
    steepness: float
    scale: float
    thresholds: tuple[float, float, float]
    points: int
    """Numbers of a point."""
    arrays: list[bytes]
    tag: int = 0
    """Of the salt of the fingerprints that are the points; 0: they are not."""
    labelled: bool = False
    edition: int = 1
    held: tuple[tuple[float, float, float], tuple[int, int, int]] | None = None
    """The largest evidence of sessions of the reference, and how many there were, in the order of the thresholds."""
    ladders: tuple[tuple[float, ...], ...] | None = None
    """What stories are ranked among; ``None`` in baselines of earlier releases, and where answers are labels."""


def make(schema: Schema, frame: Frame, columns: Mapping[str, Values]) -> tuple[Measure | None, str]:
    """Measure a reference; without what it takes, say what is missing."""
    classes = tuple(sorted(name for name in columns if name.startswith(PROBABILITY_PREFIX)))
    labelled = len(classes) < CLASSES_MIN
    if labelled:
        classes = _labels(schema, columns)
    if len(classes) < CLASSES_MIN:
        return None, (
            "the reference has neither class probabilities nor predicted classes: single principals cannot be told"
            " apart from attackers"
        )
    rows = np.linspace(0, frame.rows - 1, min(frame.rows, ROWS_MAX)).astype(np.int64)
    key = _key(frame)
    try:
        space, embedding = _space_of(schema, frame, columns, rows, key)
        points = _points(space, embedding, frame, columns)[rows]
        answers = answers_of(classes, columns[PREDICTION] if labelled else None, columns, rows)
        good = usable(points) & np.isfinite(answers).all(axis=1)
        points, answers = points[good], answers[good]
        labels = answers.argmax(axis=1)
        yardstick = Yardstick.fit(points, labels, answers, grown())
        yardstick = _of_labels(yardstick) if labelled else yardstick
        intent = INTENT_OF_LABELS if labelled else INTENT
        # Stories of labels alone were ranked by nobody: nobody bets on them.
        held = calibrate(yardstick, points, labels, answers, intent, None if labelled else ranked())
        yardstick = replace(yardstick, bets=_bets(held, labelled=labelled))
    except DetectorError as error:
        return None, f"single principals are not watched: {error}"
    return Measure(yardstick, held.thresholds, classes, space, embedding, labelled, held=held), ""


def _points(
    space: Projection | Embedded | Printed, embedding: str | None, frame: Frame, columns: Mapping[str, Values]
) -> NDArray[np.float32]:
    if isinstance(space, Embedded):
        return space.of(frame.embeddings[str(embedding)])
    if isinstance(space, Printed):
        return told_by(frame, lambda _: space.tag).points
    return space.of(columns)


def _labels(schema: Schema, columns: Mapping[str, Values]) -> tuple[str, ...]:
    """Return the labels that a reference without probabilities predicts."""
    if schema.prediction.kind is not PredictionKind.CLASS or PREDICTION not in columns:
        return ()
    return labels_in(columns[PREDICTION])


def _space_of(
    schema: Schema, frame: Frame, columns: Mapping[str, Values], rows: NDArray[np.int64], key: bytes
) -> tuple[Projection | Embedded | Printed, str | None]:
    """Choose what makes the points: fingerprints, else an embedding, else the features."""
    printed = Printed.fit(frame, rows, key)
    if printed is not None:
        return printed, None
    embeddings = [f.name for f in schema.of_kind(FeatureKind.EMBEDDING) if f.name in frame.embeddings]
    if embeddings:
        return Embedded(frame.embeddings[embeddings[0]].shape[1], key), embeddings[0]
    return Projection.fit(columns, [f.name for f in schema.features if f.name in columns], key), None


def _of_labels(yardstick: Yardstick) -> Yardstick:
    """Let answers that are labels only say nothing of margins: none is near a boundary."""
    population = yardstick.population
    unmoved = replace(population, odds=np.full(len(population.odds), SURE / 2.0), steepness=1.0)
    return replace(yardstick, population=unmoved)


def usable(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which points can be compared: finite, and not so far away that their distances are not."""
    finite = np.asarray(np.isfinite(points).all(axis=1))
    lengths = np.linalg.norm(np.where(finite[:, None], points, 0.0).astype(np.float64), axis=1)
    return np.asarray(finite & (lengths <= LENGTH_MAX))


def _key(frame: Frame) -> bytes:
    """Return what chooses the directions: nobody without the reference knows it, and it is the same every time."""
    told = np.ascontiguousarray(frame.numeric).tobytes() + repr(frame.categorical_names).encode() + frame.fingerprints
    return hashlib.sha256(told).digest()


def to_bytes(measure: Measure) -> bytes:
    """Return the bytes of a measure; the same one gives the same bytes."""
    population, moments, space = measure.yardstick.population, measure.yardstick.moments, measure.space
    arrays: list[NDArray[Any]] = [
        *population.places,
        population.typical,
        population.ratios,
        population.densities,
        population.odds,
    ]
    arrays += [moments.mean, moments.spread]
    if isinstance(space, Projection):
        arrays += [space.centre, space.scale]
    limits = measure.thresholds
    stored = _Stored(
        classes=measure.classes,
        embedding=measure.embedding,
        tag=space.tag if isinstance(space, Printed) else 0,
        labelled=measure.labelled,
        dimension=space.dimension if isinstance(space, Embedded) else 0,
        numeric=space.numeric if isinstance(space, Projection) else (),
        categorical=space.categorical if isinstance(space, Projection) else (),
        key=space.key,
        places=[len(own) for own in population.places],
        steepness=population.steepness,
        scale=moments.scale,
        thresholds=(limits.probing, limits.intent, limits.extraction),
        points=measure.yardstick.dimension,
        arrays=[np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<"), copy=False).tobytes() for a in arrays],
        edition=EDITION if measure.checked else UNCHECKED,
        held=_numbers(measure.held),
        ladders=None if measure.held is None else measure.held.ladders,
    )
    return msgspec.msgpack.encode(stored)


def from_bytes(content: bytes) -> Measure:
    """Read the bytes of a measure.

    Raises
    ------
    BaselineError
        When they are none.
    """
    try:
        stored = msgspec.msgpack.decode(content, type=_Stored)
        count = len(stored.classes)
        arrays = iter(stored.arrays)
        places = tuple([_read(next(arrays), "<f4", (size, stored.points)) for size in stored.places])
        typical, ratios, densities, odds = (_read(next(arrays), "<f8", (-1,)) for _ in range(4))
        mean, spread = (_read(next(arrays), "<f8", (count, stored.points)) for _ in range(2))
        space: Projection | Embedded | Printed = Embedded(stored.dimension, stored.key)
        if stored.tag:
            space = Printed(stored.tag, stored.key)
        elif stored.embedding is None:
            centre, scale = (_read(next(arrays), "<f8", (len(stored.numeric),)) for _ in range(2))
            space = Projection(stored.numeric, centre, scale, stored.categorical, stored.key)
    except (msgspec.MsgspecError, ValueError, StopIteration) as error:
        raise BaselineError(f"not a measure of principals: {error}") from error
    if len(places) != count or len(typical) != count:
        raise BaselineError(f"a measure of principals with {len(places)} places for {count} classes")
    population = Population(places, typical, ratios, densities, odds, stored.steepness)
    moments = Moments(mean, spread, stored.scale)
    probing, intent, extraction = stored.thresholds
    limits = Thresholds(probing if stored.edition >= UNCHECKED else PROBING_LEAST, intent, extraction)
    checked = stored.edition >= EDITION
    held = _calibration(limits, stored)
    try:
        yardstick = Yardstick(population, moments, grown(), _bets(held, labelled=stored.labelled))
    except (DetectorError, ValueError) as error:
        raise BaselineError(f"not a measure of principals: {error}") from error
    return Measure(yardstick, limits, stored.classes, space, stored.embedding, stored.labelled, checked, held)


def _numbers(held: Calibration | None) -> tuple[tuple[float, float, float], tuple[int, int, int]] | None:
    if held is None:
        return None
    reached, sessions = held.reached, held.sessions
    counts = (sessions[Tier.PROBING], sessions[Tier.INTENT], sessions[Tier.EXTRACTION])
    return (reached.probing, reached.intent, reached.extraction), counts


def _calibration(limits: Thresholds, stored: _Stored) -> Calibration | None:
    if stored.held is None:
        return None
    reached, counts = stored.held
    tiers = (Tier.PROBING, Tier.INTENT, Tier.EXTRACTION)
    return Calibration(limits, Thresholds(*reached), dict(zip(tiers, counts, strict=True)), stored.ladders)


def _bets(held: Calibration | None, *, labelled: bool) -> Bets | None:
    """Return what stories are ranked among: what the baseline raised, else what holds for whichever model.

    Raises
    ------
    DetectorError
        If what was stored is no ladder.
    """
    if labelled:
        return None
    if held is None or held.ladders is None:
        return ranked()
    return Bets(ranked().forest, np.array(held.ladders))


def _read(content: bytes, kind: str, shape: Sequence[int]) -> NDArray[Any]:
    return np.frombuffer(content, kind).reshape(shape)
