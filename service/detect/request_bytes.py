"""What single requests are measured with, as bytes in the baseline's artefact."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import BaselineError, DetectorError
from detectors.exact import Fitted
from detectors.requests import Constraint, Kind, Part, RequestModel, Rules
from detectors.requests.density import Density, Group, Placing
from detectors.requests.fuse import Fusion
from detectors.requests.precision import ABSENT, Precision
from detectors.requests.rarity import WIDTH, Bins, Rarity
from detectors.spaces import Standard
from service.detect.request_inputs import Inputs
from service.detect.request_measure import RequestMeasure
from service.domain.requests import Rule


class _Group(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    exponent: int
    usual: float
    weights: bytes
    offsets: bytes
    places: bytes


class _Stored(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    classes: tuple[str, ...]
    answered: bool
    embedding: tuple[str, int] | None
    shown: tuple[str, ...]
    rules: tuple[Rule, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    constraints: tuple[tuple[str, tuple[str, ...], float, float, float, bool], ...]
    parts: tuple[str, ...]
    rows: int
    groups: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    edges: list[bytes]
    standards: list[tuple[bytes, bytes]]
    dimensions: int
    fits: list[_Group]
    held: bytes
    held_broken: bytes
    precision: bytes
    pairs: bytes
    pair_counts: bytes


def to_bytes(measure: RequestMeasure) -> bytes:
    """Return the bytes of a measure; the same one gives the same bytes."""
    model = measure.model
    density, rarity = model.density, model.rarity
    standards = [one for one in (density.placing.standard, density.placing.projected) if one is not None]
    stored = _Stored(
        classes=measure.inputs.classes,
        answered=measure.inputs.answered,
        embedding=measure.inputs.embedding,
        shown=tuple(sorted(measure.shown)),
        rules=measure.rules,
        numeric=model.numeric,
        categorical=model.categorical,
        constraints=tuple(
            (one.kind.value, one.columns, one.low, one.high, one.factor, one.declared)
            for one in model.rules.constraints
        ),
        parts=tuple(part.value for part in model.parts),
        rows=model.rows,
        groups=density.classes,
        labels=rarity.bins.labels,
        edges=[_bytes(edges, "<f8") for edges in rarity.bins.edges],
        standards=[(_bytes(one.centre, "<f8"), _bytes(one.inverse, "<f8")) for one in standards],
        dimensions=int(density.groups[0].places.shape[1]),
        fits=[
            _Group(
                exponent=group.fitted.exponent,
                usual=group.usual,
                weights=_bytes(group.fitted.weights, "<i4"),
                offsets=_bytes(group.fitted.offsets, "<i8"),
                places=_bytes(group.places, "<i2"),
            )
            for group in density.groups
        ],
        held=_bytes(model.fusion.held, "<f8"),
        held_broken=_bytes(model.held_broken, "<i8"),
        precision=_bytes(model.precision.counts, "<i8"),
        pairs=_bytes(rarity.pairs, "<i8"),
        pair_counts=_bytes(rarity.counts, "<i4"),
    )
    return msgspec.msgpack.encode(stored)


def from_bytes(content: bytes) -> RequestMeasure:
    """Read the bytes of a measure.

    Raises
    ------
    BaselineError
        When they are none.
    """
    try:
        stored = msgspec.msgpack.decode(content, type=_Stored)
        return _measure(stored)
    except (msgspec.MsgspecError, DetectorError, ValueError, IndexError) as error:
        raise BaselineError(f"not a measure of requests: {error}") from error


def _measure(stored: _Stored) -> RequestMeasure:
    rules = Rules(names=stored.numeric, constraints=tuple(_constraints(stored)))
    standards = [Standard(centre=_read(a, "<f8", (-1,)), inverse=_read(b, "<f8", (-1,))) for a, b in stored.standards]
    placing = Placing(standard=standards[0], projected=standards[1] if standards[1:] else None)
    inputs = len(stored.edges) + len(stored.labels)
    pairs = _read(stored.pairs, "<i8", (-1, 2)).astype(np.int64)
    counts = _read(stored.pair_counts, "<i4", (-1, WIDTH * WIDTH)).astype(np.int64)
    _demand(len(pairs) == len(counts) and bool(((pairs >= 0) & (pairs < inputs)).all()))
    precision = _read(stored.precision, "<i8", (-1, ABSENT + 1)).astype(np.int64)
    held_broken = _read(stored.held_broken, "<i8", (-1,)).astype(np.int64)
    _demand(len(held_broken) == len(rules.constraints) and len(stored.fits) == len(stored.groups) + 1)
    model = RequestModel(
        numeric=stored.numeric,
        categorical=stored.categorical,
        rules=rules,
        precision=Precision.of(precision),
        rarity=Rarity(Bins(tuple(_read(one, "<f8", (-1,)) for one in stored.edges), stored.labels), pairs, counts),
        density=Density(placing=placing, classes=stored.groups, groups=tuple(_groups(stored))),
        parts=tuple(Part(part) for part in stored.parts),
        fusion=Fusion(_read(stored.held, "<f8", (len(stored.parts), -1)).astype(np.float64)),
        held_broken=held_broken,
        rows=stored.rows,
    )
    return RequestMeasure(
        model=model,
        inputs=Inputs(
            numeric=stored.numeric,
            categorical=stored.categorical,
            classes=stored.classes,
            answered=stored.answered,
            embedding=stored.embedding,
        ),
        shown=frozenset(stored.shown),
        rules=stored.rules,
    )


def _constraints(stored: _Stored) -> Iterator[Constraint]:
    for kind, columns, low, high, factor, declared in stored.constraints:
        yield Constraint(kind=Kind(kind), columns=columns, low=low, high=high, factor=factor, declared=declared)


def _groups(stored: _Stored) -> Iterator[Group]:
    size = stored.dimensions
    for one in stored.fits:
        fitted = Fitted(
            weights=_read(one.weights, "<i4", (size, size)).astype(np.int32),
            offsets=_read(one.offsets, "<i8", (size,)).astype(np.int64),
            exponent=one.exponent,
            amplitudes=np.zeros(0, np.int32),
        )
        places = _read(one.places, "<i2", (-1, size)).astype(np.float32)
        yield Group(fitted=fitted, places=places, usual=one.usual)


def _demand(holds: bool) -> None:  # noqa: FBT001 - reads as the condition it is
    if not holds:
        raise ValueError("its parts do not fit each other")


def _bytes(values: NDArray[Any], kind: str) -> bytes:
    return np.ascontiguousarray(values).astype(kind).tobytes()


def _read(content: bytes, kind: str, shape: Sequence[int]) -> NDArray[Any]:
    return np.frombuffer(content, kind).reshape(shape)
