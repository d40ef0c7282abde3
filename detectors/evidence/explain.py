"""What a baseline tolerates and how strongly it is bet against, in words; and whether it supports a promise at all."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import ROWS_MIN, Baseline, Column, Season
from detectors.baseline.season import settled
from detectors.evidence.bets import Bets, bets_of
from detectors.evidence.calibrate import NATURAL_STDS, Null, null_of
from detectors.evidence.lined import line_tolerance
from detectors.evidence.lines import LINE_NAME
from detectors.evidence.options import ColumnOptions, EvidenceOptions
from detectors.evidence.tilted import names_of, terms
from detectors.spaces import Space

INDEPENDENT_MIN = 20.0
"""A column needs the worth of so many independent rows."""
LEARNED = "distribution"
"""The direction of the learned bet, as blame names it."""
TINY = 1e-12
SMALL = 0.1
"""What smoothing adds is told when it is more than this share of the tolerance."""
LARGE_STAKES = 0.9
"""Below this share of one divided by the inflation, the exponent is not explained by that alone."""
STILL = 1e-9
"""A direction with a smaller standard deviation cannot move, such as the spread of two values that are equally
frequent: what is left of it is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerated:
    """How far a column may move in one direction without being news.

    Parameters
    ----------
    direction : str
        Such as ``mean up`` or ``missing up``; ``distribution`` for the learned bet.
    by : float
        In standard deviations of the direction (for a share ``p`` that is ``sqrt(p * (1 - p))``).
    cause : str
        What decided it: ``minimum_effect``, ``standard_errors`` or ``natural_variation``.
    eta : float
        The largest exponent of the bets on it, from 0 to 1.
    text : str
        One sentence.
    """

    direction: str
    by: float
    cause: str
    eta: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a column tolerates, and how strongly it is bet against.

    Parameters
    ----------
    name : str
        The column.
    rows : int
        Reference rows.
    independent_rows : float
        How many independent rows they are worth, in the direction in which they move together most.
    eta : float
        The smallest exponent of its bets, from 0 to 1.
    text : str
        Why, in one sentence.
    insufficient : str or None
        What is missing for a promise, in one sentence; None when nothing is.
    directions : tuple of Tolerated
        One for each direction, and last one for those that the learned bet finds.
    season : str or None
        Which hours the column follows, in one sentence; None when it follows none.
    """

    name: str
    rows: int
    independent_rows: float
    eta: float
    text: str
    insufficient: str | None
    directions: tuple[Tolerated, ...]
    season: str | None = None


def explain(baseline: Baseline, options: EvidenceOptions, strengths: NDArray[np.float64]) -> tuple[Explanation, ...]:
    """Explain every tolerance and exponent of an engine.

    Parameters
    ----------
    baseline : Baseline
        What is normal.
    options : EvidenceOptions
        What the operator said.
    strengths : ndarray of float64, shape (n_columns,)
        From self-replay.

    Returns
    -------
    tuple of Explanation
        One for each column, in order.

    Notes
    -----
    Costs about as much as making the engine without its self-replay.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> rng = np.random.default_rng(0)
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> baseline = compile_baseline([(spec, rng.normal(size=5000))]).baseline
    >>> found = explain(baseline, EvidenceOptions(), np.ones(1))[0]
    >>> found.text
    'exponent 1: the rows of the reference are independent as far as it tells'
    >>> found.directions[0].text
    'mean up: may move by 0.042 standard deviations: 3 standard errors of 5,000 rows'
    """
    own = options.of(baseline)
    return tuple(
        _explained(baseline, column, options, told, float(strength))
        for column, told, strength in zip(baseline.columns, own, strengths, strict=True)
    )


def _explained(
    baseline: Baseline, column: Column, options: EvidenceOptions, told: ColumnOptions, strength: float
) -> Explanation:
    season, column = column.season, settled(column)
    null = null_of(column, options, told.minimum_effect)
    rows, worst = int(column.counts.sum()), null.dependence.largest
    bets = bets_of(null, told.direction)
    etas = np.append(bets.etas, bets.learned_eta) * strength
    return Explanation(
        name=column.spec.name,
        rows=rows,
        independent_rows=rows / worst,
        eta=float(etas.min()),
        text=_why(baseline, options, null, float(etas.min()), strength),
        insufficient=lacking(column, null),
        directions=(
            *_tolerated(null, options, told.direction, rows, strength),
            *_tilted(baseline, column.spec.name, options, told, strength),
            *_learned(null, bets, options, strength),
        ),
        season=None if season is None else _season(season),
    )


def _season(season: Season) -> str:
    hours = season.counts.sum(axis=1)
    known = hours[hours > 0]
    rows = f"{known.mean():,.0f}" if len(known) else "0"
    text = (
        f"follows the {season.name} (UTC): that makes a row {season.gain:.2g} nats more likely on days left out. "
        f"Events are compared with their own hour, which may be off by one standard error of its {rows} rows on average"
    )
    unknown = len(hours) - len(known)
    return text + (f"; {unknown} of {len(hours)} hours have too few rows, nothing is bet then" if unknown else "")


def _tilted(
    baseline: Baseline, name: str, options: EvidenceOptions, told: ColumnOptions, strength: float
) -> Iterator[Tolerated]:
    """Tell of the bets on sums that a column carries which of them may move furthest: there may be thousands."""
    for space in baseline.tilted:
        if space.tilted != name or space.tilts is None:
            continue
        tolerances, etas = terms(space.tilts, options, told.minimum_effect, ordered=baseline.ordered)
        by = tolerances / np.sqrt(np.maximum(space.tilts.variances, TINY))
        worst = int(np.argmax(by))
        minimum = options.minimum_effect if told.minimum_effect is None else told.minimum_effect
        error = options.standard_errors / float(np.sqrt(space.tilts.rows))
        errors = f"{options.standard_errors:g} standard errors of {space.tilts.rows:,} rows"
        cause, why = _tilt_cause(float(by.flat[worst]), (minimum, error), errors)
        what = "correlation of any two inputs" if space.tilts.products else "any direction"
        text = (
            f"{what}: may move by {by.min():.2g} to {by.max():.2g} standard deviations, by which of {by.size:,} bets "
            f"looks at it; most of all {names_of(space, space.tilts)[worst]}: {why}"
        )
        eta = float(etas.max()) * strength
        yield Tolerated(direction=what, by=float(by.flat[worst]), cause=cause, eta=eta, text=text)
        yield from _lined(baseline, space, options, told, strength)


def _lined(
    baseline: Baseline, space: Space, options: EvidenceOptions, told: ColumnOptions, strength: float
) -> Iterator[Tolerated]:
    """Explain what the bet along a learned line tolerates."""
    if space.line is None:
        return
    growth = baseline.columns[baseline.index[space.tilted]].growth
    own = line_tolerance(space.line, options, told.minimum_effect, ordered=baseline.ordered, growth=growth)
    cause, why = "minimum_effect", "the minimum effect"
    if own.error > own.minimum:
        cause, why = "standard_errors", f"{options.standard_errors:g} standard errors of the worst of all lines"
    if own.ways:
        why += f", and more in {_ways(own.ways)} in which blocks of the reference differ"
    if own.tied:
        why += f"; nothing is bet along {own.tied} {'line' if own.tied == 1 else 'lines'} along which rows are tied"
    text = f"{LINE_NAME}: may move by {own.by:.2g} standard deviations, whichever way: {why}"
    yield Tolerated(direction=LINE_NAME, by=own.by, cause=cause, eta=own.eta * strength, text=text)


def _ways(number: int) -> str:
    return f"{number} {'way' if number == 1 else 'ways'}"


def _why(baseline: Baseline, options: EvidenceOptions, null: Null, eta: float, strength: float) -> str:
    parts, worst = [], null.dependence.largest
    if not options.calibrate:
        parts.append("calibration is switched off")
    elif not baseline.ordered:
        parts.append("the rows of the reference are in no order of time, so nothing can be told about their dependence")
    elif len(null.course):
        parts.append(
            f"{_vary(worst)}, around a slow course over the reference; the learned bet pays for that too: with it they "
            f"vary up to {null.whole.largest:.3g} times as much"
        )
    else:
        parts.append(_vary(worst))
    if options.calibrate and baseline.ordered and eta < LARGE_STAKES * strength / worst:
        parts.append("that is of its largest stakes, small ones have more")
    if strength < 1.0:
        parts.append(f"halved {round(-np.log2(strength))} times, because the reference raised alarms against itself")
    return f"exponent {eta:.3g}: {'; '.join(parts)}"


def _vary(worst: float) -> str:
    if worst > 1.0:
        return (
            f"sums over neighbouring rows of the reference vary up to {worst:.3g} times as much as those of "
            "independent rows would"
        )
    return "the rows of the reference are independent as far as it tells"


def _tolerated(null: Null, options: EvidenceOptions, way: str, rows: int, strength: float) -> Iterator[Tolerated]:
    bets = bets_of(null, way)
    told: set[str] = set()
    for i, name in enumerate(bets.names):
        if name in told:
            continue
        told.add(name)
        values, place = bets.directions[i][None], bets.places[i : i + 1]
        deviation = float(np.sqrt(values[0] ** 2 @ null.variances))
        if deviation < STILL:
            continue
        minimum, error, natural, smoothed = (float(part[0]) / deviation for part in null.parts(values, place))
        inflation = float(null.dependence.error[place[0]])
        by = max(minimum, error, natural)
        cause, why = _cause(by, (minimum, error, natural), options, rows, inflation)
        if cause == "natural_variation" and len(null.course):
            errors = f"{options.standard_errors:g} standard errors of it included"
            why = f"the reference itself went so far in its course, {errors}"
        if smoothed > SMALL * by:
            why += f", and {smoothed:.2g} for what a reference of this size may not have shown"
        own = [eta for eta, other in zip(bets.etas.tolist(), bets.names, strict=True) if other == name]
        text = f"{name}: may move by {by + smoothed:.2g} standard deviations: {why}"
        yield Tolerated(direction=name, by=by + smoothed, cause=cause, eta=max(own) * strength, text=text)


def _learned(null: Null, bets: Bets, options: EvidenceOptions, strength: float) -> Iterator[Tolerated]:
    """Explain what the learned bet tolerates in whatever direction events have taught it."""
    if not bets.learned:
        return
    by, ways = null.learned_effect, len(null.wander)
    why, cause = "the minimum effect", "minimum_effect"
    if by > null.minimum_effect:
        why, cause = f"{options.standard_errors:g} standard errors of the worst of all directions", "standard_errors"
    if ways:
        why += f", and more in {_ways(ways)} in which blocks of the reference differ"
    text = f"{LEARNED}: may move by {by:.2g} standard deviations, whichever way: {why}"
    yield Tolerated(direction=LEARNED, by=by, cause=cause, eta=bets.learned_eta * strength, text=text)


def _cause(
    by: float, parts: tuple[float, float, float], options: EvidenceOptions, rows: int, inflation: float
) -> tuple[str, str]:
    minimum, error, natural = parts
    if by == natural and natural > error:
        return "natural_variation", f"blocks of the reference moved by {natural / NATURAL_STDS:.2g}"
    if by == error and error > minimum:
        worth = f"{rows:,} rows" if inflation <= 1.0 else f"{rows:,} rows that are worth {rows / inflation:,.0f}"
        return "standard_errors", f"{options.standard_errors:g} standard errors of {worth}"
    return "minimum_effect", "the minimum effect"


def _tilt_cause(by: float, parts: tuple[float, float], errors: str) -> tuple[str, str]:
    minimum, error = parts
    if by <= minimum * (1.0 + SMALL):
        return "minimum_effect", "the minimum effect"
    if by <= error * (1.0 + SMALL):
        return "standard_errors", errors
    return "natural_variation", "rows or blocks of the reference that move together"


def lacking(column: Column, null: Null) -> str | None:
    """Tell what a column lacks for a promise.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.
    null : Null
        What is normal for it.

    Returns
    -------
    str or None
        One sentence; None when nothing is missing.
    """
    name, rows = column.spec.name, int(column.counts.sum())
    if np.count_nonzero(column.counts) < 2:  # noqa: PLR2004 - one value has nothing to differ from
        only = column.bin_labels[int(np.argmax(column.counts))]
        return f"column {name!r} holds nothing but {only!r} in {rows} rows: a reference in which it varies is missing"
    worth = rows / null.whole.largest
    if worth < INDEPENDENT_MIN:
        return (
            f"column {name!r}: its {rows} rows move together so much that they are worth {worth:.1f} independent ones; "
            f"at least {INDEPENDENT_MIN:.0f} are needed, so a reference {INDEPENDENT_MIN / worth:.1f} times as long"
        )
    return None


def insufficiency(baseline: Baseline, options: EvidenceOptions | None = None) -> str | None:
    """Tell what a baseline lacks for a promise about false alarms.

    Parameters
    ----------
    baseline : Baseline
        What is normal.
    options : EvidenceOptions, optional
        As for the engine.

    Returns
    -------
    str or None
        One sentence; None when at least one watched column has what it needs.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> insufficiency(compile_baseline([(spec, np.arange(12.0))]).baseline)
    'the reference has 12 rows; a promise about false alarms needs at least 100, and thousands are better'
    >>> insufficiency(compile_baseline([(spec, np.ones(500))]).baseline)
    "column 'x' holds nothing but '1' in 500 rows: a reference in which it varies is missing"
    """
    options = options or EvidenceOptions()
    if baseline.rows < ROWS_MIN:
        plural = "row" if baseline.rows == 1 else "rows"
        return (
            f"the reference has {baseline.rows} {plural}; a promise about false alarms needs at least {ROWS_MIN}, "
            "and thousands are better"
        )
    missing = []
    for column, told in zip(baseline.settled.columns, options.of(baseline), strict=True):
        if told.ignore:
            continue
        lack = lacking(column, null_of(column, options))
        if lack is None:
            return None
        missing.append(lack)
    if len(missing) == 1:
        return missing[0]
    return f"none of {len(missing)} columns supports a promise; the first: {missing[0]}"
