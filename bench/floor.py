"""The floor F: what one core can do with the same bodies, with nothing around it.

Body bytes -> columns -> 64-bin histograms and moments of 20 numeric features, counts of 5 categorical ones, a count-min
sketch of the principals, 128 random Fourier features and the Mahalanobis distance. No HTTP, no disk, no checks of the
input, one call after the other. The service does more; the ratio says how much the rest costs.
"""

import operator
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.work import ARROW, CATEGORICAL, COLUMNAR_JSON, NUMERIC, ROW_JSON, Format, Stream

BINS = 64
SKETCH_ROWS, SKETCH_BITS = 4, 11
FOURIER = 128
FAR = 45.0
"""Squared Mahalanobis distance beyond which a row of 20 features counts as far away."""

_MULTIPLIERS = np.array(
    [0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], dtype=np.uint64
)

Number = TypeVar("Number", bound=np.generic)
Tally = tuple[Sequence[str], NDArray[np.int64]]
"""Distinct values and how often each occurs."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the floor takes from a body."""

    numeric: NDArray[np.float32]
    """Shape (20, rows)."""
    categorical: Sequence[Tally]
    principals: Tally


def _tally(values: Sequence[str]) -> Tally:
    counter = Counter(values)
    return list(counter), np.fromiter(counter.values(), np.int64, len(counter))


_RowFeatures = msgspec.defstruct(
    "_RowFeatures", [(name, float) for name in NUMERIC] + [(name, str) for name in CATEGORICAL], gc=False
)
_Row = msgspec.defstruct(
    "_Row",
    [
        ("event_id", str),
        ("timestamp", str),
        ("principal", str),
        ("prediction", str),
        ("features", _RowFeatures),
        ("probabilities", dict[str, float]),
    ],
    gc=False,
)
_ColumnFeatures = msgspec.defstruct(
    "_ColumnFeatures", [(name, list[float]) for name in NUMERIC] + [(name, list[str]) for name in CATEGORICAL], gc=False
)
_Columns = msgspec.defstruct(
    "_Columns",
    [
        ("event_id", list[str]),
        ("timestamp", list[str]),
        ("principal", list[str]),
        ("prediction", list[str]),
        ("features", _ColumnFeatures),
        ("probabilities", dict[str, list[float]]),
    ],
    gc=False,
)
_row_decoder = msgspec.json.Decoder(msgspec.defstruct("_RowBody", [("events", list[_Row])], gc=False))  # type: ignore[valid-type]  # a struct made at run time
_column_decoder = msgspec.json.Decoder(msgspec.defstruct("_ColumnBody", [("columns", _Columns)], gc=False))
_numbers = operator.attrgetter(*NUMERIC)


def decode_rows(body: bytes) -> Decoded:
    """Decode row JSON."""
    events = _row_decoder.decode(body).events  # type: ignore[attr-defined]  # a struct made at run time
    features = [event.features for event in events]
    numeric = np.ascontiguousarray(np.array([_numbers(f) for f in features], dtype=np.float32).T)
    categorical = [_tally([getattr(f, name) for f in features]) for name in CATEGORICAL]
    return Decoded(numeric, categorical, _tally([event.principal for event in events]))


def decode_columns(body: bytes) -> Decoded:
    """Decode columnar JSON."""
    columns = _column_decoder.decode(body).columns  # type: ignore[attr-defined]  # a struct made at run time
    features = columns.features
    numeric = np.array(_numbers(features), dtype=np.float32)
    return Decoded(numeric, [_tally(getattr(features, name)) for name in CATEGORICAL], _tally(columns.principal))


def _buffer(array: pa.Array, dtype: type[Number]) -> NDArray[Number]:
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def decode_arrow(body: bytes) -> Decoded:
    """Decode an Arrow IPC stream of one batch."""
    batch = pa.ipc.open_stream(body).read_next_batch()
    numeric = np.stack([_buffer(batch.column(f"features.{name}"), np.float32) for name in NUMERIC])
    categorical = []
    for name in CATEGORICAL:
        coded = batch.column(f"features.{name}")
        labels = coded.dictionary.to_pylist()
        categorical.append((labels, np.bincount(_buffer(coded.indices, np.int32), minlength=len(labels))))
    principals = batch.column("principal").value_counts()
    counts = _buffer(principals.field("counts"), np.int64)
    return Decoded(numeric, categorical, (principals.field("values").to_pylist(), counts))


DECODERS: dict[str, Callable[[bytes], Decoded]] = {
    ROW_JSON.name: decode_rows,
    COLUMNAR_JSON.name: decode_columns,
    ARROW.name: decode_arrow,
}


class Floor:
    """Counts that grow with every body, against edges and a projection fixed by reference data."""

    def __init__(self, reference: Stream) -> None:
        sample = np.stack([reference.numeric[name] for name in NUMERIC]).astype(np.float32)
        inner = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
        self._edges = np.ascontiguousarray(np.quantile(sample, inner, axis=1).T.astype(np.float32))
        self._mean = sample.mean(axis=1)
        self._whiten = np.linalg.cholesky(np.linalg.inv(np.cov(sample))).astype(np.float32)
        self._project = np.random.default_rng(0).normal(size=(len(NUMERIC), FOURIER // 2)).astype(np.float32)
        self.histograms = np.zeros((len(NUMERIC), BINS), dtype=np.int64)
        self._below = np.zeros((len(NUMERIC), BINS + 1), dtype=np.int64)
        self.rows = 0
        self.sums = np.zeros((2, len(NUMERIC)))
        self.extremes = np.stack([np.full(len(NUMERIC), np.inf), np.full(len(NUMERIC), -np.inf)])
        self.categories: list[dict[str, int]] = [{} for _ in CATEGORICAL]
        self.sketch = np.zeros((SKETCH_ROWS, 1 << SKETCH_BITS))
        self.fourier = np.zeros(FOURIER)
        self.far = 0

    def add(self, decoded: Decoded) -> None:
        """Count one body."""
        self._count_numbers(decoded.numeric)
        for totals, (labels, counts) in zip(self.categories, decoded.categorical, strict=True):
            for label, count in zip(labels, counts.tolist(), strict=True):
                totals[label] = totals.get(label, 0) + count
        self._count_principals(*decoded.principals)
        self._count_jointly(decoded.numeric.T)

    def _count_numbers(self, numeric: NDArray[np.float32]) -> None:
        ordered = np.sort(numeric, axis=1)
        rows = numeric.shape[1]
        below = self._below
        for cells, values, edges in zip(below, ordered, self._edges, strict=True):
            cells[1:-1] = values.searchsorted(edges, side="right")
        below[:, -1] = rows
        self.histograms += below[:, 1:] - below[:, :-1]
        self.rows += rows
        self.sums[0] += numeric.sum(axis=1)
        self.sums[1] += np.einsum("ij,ij->i", numeric, numeric)
        np.minimum(self.extremes[0], ordered[:, 0], out=self.extremes[0])
        np.maximum(self.extremes[1], ordered[:, -1], out=self.extremes[1])

    def _count_principals(self, names: Sequence[str], counts: NDArray[np.int64]) -> None:
        hashes = np.fromiter(map(hash, names), np.int64, len(names)).view(np.uint64)
        for row, multiplier in enumerate(_MULTIPLIERS):
            cells = ((hashes * multiplier) >> np.uint64(64 - SKETCH_BITS)).astype(np.int64)
            self.sketch[row] += np.bincount(cells, weights=counts, minlength=1 << SKETCH_BITS)

    def _count_jointly(self, rows: NDArray[np.float32]) -> None:
        phase = rows @ self._project
        half = FOURIER // 2
        self.fourier[:half] += np.sin(phase).sum(axis=0)
        self.fourier[half:] += np.cos(phase).sum(axis=0)
        distance = np.square((rows - self._mean) @ self._whiten).sum(axis=1)
        self.far += int(np.count_nonzero(distance > FAR))


def floor_rate(floor: Floor, form: Format, bodies: Sequence[bytes], rows: int, seconds: float) -> float:
    """Return rows per CPU second of one pass after the other over the bodies, for about ``seconds``.

    CPU time, so that a busy neighbour can make the service look worse but never the floor.
    """
    decode = DECODERS[form.name]
    passes, start, elapsed = 0, time.process_time(), 0.0
    while elapsed < seconds:
        for body in bodies:
            floor.add(decode(body))
        passes += 1
        elapsed = time.process_time() - start
    return passes * len(bodies) * rows / elapsed


def yardstick_rate(rows: int = 100_000) -> float:
    """Return rows per second of plain numpy: 20 features, searchsorted into 64 bins and bincount.

    It says how fast this machine was at that moment, and lets figures of different runs be compared.
    """
    values = np.random.default_rng(1).normal(size=(len(NUMERIC), rows))
    edges = np.sort(np.random.default_rng(2).normal(size=BINS - 1))
    start = time.perf_counter()
    for column in values:
        np.bincount(np.searchsorted(edges, column), minlength=BINS)
    return rows / (time.perf_counter() - start)
