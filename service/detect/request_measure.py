"""What single requests are measured with: made of the reference, kept in the baseline's artefact."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline, compile_baseline
from detectors.columns import Codes, ColumnGroup, ColumnKind, ColumnSpec, Values
from detectors.errors import DetectorError
from detectors.requests import KEPT, Constraint, Honest, Judged, Kind, RequestModel, first_broken
from service.detect.columns import columns_of
from service.detect.request_choices import misfits
from service.detect.request_inputs import Inputs, Read
from service.domain.requests import Requests, Rule, RuleKind
from service.domain.schema import PREDICTION, PROBABILITY_PREFIX, Classification, FeatureKind, Schema
from service.frames import Frame

SCORE = "score.request"
"""Column of the fused bets of requests, as logarithms."""
RULE = "score.rule"
"""Column of the rules that requests break."""
CLASSES_MIN = 2
SHOWN = frozenset({Classification.PUBLIC, Classification.INTERNAL})
"""Of features that are classified otherwise no value is shown."""
Warned = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestMeasure:
    """A model of requests, and where in a frame its inputs are."""

    model: RequestModel
    inputs: Inputs
    shown: frozenset[str]
    """Features whose values may be told."""
    rules: tuple[Rule, ...]
    """Those that were declared when it was made."""

    def judged(self, frame: Frame, columns: Mapping[str, Values] | None = None) -> tuple[Read, Judged] | None:
        """Judge the requests of a frame; ``None`` when it lacks what it takes."""
        wanted = self.inputs.wanted
        if columns is None or not all(name in columns for name in wanted):
            columns = columns_of(frame, wanted)
        read = self.inputs.read(frame, columns)
        return None if read is None else (read, self.model.judge(read.batch))

    def columns(self, frame: Frame, columns: Mapping[str, Values]) -> dict[str, Values]:
        """Return what is counted of requests beside all else: their fused bets, and the rules that they break."""
        found = self.judged(frame, columns)
        if found is None:
            return {}
        read, judged = found
        return _columns(np.where(read.good, np.log(judged.bets), np.nan), first_broken(self.model, judged.broken))


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What a reference gives."""

    measure: RequestMeasure | None
    columns: dict[str, Values]
    """What the baseline gets by it, in the order of time."""
    warnings: tuple[Warned, ...]


NOTHING_MADE = Made(None, {}, ())


def make(
    schema: Schema, frame: Frame, columns: Mapping[str, Values], requests: Requests, order: NDArray[np.int64]
) -> Made:
    """Measure a reference, whose rows came in an order; without what it takes, say what is missing.

    Of the ``columns`` all that the schema knows as features are looked at.
    """
    features = [f for f in schema.features if f.name in columns]
    embeddings = [f.name for f in schema.of_kind(FeatureKind.EMBEDDING) if f.name in frame.embeddings]
    if not features and not embeddings:
        return _without("the reference has no features that requests could be compared by")
    classes = tuple(sorted(name for name in columns if name.startswith(PROBABILITY_PREFIX)))
    inputs = Inputs(
        numeric=tuple(f.name for f in features if f.kind is FeatureKind.NUMERIC),
        categorical=tuple(f.name for f in features if f.kind is FeatureKind.CATEGORICAL),
        classes=classes if len(classes) >= CLASSES_MIN else (),
        answered=isinstance(columns.get(PREDICTION), Codes),
        embedding=(embeddings[0], int(frame.embeddings[embeddings[0]].shape[1])) if embeddings else None,
    )
    declared, unfit = _declared(schema, requests, frozenset(inputs.numeric))
    read = inputs.read(frame, columns)
    if read is None:
        return _without("the reference has features of another kind than the schema says")
    good = read.good[order]
    try:
        batch = read.batch.taken(order[good])
        honest = Honest.fit((inputs.numeric, inputs.categorical), batch, declared, mined=requests.mine)
    except DetectorError as error:
        return _without(f"single requests are not looked at: {error}")
    bets, labels = np.full(frame.rows, np.nan), np.full(frame.rows, KEPT, object)
    bets[good] = np.log(honest.bets)
    labels[good] = np.array(honest.rules.labels, object)[honest.rules.codes]
    shown = frozenset(f.name for f in schema.features if f.classification in SHOWN)
    measure = RequestMeasure(model=honest.model, inputs=inputs, shown=shown, rules=requests.rules)
    return Made(measure, _columns(bets, labels), (*unfit, *_broken(honest.model), *_unseen(inputs)))


def with_columns(baseline: Baseline, made: Made, times: NDArray[np.int64] | None) -> Baseline:
    """Return a baseline with the columns of requests as well; rows are in the order of their times."""
    if not made.columns:
        return baseline
    kinds = {SCORE: ColumnKind.NUMERIC, RULE: ColumnKind.CATEGORICAL}
    specs = [
        (ColumnSpec(name=name, kind=kinds[name], group=ColumnGroup.MULTIVARIATE), values)
        for name, values in made.columns.items()
    ]
    more = compile_baseline(specs, blocks=len(baseline.columns[0].blocks), ordered=baseline.ordered, times=times)
    return baseline.joined(more.baseline)


def _columns(bets: NDArray[np.float64], labels: NDArray[Any]) -> dict[str, Values]:
    known, codes = np.unique(labels.astype(str), return_inverse=True)
    rules = Codes(tuple(known.tolist()), np.where(np.isnan(bets), -1, codes).astype(np.int32))
    return {SCORE: bets, RULE: rules}


def _without(text: str) -> Made:
    return Made(None, {}, (_warning(text),))


def _declared(schema: Schema, requests: Requests, numeric: frozenset[str]) -> tuple[list[Constraint], list[Warned]]:
    """Return the declared rules that this version and its reference can be held to, and why not the others."""
    found, warnings = [], []
    for number, rule in enumerate(requests.rules):
        at = f"adversarial.requests.rules[{number}]"
        wrong = [place.reason for place in misfits(rule, schema, at)]
        if not wrong and rule.kind is not RuleKind.IMMUTABLE and not numeric.issuperset(rule.columns):
            wrong = ["a column of it is a clock or an identifier in the reference"]
        if wrong:
            warnings.append(_warning(f"{at} has no effect: {wrong[0]}"))
        elif rule.kind is not RuleKind.IMMUTABLE:
            found.append(
                Constraint(
                    kind=Kind(rule.kind.value),
                    columns=rule.columns,
                    low=-np.inf if rule.low is None else rule.low,
                    high=np.inf if rule.high is None else rule.high,
                    factor=1.0 if rule.factor is None else rule.factor,
                    declared=True,
                )
            )
    return found, warnings


def _broken(model: RequestModel) -> list[Warned]:
    """Say of declared rules that the reference itself does not keep."""
    pairs = zip(model.rules.constraints, model.held_broken.tolist(), strict=True)
    size = model.fusion.size
    return [
        _warning(f"the declared rule '{one.name}' is broken by {broken} of {size} reference requests")
        for one, broken in pairs
        if one.declared and broken
    ]


def _unseen(inputs: Inputs) -> list[Warned]:
    """Say what is not looked at."""
    if inputs.classes:
        return []
    return [_warning("the reference has no class probabilities: of single requests the margin is not looked at")]


def _warning(text: str) -> Warned:
    return {"column": "", "code": "requests", "text": text}
