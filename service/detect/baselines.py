"""Baselines as the service holds them: signed, verified before use, and described for people."""

import hashlib
import hmac
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.effects import effect_sizes
from detectors.errors import BaselineError
from service.domain.records import BaselineRecord

CONTEXT = b"lazaretto baseline 1\0"
"""Signed with the artefact, so that no other signature made with the same key fits."""
EFFECTS = ("psi", "js", "ks", "wasserstein", "hellinger", "chi2")


class RefusedBaseline(Exception):
    """An artefact whose signature or content is not what was signed."""


def sign(key: bytes, artefact: bytes) -> str:
    """Return the signature of an artefact, 64 hex digits."""
    return hmac.digest(key, CONTEXT + artefact, hashlib.sha256).hex()


def verify(key: bytes, artefact: bytes, signature: str) -> bool:
    """Tell whether a signature is of this artefact."""
    return hmac.compare_digest(sign(key, artefact).encode(), signature.encode())


def load(key: bytes, record: BaselineRecord) -> Baseline:
    """Return the baseline of a record.

    Raises
    ------
    RefusedBaseline
        When the signature does not fit, or the bytes are no baseline.
    """
    if not verify(key, record.artefact, record.signature):
        raise RefusedBaseline(f"baseline '{record.id}' does not have the signature it was stored with")
    try:
        return Baseline.from_bytes(record.artefact)
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


def describe(artefact: bytes) -> BaselineView:
    """Return what people want to see of an artefact. Raises ``RefusedBaseline`` when the bytes are no baseline."""
    try:
        baseline = Baseline.from_bytes(artefact)
    except BaselineError as error:
        raise RefusedBaseline(f"the baseline cannot be read: {error}") from error
    return BaselineView(
        digest=baseline.digest,
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


def effects_of(view: BaselineView, counts: NDArray[np.int64]) -> dict[str, dict[str, float | None]]:
    """Return the effect sizes of merged counts by column; ``None`` where one is undefined."""
    return dict(zip((c.name for c in view.columns), effect_rows(view.baseline, counts), strict=True))


def effect_rows(baseline: Baseline, counts: NDArray[np.int64]) -> list[dict[str, float | None]]:
    """Return the effect sizes of merged counts, in the order of the baseline's columns."""
    effects = effect_sizes(baseline, counts)
    table = np.round(np.stack([getattr(effects, name) for name in EFFECTS], axis=1), 6)
    return [
        {name: None if math.isnan(value) else value for name, value in zip(EFFECTS, row, strict=True)}
        for row in table.tolist()
    ]
