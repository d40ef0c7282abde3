"""Why a request is odd, in words: with its values, and without any."""

from collections.abc import Sequence

import numpy as np

from detectors.requests.constraints import plain
from detectors.requests.model import Batch, Judged, Part, Reason, RequestModel
from detectors.requests.precision import ABSENT, decimals
from detectors.requests.rarity import WIDTH

RULES_TOLD = 5
"""Broken rules that are named."""
RANK_MAX = 0.05
"""Parts with a higher rank have nothing to say."""
FURTHEST = 3
FAR = 1.0
"""Deviations from the middle below which no column is named."""


def reasons(model: RequestModel, batch: Batch, judged: Judged, row: int) -> tuple[Reason, ...]:
    """Say why a request is odd.

    Parameters
    ----------
    model : RequestModel
        That judged it.
    batch : Batch
        It came in.
    judged : Judged
        What was said of the batch.
    row : int
        Its place.

    Returns
    -------
    tuple of Reason
        What is odder than 95 % of the held-out reference requests, the oddest first.

    Notes
    -----
    Costs about 0.3 ms.
    """
    one = batch.taken(np.array([row]))
    ranks = judged.ranks[:, row]
    found: list[Reason] = []
    for place in np.argsort(ranks, kind="stable").tolist():
        if ranks[place] <= RANK_MAX:
            found += _TELL[model.parts[place]](model, one, judged, row)
    return tuple(found)


def _rules(model: RequestModel, one: Batch, judged: Judged, row: int) -> Sequence[Reason]:
    values = dict(zip(model.numeric, plain(one.numeric)[:, 0].tolist(), strict=True))
    broken = np.flatnonzero(judged.broken[:, row]).tolist()
    # Those that held-out requests keep best first.
    broken.sort(key=lambda place: int(model.held_broken[place]))
    told = [model.rules.constraints[place] for place in broken[:RULES_TOLD]]
    found = [
        Reason(part=Part.RULES, columns=rule.columns, said=f"breaks the rule '{rule.name}'", told=rule.told(values))
        for rule in told
    ]
    if len(broken) > RULES_TOLD:
        more = f"breaks {len(broken) - RULES_TOLD} more rules"
        found.append(Reason(part=Part.RULES, columns=(), said=more, told=more))
    return found


def _precision(model: RequestModel, one: Batch, judged: Judged, row: int) -> Sequence[Reason]:  # noqa: ARG001 - as the others
    values = plain(one.numeric)
    column = int(model.precision.each(values)[:, 0].argmax())
    digits, counts = int(decimals(values)[column, 0]), model.precision.counts[column, :ABSENT]
    number = f"{digits} decimal{'' if digits == 1 else 's'}" if digits < ABSENT - 1 else f"{digits} decimals or more"
    said = f"{model.numeric[column]} has {number}, as {counts[digits]} of {counts.sum()} reference requests have"
    return [Reason(part=Part.PRECISION, columns=(), said=said, told=said)]


def _rarity(model: RequestModel, one: Batch, judged: Judged, row: int) -> Sequence[Reason]:  # noqa: ARG001 - as the others
    rarity, values = model.rarity, plain(one.numeric)
    codes = rarity.bins.codes(values, one.categorical)
    place = int(rarity.each(codes)[:, 0].argmax())
    numbers = len(rarity.bins.edges)
    names, words = [], []
    for i in rarity.pairs[place].tolist():
        if i < numbers:
            name, value = model.numeric[i], values[i, 0]
            words.append(f"{name} is {'missing' if np.isnan(value) else f'{value:.9g}'}")
        else:
            name, column = model.categorical[i - numbers], one.categorical[i - numbers]
            code = int(column.codes[0])
            words.append(f"{name} is {repr(column.labels[code][:60]) if code >= 0 else 'missing'}")
        names.append(name)
    cell = int(codes[rarity.pairs[place, 0], 0] * WIDTH + codes[rarity.pairs[place, 1], 0])
    seen = f"of {rarity.counts[place].sum()} reference requests {rarity.counts[place, cell]} are like that"
    said = f"{names[0]} and {names[1]} are a rare combination: {seen}"
    return [Reason(part=Part.RARITY, columns=tuple(names), said=said, told=f"{words[0]} where {words[1]}: {seen}")]


def _distance(model: RequestModel, one: Batch, judged: Judged, row: int) -> Sequence[Reason]:  # noqa: ARG001 - as the others
    far, _ = model.density.measure(one.raw, model._groups(one))  # noqa: SLF001 - of the same package
    said = f"{far[0]:.1f} deviations from the middle of {_whose(model, one)}"
    if one.embedding is None:
        names = [*model.numeric, *model.categorical]
        standard = model.density.placing.standard
        off = np.abs(np.nan_to_num((one.raw[:, 0] - standard.centre) * standard.inverse, posinf=0.0, neginf=0.0))
        furthest = [names[i] for i in np.argsort(-off, kind="stable")[:FURTHEST].tolist() if off[i] > FAR]
        said += f"; furthest from the usual: {', '.join(furthest)}" if furthest else ""
    return [Reason(part=Part.DISTANCE, columns=(), said=said, told=said)]


def _neighbour(model: RequestModel, one: Batch, judged: Judged, row: int) -> Sequence[Reason]:  # noqa: ARG001 - as the others
    _, near = model.density.measure(one.raw, model._groups(one))  # noqa: SLF001 - of the same package
    said = f"{near[0]:.1f} times as far as usual from the nearest of {_whose(model, one)}"
    return [Reason(part=Part.NEIGHBOUR, columns=(), said=said, told=said)]


def _margin(model: RequestModel, one: Batch, judged: Judged, row: int) -> Sequence[Reason]:  # noqa: ARG001 - as the others
    margin = float("nan") if one.margins is None else float(one.margins[0])
    said = f"the two likeliest classes are {margin:.3g} apart"
    return [Reason(part=Part.MARGIN, columns=(), said=said, told=said)]


def _whose(model: RequestModel, one: Batch) -> str:
    name = model.group_name(one)
    return "the reference requests" if name is None else f"the reference requests that were answered {name[:60]!r}"


_TELL = {
    Part.RULES: _rules,
    Part.PRECISION: _precision,
    Part.RARITY: _rarity,
    Part.DISTANCE: _distance,
    Part.NEIGHBOUR: _neighbour,
    Part.MARGIN: _margin,
}
