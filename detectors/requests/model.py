"""What a reference teaches about single requests, and what it says of each one that comes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes
from detectors.errors import DetectorError
from detectors.numbers import place_of
from detectors.requests.constraints import Constraint, Rules, plain, reduced
from detectors.requests.density import Density
from detectors.requests.fuse import Fusion
from detectors.requests.mining import mine
from detectors.requests.precision import Precision
from detectors.requests.rarity import Rarity

ROWS_MIN = 200
"""Reference requests, at least: a half to learn from, a half to compare with."""
ROWS_MAX = 40_000
"""More of them are thinned out evenly."""
BLOCKS = 20
"""Of neighbouring rows: every other one is held out."""


class Part(StrEnum):
    """What is looked at.

    Examples
    --------
    >>> Part("margin")
    <Part.MARGIN: 'margin'>
    """

    RULES = "rules"
    """How many rules are broken."""
    PRECISION = "precision"
    """Decimals that the columns do not have."""
    RARITY = "rarity"
    """Combinations of two inputs that hardly anybody has."""
    DISTANCE = "distance"
    """Mahalanobis distance from the requests with the same answer."""
    NEIGHBOUR = "neighbour"
    """Distance to the nearest of them."""
    MARGIN = "margin"
    """How close the two likeliest classes are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Some requests.

    Parameters
    ----------
    numeric : ndarray of float64, shape (n_numeric, n)
        NaN is missing, infinite invalid.
    categorical : tuple of Codes
        Of as many requests.
    embedding : ndarray of float32, shape (n, dimension), optional
        Where distances are measured; else they are between the other inputs.
    answers : Codes, optional
        The predicted classes.
    margins : ndarray of float64, shape (n,), optional
        Between the two likeliest classes; NaN where nobody knows.
    """

    numeric: NDArray[np.float64]
    categorical: tuple[Codes, ...] = ()
    embedding: NDArray[np.float32] | None = None
    answers: Codes | None = None
    margins: NDArray[np.float64] | None = None

    @property
    def rows(self) -> int:
        """How many requests there are."""
        return int(self.numeric.shape[1]) if self.embedding is None else len(self.embedding)

    @property
    def raw(self) -> NDArray[np.floating]:
        """What distances are between, shape (n_raw, n)."""
        if self.embedding is not None:
            return self.embedding.T
        # Codes -2 and -1 count from the end of these tables: invalid and missing.
        located = [np.array([*map(place_of, c.labels), np.nan, np.nan])[c.codes] for c in self.categorical]
        return np.concatenate([self.numeric, np.array(located).reshape(len(located), self.numeric.shape[1])])

    def taken(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Batch":
        """Return some of the requests.

        Parameters
        ----------
        rows : ndarray
            Their places, or which of all they are.

        Returns
        -------
        Batch
            Copies.
        """
        answers = self.answers
        return Batch(
            numeric=self.numeric[:, rows],
            categorical=tuple(Codes(c.labels, c.codes[rows]) for c in self.categorical),
            embedding=None if self.embedding is None else self.embedding[rows],
            answers=None if answers is None else Codes(answers.labels, answers.codes[rows]),
            margins=None if self.margins is None else self.margins[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What is said of some requests.

    Parameters
    ----------
    bets : ndarray of float64, shape (n,)
        The fused bets: high is odd, and tells apart what is odder than every reference request.
    scores : ndarray of float64, shape (n,)
        0 to 1: one less the conformal rank. Of ordinary requests at most a share ``a`` has ``1 - a`` or more.
    ranks : ndarray of float64, shape (n_parts, n)
        The conformal rank of each part.
    broken : ndarray of bool, shape (n_constraints, n)
        Which rules are broken.
    """

    bets: NDArray[np.float64]
    scores: NDArray[np.float64]
    ranks: NDArray[np.float64]
    broken: NDArray[np.bool_]

    def taken(self, row: int) -> "Judged":
        """Return what is said of one request.

        Parameters
        ----------
        row : int
            Its place.

        Returns
        -------
        Judged
            A copy.
        """
        place = slice(row, row + 1)
        return Judged(
            self.bets[place].copy(),
            self.scores[place].copy(),
            self.ranks[:, place].copy(),
            self.broken[:, place].copy(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a request is odd.

    Parameters
    ----------
    part : Part
        What saw it.
    columns : tuple of str
        Which columns ``told`` gives values of.
    said : str
        Without a value of the request or of the reference.
    told : str
        With them.
    """

    part: Part
    columns: tuple[str, ...]
    said: str
    told: str


@dataclass(frozen=True, kw_only=True, eq=False)
class RequestModel:
    """What requests are compared with.

    Parameters
    ----------
    numeric, categorical : tuple of str
        Names of the inputs, in the order in which a batch has them.
    rules : Rules
        Declared and mined ones.
    precision : Precision
        Of the numeric inputs.
    rarity : Rarity
        Of all inputs.
    density : Density
        Of the embedding, or of all inputs.
    parts : tuple of Part
        What there is to look at, in the order of the ranks.
    fusion : Fusion
        Scores of the held-out requests.
    held_broken : ndarray of int64, shape (n_constraints,)
        How many held-out requests break each rule.
    rows : int
        Reference requests that it was learnt from.

    Notes
    -----
    Memory is bounded: 8 bytes for each part of at most 20,000 held-out requests, at most 40 kB for each of at most 65
    classes, 2.3 kB for each of at most 128 pairs.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    rules: Rules
    precision: Precision
    rarity: Rarity
    density: Density
    parts: tuple[Part, ...]
    fusion: Fusion
    held_broken: NDArray[np.int64]
    rows: int

    @classmethod
    def fit(
        cls,
        names: tuple[tuple[str, ...], tuple[str, ...]],
        reference: Batch,
        declared: Sequence[Constraint] = (),
        *,
        mined: bool = True,
        swap: bool = False,
    ) -> "RequestModel":
        """Learn from a reference.

        Parameters
        ----------
        names : tuple of two tuples of str
            Of the numeric and of the categorical inputs.
        reference : Batch
            In the order in which they came.
        declared : sequence of Constraint
            Rules that a person knows; about numeric inputs.
        mined : bool, optional
            Whether the reference is asked for rules as well.
        swap : bool, optional
            Learn from the half that else is held out, and the other way round.

        Returns
        -------
        RequestModel
            Learnt from every other twentieth, and ranked against those between.

        Raises
        ------
        DetectorError
            With fewer than 200 requests, or a rule that does not fit.
        """
        if reference.rows < ROWS_MIN:
            raise DetectorError(f"{reference.rows} reference requests; at least {ROWS_MIN} are needed")
        first, second = halves(reference.rows)
        learnt, held = (reference.taken(rows) for rows in ((second, first) if swap else (first, second)))
        values = plain(learnt.numeric)
        found = mine(names[0], learnt.numeric) if mined else ()
        rules = Rules(names=names[0], constraints=reduced([*declared, *found]))
        answers = learnt.answers
        codes = np.full(learnt.rows, -1, np.int64) if answers is None else answers.codes.astype(np.int64)
        precision, rarity = Precision.fit(values), Rarity.fit(values, learnt.categorical)
        density = Density.fit(learnt.raw, codes, () if answers is None else answers.labels)
        parts = _parts(rules, precision, rarity, reference)
        blank = Fusion(np.zeros((len(parts), ROWS_MIN)))
        draft = cls(
            numeric=names[0],
            categorical=names[1],
            rules=rules,
            precision=precision,
            rarity=rarity,
            density=density,
            parts=parts,
            fusion=blank,
            held_broken=np.zeros(len(rules.constraints), np.int64),
            rows=len(first) + len(second),
        )
        scores, broken = draft.measure(held)
        told = {**vars(draft), "fusion": Fusion(scores), "held_broken": broken.sum(axis=1)}
        return cls(**{name: told[name] for name in cls.__dataclass_fields__})

    def measure(self, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Measure requests.

        Parameters
        ----------
        batch : Batch
            With the inputs of the reference.

        Returns
        -------
        scores : ndarray of float64, shape (n_parts, n)
            High is odd; -inf where a part cannot tell.
        broken : ndarray of bool, shape (n_constraints, n)
            Which rules are broken.
        """
        values = plain(batch.numeric)
        broken = self.rules.broken(values)
        found: dict[Part, NDArray[np.floating] | NDArray[np.integer]] = {Part.RULES: broken.sum(axis=0)}
        if Part.PRECISION in self.parts:
            found[Part.PRECISION] = self.precision.each(values).sum(axis=0)
        if Part.RARITY in self.parts:
            found[Part.RARITY] = self.rarity.each(self.rarity.bins.codes(values, batch.categorical)).sum(axis=0)
        far, near = self.density.measure(batch.raw, self._groups(batch))
        found |= {Part.DISTANCE: far, Part.NEIGHBOUR: near}
        if batch.margins is not None:
            found[Part.MARGIN] = np.where(np.isfinite(batch.margins), -batch.margins, -np.inf)
        nothing = np.full(batch.rows, -np.inf)
        return np.array([found.get(part, nothing) for part in self.parts], np.float64), broken

    def judge(self, batch: Batch) -> Judged:
        """Say how odd requests are.

        Parameters
        ----------
        batch : Batch
            With the inputs of the reference.

        Returns
        -------
        Judged
            The same bits for a request in whatever batch it comes.

        Notes
        -----
        With 25 columns a request costs 5 to 15 µs in a batch of 1,000, and a call half a millisecond.
        """
        scores, broken = self.measure(batch)
        bets, fused, ranks = self.fusion.ranks(scores)
        return Judged(bets, 1.0 - fused, ranks, broken)

    def _groups(self, batch: Batch) -> NDArray[np.int64]:
        if batch.answers is None:
            return np.full(batch.rows, len(self.density.classes), np.int64)
        return self.density.group_of(batch.answers.labels, batch.answers.codes.astype(np.int64))

    def group_name(self, batch: Batch) -> str | None:
        """Return the class that a single request is compared with.

        Parameters
        ----------
        batch : Batch
            Of one request.

        Returns
        -------
        str or None
            None where it is compared with all of them.
        """
        place = int(self._groups(batch)[0])
        return self.density.classes[place] if place < len(self.density.classes) else None


def halves(rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the reference requests to learn from, and those to compare with.

    Parameters
    ----------
    rows : int
        Of the reference.

    Returns
    -------
    learnt : ndarray of int64
        Blocks of neighbours, in turn with the others.
    held : ndarray of int64
        Blocks of neighbours in turn, so that both come from all times; of many rows, evenly thinned out.
    """
    chosen = np.linspace(0, rows - 1, min(rows, ROWS_MAX)).astype(np.int64)
    odd = (np.arange(len(chosen)) * BLOCKS // len(chosen)) % 2 == 1
    return chosen[~odd], chosen[odd]


def _parts(rules: Rules, precision: Precision, rarity: Rarity, reference: Batch) -> tuple[Part, ...]:
    """Return what there is to look at."""
    there = {
        Part.RULES: bool(rules.constraints),
        Part.PRECISION: bool(len(precision.counts)),
        Part.RARITY: bool(len(rarity.pairs)),
        Part.DISTANCE: True,
        Part.NEIGHBOUR: True,
        Part.MARGIN: reference.margins is not None and bool(np.isfinite(reference.margins).any()),
    }
    return tuple(part for part, is_there in there.items() if is_there)
