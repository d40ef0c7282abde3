"""The changes whose delay is measured: 20 columns, one of them changes, or how several relate to each other."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.detection import bounds
from bench.detection.joint import components_of, split
from bench.detection.streams import LABELS, SHARES, Floats, Table, labels, plain_columns
from detectors.columns import Codes, Values
from detectors.scores.norm import norm

COLUMNS = 20
REFERENCE = 20_000
EMBEDDINGS = (16, 64)
TIE = 0.6
APART, APART_BY = 10, 0.7
"""So many tied columns move along a line of whitened columns, by so many deviations."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One change.

    ``make(rng, before, after)`` returns the columns that the change is about, the one that shows most of it first.
    """

    name: str
    kind: str
    make: Callable[[np.random.Generator, int, int], Table]
    kl: float
    how: str
    limited: bool = True

    def table(self, rng: np.random.Generator, before: int, after: int) -> Table:
        """Return all 20 columns."""
        own = self.make(rng, before, after)
        columns, _ = split(own)
        return own | plain_columns(len(columns), COLUMNS, rng, before + after)

    @property
    def changed(self) -> str:
        """The column that shows the change."""
        return next(iter(self.make(np.random.default_rng(0), 1, 1)))


def joined(before: Values, after: Values) -> Values:
    """Return one column after the other."""
    if isinstance(before, Codes) and isinstance(after, Codes):
        return Codes(LABELS, np.concatenate([before.codes, after.codes]))
    if isinstance(before, Codes) or isinstance(after, Codes):
        raise TypeError("columns of two kinds")
    return np.concatenate([before, after])


def _shift(mean: float, scale: float) -> Callable[[np.random.Generator, int, int], Table]:
    def make(rng: np.random.Generator, before: int, after: int) -> Table:
        return {"x0": joined(rng.normal(size=before), mean + scale * rng.normal(size=after))}

    return make


def _student(rng: np.random.Generator, before: int, after: int) -> Table:
    return {"x0": joined(rng.normal(size=before), rng.standard_t(3, size=after) / np.sqrt(3))}


def _shares(after_shares: Floats) -> Callable[[np.random.Generator, int, int], Table]:
    def make(rng: np.random.Generator, before: int, after: int) -> Table:
        return {"c0": joined(labels(rng, before), labels(rng, after, after_shares))}

    return make


def _missing(rng: np.random.Generator, before: int, after: int) -> Table:
    share = np.repeat([0.01, 0.03], [before, after])
    values = rng.normal(size=before + after)
    return {"x0": np.where(rng.random(before + after) < share, np.nan, values)}


def _tied(columns: int) -> Callable[[np.random.Generator, int, int], Table]:
    """Let some columns share a cause after the change, so that each two of them have this correlation."""

    def make(rng: np.random.Generator, before: int, after: int) -> Table:
        cause, *own = rng.normal(size=(1 + columns, before + after))
        rho = np.repeat([0.0, TIE], [before, after])
        return {f"x{j}": np.sqrt(rho) * cause + np.sqrt(1 - rho) * each for j, each in enumerate(own)}

    return make


def _embedding(size: int) -> Callable[[np.random.Generator, int, int], Table]:
    def make(rng: np.random.Generator, before: int, after: int) -> Table:
        vectors = _along_a_line(rng, before, after, size, 1.0)
        return {"score.norm.e": norm(vectors.astype(np.float32))} | components_of(vectors)

    return make


def _along_a_line(rng: np.random.Generator, before: int, after: int, size: int, by: float) -> Floats:
    rows = rng.normal(size=(before + after, size))
    line = rng.normal(size=size)
    rows[before:] += by * line / np.linalg.norm(line)
    return np.asarray(rows)


def _apart(rng: np.random.Generator, before: int, after: int) -> Table:
    """Let ten columns with one cause move along a line of what the cause leaves of them."""
    root = np.linalg.cholesky((1 - TIE) * np.eye(APART) + TIE)
    rows = _along_a_line(rng, before, after, APART, APART_BY) @ root.T
    return {f"x{j}": np.ascontiguousarray(rows[:, j]) for j in range(APART)}


def _moments() -> list[Case]:
    closed = "exact"
    found = [
        Case(name=f"mean + {d:g} sd", kind="x", make=_shift(d, 1), kl=bounds.normal_mean(d), how=closed)
        for d in (0.25, 0.5, 1.0)
    ]
    found += [
        Case(name=f"sd x {s:g}", kind="x", make=_shift(0, s), kl=bounds.normal_scale(s), how=closed) for s in (1.5, 0.7)
    ]
    return found


def cases() -> list[Case]:
    """Return the changes of the table."""
    more = np.array([0.34, 0.3, 0.15, 0.1, 0.11])
    fewer = np.array([0.5, 0.3, 0.05, 0.1, 0.05])
    new, seen = np.append(0.99 * SHARES, 0.01), np.append(SHARES, bounds.HALF_ROW / REFERENCE)
    missing = bounds.shares(np.array([0.03, 0.97]), np.array([0.01, 0.99]))
    heavy = bounds.student_known(3, REFERENCE)
    quadrature = "quadrature; each tail beyond half a reference row is one bin"
    half = "exact; before, the unseen label has half a reference row"
    return [
        *_moments(),
        Case(name="Student t3, same sd", kind="x", make=_student, kl=heavy, how=quadrature),
        Case(name="label 5 % to 11 %", kind="c", make=_shares(more), kl=bounds.shares(more, SHARES), how="exact"),
        Case(name="label 15 % to 5 %", kind="c", make=_shares(fewer), kl=bounds.shares(fewer, SHARES), how="exact"),
        Case(name="missing 1 % to 3 %", kind="m", make=_missing, kl=missing, how="exact"),
        Case(name="unseen label at 1 %", kind="c", make=_shares(new), kl=bounds.shares(new, seen), how=half),
        *(
            Case(name=name, kind=f"p{n}", make=_tied(n), kl=bounds.correlation(TIE, n), how="exact", limited=False)
            for n, name in ((2, "correlation 0 to 0.6"), (5, "the same of five columns"), (COLUMNS, "the same of all"))
        ),
        Case(name="ten tied columns apart", kind="t", make=_apart, kl=APART_BY**2 / 2, how="exact", limited=False),
        *(
            Case(
                name=f"embedding shift, {n} dim.", kind=f"e{n}", make=_embedding(n), kl=0.5, how="exact", limited=False
            )
            for n in EMBEDDINGS
        ),
    ]
