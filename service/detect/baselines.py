"""Baselines as the service holds them: signed, verified before use, and described for people."""

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.effects import Effects, effect_sizes
from detectors.errors import BaselineError
from detectors.evidence.dependence import inflations_of
from detectors.intervals import HIGHEST, LEVEL, effect_intervals, share_intervals
from service.detect.references import References, digest_of, from_bytes
from service.domain.records import BaselineRecord

CONTEXT = b"lazaretto baseline 1\0"
"""Signed with the artefact, so that no other signature made with the same key fits."""
EFFECTS = ("psi", "js", "ks", "wasserstein", "hellinger", "chi2")
INTERVALS = ("psi", "js", "ks", "wasserstein", "hellinger")
"""Effect sizes with an interval."""

TOGETHER = 0.025
"""In so many cases some interval of all columns may miss: half of what 95 % allow, as far out tails are not normal."""
DESCRIBED_MAX = 32
"""So many baselines are kept as views, those that were asked for last."""

Sizes = dict[str, float | None]
Limits = dict[str, tuple[float, float] | None]


class RefusedBaseline(Exception):
    """An artefact whose signature or content is not what was signed."""


def sign(key: bytes, artefact: bytes) -> str:
    """Return the signature of an artefact, 64 hex digits."""
    return hmac.digest(key, CONTEXT + artefact, hashlib.sha256).hex()


def verify(key: bytes, artefact: bytes, signature: str) -> bool:
    """Tell whether a signature is of this artefact."""
    return hmac.compare_digest(sign(key, artefact).encode(), signature.encode())


def load(key: bytes, record: BaselineRecord) -> References:
    """Return the baseline of a record, and those of its segments.

    Raises
    ------
    RefusedBaseline
        When the signature does not fit, or the bytes are no baseline.
    """
    if not verify(key, record.artefact, record.signature):
        raise RefusedBaseline(f"baseline '{record.id}' does not have the signature it was stored with")
    try:
        return from_bytes(record.artefact)
    except BaselineError as error:
        raise RefusedBaseline(f"baseline '{record.id}' cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnView:
    """One column of a baseline: its bins, and how many reference rows fell into each."""

    name: str
    kind: str
    group: str
    bins: tuple[str, ...]
    counts: tuple[int, ...]
    place: slice
    """Where the column lies in a flat vector of counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineView:
    """A baseline as the API and the console show it."""

    digest: str
    rows: int
    total: int
    columns: tuple[ColumnView, ...]
    baseline: Baseline
    _alone: dict[str, Baseline] = field(default_factory=dict, repr=False, compare=False)

    def alone(self, name: str) -> Baseline:
        """Return the baseline of one column, the same each time: what is derived from it is kept with it."""
        if name not in self._alone:
            self._alone[name] = self.baseline.only([name])
        return self._alone[name]


@lru_cache(maxsize=DESCRIBED_MAX)
def describe(artefact: bytes) -> BaselineView:
    """Return what people want to see of an artefact. Raises ``RefusedBaseline`` when the bytes are no baseline.

    Equal artefacts give the same view: what effect sizes work out once for a baseline is kept as long as it may be
    asked for again, so a baseline read anew with every request would fill the memory.
    """
    try:
        baseline = from_bytes(artefact).whole
    except BaselineError as error:
        raise RefusedBaseline(f"the baseline cannot be read: {error}") from error
    return BaselineView(
        digest=digest_of(artefact),
        rows=baseline.rows,
        total=baseline.total,
        columns=tuple(
            ColumnView(
                name=column.spec.name,
                kind=column.spec.kind.value,
                group=column.spec.group.value,
                bins=column.bin_labels,
                counts=tuple(column.counts.tolist()),
                place=place,
            )
            for column, place in zip(baseline.columns, baseline.slices, strict=True)
        ),
        baseline=baseline,
    )


def compared(view: BaselineView, counts: NDArray[np.int64], name: str) -> tuple[Sizes, Limits] | None:
    """Return the effect sizes of one column and their intervals; ``None`` for a column that the baseline lacks."""
    column = next((column for column in view.columns if column.name == name), None)
    if column is None:
        return None
    alone = view.alone(name)
    sizes, limits = sized(alone, counts[column.place])
    return sizes[0], limits[0]


def inflation_of(view: BaselineView, name: str) -> float:
    """Return how many events of a column are worth one independent event."""
    return float(inflations_of(view.alone(name)).largest[0])


def share_limits(hits: Sequence[int], events: int, inflation: float) -> list[tuple[float, float]]:
    """Return between which limits true shares lie, 95 %."""
    limits = share_intervals(np.array(hits, np.int64), events, inflation)
    return [(low, high) for low, high in limits.tolist()]


def largest(view: BaselineView, counts: NDArray[np.int64], *, exactly: bool = True) -> tuple[Sizes, Limits]:
    """Return the largest effect sizes of all columns, and between which limits the largest true ones lie, 95 %.

    A largest effect is above the largest lower end unless some interval misses, and below the largest upper end unless
    that of its own column does. So these are intervals of all columns that hold together.
    """
    columns = len(view.columns)
    level = 1.0 - TOGETHER / columns
    exactly = exactly and level <= HIGHEST
    sizes, limits = sized(view.baseline, counts, level) if exactly else (effect_rows(view.baseline, counts), [])
    found: Limits = {}
    for name in INTERVALS:
        known = [ends for row in limits if (ends := row[name]) is not None]
        found[name] = (max(low for low, _ in known), max(high for _, high in known)) if known else None
    return {name: _largest([row[name] for row in sizes]) for name in EFFECTS}, found


def _largest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None and math.isfinite(value)), default=None)


def sized(baseline: Baseline, counts: NDArray[np.int64], level: float = LEVEL) -> tuple[list[Sizes], list[Limits]]:
    """Return the effect sizes of merged counts and their intervals, in the order of the baseline's columns."""
    effects = effect_sizes(baseline, counts)
    found = effect_intervals(baseline, counts, effects, level)
    table = np.round(np.stack([getattr(found, name) for name in INTERVALS], axis=1), 6)
    limits: list[Limits] = [
        {name: None if math.isnan(low) else (low, high) for name, (low, high) in zip(INTERVALS, row, strict=True)}
        for row in table.tolist()
    ]
    return _rows(effects), limits


def effect_rows(baseline: Baseline, counts: NDArray[np.int64]) -> list[Sizes]:
    """Return the effect sizes of merged counts, in the order of the baseline's columns."""
    return _rows(effect_sizes(baseline, counts))


def _rows(effects: Effects) -> list[Sizes]:
    table = np.round(np.stack([getattr(effects, name) for name in EFFECTS], axis=1), 6)
    return [
        {name: None if math.isnan(value) else value for name, value in zip(EFFECTS, row, strict=True)}
        for row in table.tolist()
    ]
