"""Rows for a report: drawn evenly, with as little in them as a report needs.

Never drawn are principals, event ids, times, segments, attributions, fingerprints and embeddings; nor features whose
values are confidential or restricted, nor columns that tell rows apart as an identifier does. Rare values are not
told from one another. What is drawn follows from the log alone: the same entries give the same rows.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.domain.reports import Reports
from service.domain.schema import (
    ERROR,
    LATENCY,
    PREDICTION,
    PROBABILITY_PREFIX,
    Classification,
    FeatureKind,
    PredictionKind,
    Schema,
    Treatment,
)
from service.frames import INVALID, MISSING, Coded, Frame

FORMAT = 1
SHOWN = frozenset({Classification.PUBLIC, Classification.INTERNAL})
CELLS_MAX = 500_000
"""Of one side of a report: of wide versions fewer rows are drawn."""
COLUMNS_MAX = 500
TEXT_MAX = 64
RARE, LONG, BAD = "(rare)", "(long text)", "(invalid)"
PROBABILITIES_MAX = 64
"""Names of classes that clients send; those that come first are drawn."""
RARE_ROWS = 3
"""A value of fewer rows is rare."""
RARE_SHARE = 0.5
"""With a larger share of rare rows, a column tells rows apart rather than what they have in common."""
NUMBERED_ROWS, NUMBERED_SHARE, NUMBERED_FROM = 50, 0.98, 1e5
"""Whole numbers, nearly all different and large, number things or persons."""
_SEED = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_ROW_BITS = np.uint64(20)


class Coding(msgspec.Struct, frozen=True):
    """A categorical column: 32-bit places in ``labels``, -1 where the value is missing."""

    labels: tuple[str, ...]
    codes: bytes


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Rows, column by column."""

    format: int = FORMAT
    rows: int
    seen: int
    """Events that they were drawn from."""
    from_us: int
    to_us: int
    """Between these times the events were looked for."""
    cut: bool
    """Whether a bound left out entries of that time."""
    numeric: dict[str, bytes]
    """64-bit floats; NaN is missing, infinity is invalid."""
    categorical: dict[str, Coding]
    left_out: dict[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return (*self.numeric, *self.categorical)


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """The two sides of a report."""

    current: Sample
    before: Sample
    """Traffic before the change."""


class Reservoir:
    """Draws rows from frames: each row has the same chance, and what is drawn follows from where the rows stand.

    Parameters
    ----------
    schema, reports
        Say which columns may be drawn, and how many rows.
    rows
        How many rows to draw at most.
    """

    def __init__(self, schema: Schema, reports: Reports, rows: int) -> None:
        self._left_out: dict[str, str] = {}
        self._numeric, self._categorical = _wanted(schema, reports, self._left_out)
        self._leave_out = frozenset(reports.leave_out)
        columns = max(1, len(self._numeric) + len(self._categorical))
        self._rows = max(1, min(rows, CELLS_MAX // columns))
        self._told: set[str] = set()
        """Probabilities that were met."""
        self._chunks: list[_Chunk] = []
        self._held = 0
        self._bar = np.uint64(2**64 - 1)
        self.seen = 0

    def add(self, frame: Frame, position: int) -> None:
        """Let the rows of an entry of the log, or of a reference, take part."""
        self.seen += frame.rows
        places = (np.uint64(position) << _ROW_BITS) + np.arange(frame.rows, dtype=np.uint64)
        lots = _mixed(places)
        picked = np.flatnonzero(lots <= self._bar)
        if not len(picked):
            return
        self._chunks.append(self._taken(frame, picked, lots[picked], places[picked]))
        self._held += len(picked)
        if self._held > 4 * self._rows:
            self._chunks = [_best(self._chunks, self._rows)]
            self._held = len(self._chunks[0].lots)
            if self._held == self._rows:
                self._bar = self._chunks[0].lots.max()

    def sample(self, from_us: int, to_us: int, *, cut: bool) -> Sample:
        """Return what was drawn, in the order of the log, with rare values put together."""
        chunk = _best(self._chunks, self._rows)
        order = np.argsort(chunk.places)
        rows, left_out = len(order), dict(self._left_out)
        numeric: dict[str, bytes] = {}
        for name, values in sorted(chunk.numeric.items()):
            if _numbers_things(values):
                left_out[name] = "its whole numbers are nearly all different: it may be an identifier"
            else:
                numeric[name] = values[order].astype("<f8").tobytes()
        categorical: dict[str, Coding] = {}
        for name, texts in sorted(chunk.categorical.items()):
            coding = _coded([texts[i] for i in order.tolist()])
            if coding is None:
                left_out[name] = "most of its values are rare: it may be an identifier or free text"
            else:
                categorical[name] = coding
        return Sample(
            rows=rows,
            seen=self.seen,
            from_us=from_us,
            to_us=to_us,
            cut=cut,
            numeric=numeric,
            categorical=categorical,
            left_out=dict(sorted(left_out.items())),
        )

    def _taken(
        self, frame: Frame, rows: NDArray[np.int64], lots: NDArray[np.uint64], places: NDArray[np.uint64]
    ) -> "_Chunk":
        numeric = {
            name: np.asarray(frame.numeric[row][rows], np.float64)
            for row, name in enumerate(frame.numeric_names)
            if self._may(name, self._numeric)
        }
        categorical = {
            name: _texts(column, rows)
            for name, column in zip(frame.categorical_names, frame.categorical, strict=True)
            if self._may(name, self._categorical)
        }
        return _Chunk(lots, places, numeric, categorical)

    def _may(self, name: str, wanted: frozenset[str]) -> bool:
        if name in wanted:
            return True
        if wanted is not self._numeric or not name.startswith(PROBABILITY_PREFIX) or name in self._leave_out:
            return False
        if len(self._told) < PROBABILITIES_MAX:
            self._told.add(name)
        return name in self._told


class _Chunk:
    """Rows that were picked so far."""

    __slots__ = ("categorical", "lots", "numeric", "places")

    def __init__(
        self,
        lots: NDArray[np.uint64],
        places: NDArray[np.uint64],
        numeric: dict[str, NDArray[np.float64]],
        categorical: dict[str, list[str | None]],
    ) -> None:
        self.lots = lots
        self.places = places
        self.numeric = numeric
        self.categorical = categorical


def _wanted(schema: Schema, reports: Reports, left_out: dict[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the columns that may be drawn, and say of the others why not."""
    numeric, categorical = {LATENCY}, {ERROR}
    (numeric if schema.prediction.kind is PredictionKind.NUMBER else categorical).add(PREDICTION)
    for place, feature in enumerate(schema.features):
        if feature.treatment is Treatment.DROP:
            left_out[feature.name] = "its values are dropped"
        elif feature.classification not in SHOWN:
            left_out[feature.name] = f"its values are {feature.classification}"
        elif feature.kind is FeatureKind.EMBEDDING:
            left_out[feature.name] = "it is an embedding"
        elif place >= COLUMNS_MAX:
            left_out[feature.name] = f"only the first {COLUMNS_MAX} features are drawn"
        elif feature.kind is FeatureKind.CATEGORICAL:
            categorical.add(feature.name)
        else:
            numeric.add(feature.name)
    for name in reports.leave_out:
        if name in numeric | categorical:
            left_out[name] = "the policy leaves it out"
    gone = frozenset(reports.leave_out)
    return frozenset(numeric) - gone, frozenset(categorical) - gone


def _mixed(places: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a number for each place that looks random and is always the same."""
    x = places * _SEED
    x = (x ^ (x >> np.uint64(30))) * _MIX[0]
    x = (x ^ (x >> np.uint64(27))) * _MIX[1]
    return x ^ (x >> np.uint64(31))


def _best(chunks: list[_Chunk], rows: int) -> _Chunk:
    """Return the rows with the smallest lots of all chunks; what a chunk does not carry is missing there."""
    lots = np.concatenate([chunk.lots for chunk in chunks]) if chunks else np.zeros(0, np.uint64)
    places = np.concatenate([chunk.places for chunk in chunks]) if chunks else np.zeros(0, np.uint64)
    best = np.sort(np.argsort(lots, kind="stable")[:rows])
    numeric: dict[str, NDArray[np.float64]] = {}
    for name in dict.fromkeys(name for chunk in chunks for name in chunk.numeric):
        columns = [chunk.numeric.get(name, np.full(len(chunk.lots), np.nan)) for chunk in chunks]
        numeric[name] = np.concatenate(columns)[best]
    categorical: dict[str, list[str | None]] = {}
    for name in dict.fromkeys(name for chunk in chunks for name in chunk.categorical):
        texts: list[str | None] = []
        for chunk in chunks:
            texts += chunk.categorical.get(name, [None] * len(chunk.lots))
        categorical[name] = [texts[i] for i in best.tolist()]
    return _Chunk(lots[best], places[best], numeric, categorical)


def _texts(column: Coded, rows: NDArray[np.int64]) -> list[str | None]:
    special = {MISSING: None, INVALID: BAD}
    return [
        special[code] if code < 0 else column.labels[code] if len(column.labels[code]) <= TEXT_MAX else LONG
        for code in column.codes[rows].tolist()
    ]


def _numbers_things(values: NDArray[np.float64]) -> bool:
    known = values[np.isfinite(values)]
    if len(known) < NUMBERED_ROWS or np.abs(known).max() < NUMBERED_FROM or (known != np.rint(known)).any():
        return False
    return len(np.unique(known)) >= NUMBERED_SHARE * len(known)


def _coded(texts: list[str | None]) -> Coding | None:
    """Put rare values together; ``None`` for a column that is mostly made of them."""
    counts = Counter(text for text in texts if text is not None)
    rare = {text for text, number in counts.items() if number < RARE_ROWS and text != BAD}
    rare_rows = sum(counts[text] for text in rare)
    if rare_rows > RARE_SHARE * max(counts.total(), 2 * RARE_ROWS):
        return None
    kept = sorted(counts.keys() - rare) + ([RARE] if rare else [])
    place = {text: number for number, text in enumerate(kept)}
    codes = [MISSING if text is None else place[RARE if text in rare else text] for text in texts]
    return Coding(tuple(kept), np.array(codes, "<i4").tobytes())


def numbers_of(sample: Sample, name: str) -> NDArray[np.float64]:
    """Return a numeric column."""
    return np.frombuffer(sample.numeric[name], "<f8")


def texts_of(sample: Sample, name: str) -> list[str | None]:
    """Return a categorical column."""
    coding = sample.categorical[name]
    return [None if code < 0 else coding.labels[code] for code in np.frombuffer(coding.codes, "<i4").tolist()]


def plain_numbers(sample: Sample, name: str) -> list[float | str | None]:
    """Return a numeric column as JSON can say it: a missing value is ``None``, an invalid one a text."""
    values = numbers_of(sample, name)
    known = np.isfinite(values).tolist()
    missing = np.isnan(values).tolist()
    told = zip(values.tolist(), known, missing, strict=True)
    return [value if fine else None if gone else BAD for value, fine, gone in told]


def rows_of(sample: Sample) -> Iterator[dict[str, Any]]:
    """Yield the rows as JSON can say them."""
    columns: Mapping[str, list[Any]] = {
        **{name: plain_numbers(sample, name) for name in sample.numeric},
        **{name: texts_of(sample, name) for name in sample.categorical},
    }
    for row in range(sample.rows):
        yield {name: values[row] for name, values in columns.items()}


def ndjson(pair: Pair, reference: Sample | None) -> bytes:
    """Return the rows behind a report, one a line with the side that it stands on."""
    sides = {"current": pair.current, "before": pair.before} | ({} if reference is None else {"reference": reference})
    lines = [msgspec.json.encode({"side": side, "row": row}) for side, rows in sides.items() for row in rows_of(rows)]
    return b"".join(line + b"\n" for line in lines)
