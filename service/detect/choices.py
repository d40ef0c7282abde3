"""What is wrong with what a policy says: contradictions, and columns and groups that nobody has.

What only a baseline can tell is not refused, because a policy holds for versions and baselines to come: see
``service.detect.tuning``.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from detectors.evidence import GROUPS
from service.detect.follow_choices import bad_size_for
from service.detect.request_choices import bad_rules_for
from service.detect.segment_choices import bad_segments, bad_segments_for
from service.domain.adversarial import bad_adversarial
from service.domain.errors import Place
from service.domain.policy import SECONDS_PER_DAY, Action, ColumnChoice, Direction, Policy
from service.domain.records import Version
from service.domain.schema import (
    ERROR,
    LATENCY,
    PREDICTION,
    RESERVED_PREFIXES,
    FeatureKind,
    PredictionKind,
    Schema,
    Treatment,
)
from service.domain.texts import bad_text

PLACES_MAX = 100
ALONE = {"latency": LATENCY, "error": ERROR}
"""Groups with a single column."""
STRENGTH = {action: rank for rank, action in enumerate(Action)}


def bad_choices(policy: Policy, at: str = "") -> list[Place]:
    """Return what a policy says against itself, and groups that do not exist; ``at`` is where the policy stands."""
    found = [*_empty_promise(policy, at), *_unwatched(policy, at)]
    found += [place for name, choice in policy.columns.items() for place in _contradictions(at, name, choice)]
    found += [
        Place(f"{at}shares.{group[:100]}", f"there is no such group; known: {', '.join(GROUPS)}")
        for group in policy.shares
        if group not in GROUPS
    ]
    found += bad_segments(policy, at)
    found += bad_adversarial(policy.adversarial, f"{at}adversarial.")
    if STRENGTH[policy.actions.stale] > STRENGTH[Action.NOTIFY]:
        reason = f"is '{policy.actions.stale}', but silence takes no traffic away: it must be 'record' or 'notify'"
        found.append(Place(f"{at}actions.stale", reason))
    return found[:PLACES_MAX]


def bad_for(versions: Sequence[Version], policy: Policy, at: str = "") -> list[Place]:
    """Return what a policy says that fits none of a model's versions; nothing while there are none."""
    if not versions:
        return []
    kinds: dict[str, dict[FeatureKind, str]] = {}
    for version in versions:
        for name, kind, place in _columns_of(version.schema):
            kinds.setdefault(name, {})[kind] = f"versions.{version.version}.schema.{place}.kind"
    found: list[Place] = []
    for name, choice in policy.columns.items():
        if name in kinds:
            found += _misfits(f"{at}columns.{name}", choice, kinds[name])
        elif not name.startswith(RESERVED_PREFIXES):
            found.append(Place(f"{at}columns.{name[:100]}", _unknown(name, kinds)))
    found += bad_segments_for(versions, policy, at)
    found += bad_rules_for(versions, policy, at)
    found += bad_size_for(versions, policy, at)
    return found[:PLACES_MAX]


def _empty_promise(policy: Policy, at: str) -> Iterator[Place]:
    """Yield both places when the budget allows an alarm at every tick: evidence of nothing would reach it."""
    budget = policy.budget
    if budget.per_days * SECONDS_PER_DAY > budget.false_alarms * policy.tick_seconds:
        return
    allows = f"allows {budget.false_alarms:g} false alarms in {budget.per_days:g} days"
    tick = f"{policy.tick_seconds:g}"
    yield Place(f"{at}budget", f"{allows}, but {at}tick_seconds of {tick} gives no more ticks than that")
    yield Place(f"{at}tick_seconds", f"is {tick}, but {at}budget {allows}: nothing could be promised")


def _unwatched(policy: Policy, at: str) -> Iterator[Place]:
    """Yield both places where something has a part of the budget, or is counted, that the policy does not watch."""
    if not policy.traffic.learn_days:
        none = f"{at}traffic.learn_days is 0, which watches no traffic"
        if "traffic" in policy.shares:
            share = f"{policy.shares['traffic']:g}"
            yield Place(f"{at}shares.traffic", f"is {share}, but {none}: say one or the other")
            yield Place(f"{at}traffic.learn_days", f"is 0, but {at}shares.traffic is {share}: say one or the other")
        if policy.traffic.duplicates:
            yield Place(f"{at}traffic.duplicates", f"is true, but {none}: say one or the other")
            yield Place(f"{at}traffic.learn_days", f"is 0, but {at}traffic.duplicates is true: say one or the other")
    for group, name in ALONE.items():
        if group in policy.shares and policy.columns.get(name, ColumnChoice()).ignore:
            share, ignored = f"{at}shares.{group}", f"{at}columns.{name}.ignore"
            yield Place(share, f"is {policy.shares[group]:g}, but {ignored} is true, and the group has no other column")
            yield Place(ignored, f"is true, but {share} gives its group a part of the budget: say one or the other")


def _contradictions(at: str, name: str, choice: ColumnChoice) -> Iterator[Place]:
    place = f"{at}columns.{name[:100]}"
    yield from bad_text(place, name)
    if not choice.ignore:
        return
    default = ColumnChoice()
    for key in ("direction", "minimum_effect", "weight"):
        said = getattr(choice, key)
        if said != getattr(default, key):
            yield Place(f"{place}.{key}", f"is {said}, but {place}.ignore is true: say one or the other")
            yield Place(f"{place}.ignore", f"is true, but {place}.{key} is {said}: say one or the other")


def _misfits(place: str, choice: ColumnChoice, kinds: dict[FeatureKind, str]) -> Iterator[Place]:
    if choice.direction is Direction.BOTH or FeatureKind.NUMERIC in kinds:
        return
    other = kinds[FeatureKind.CATEGORICAL]
    yield Place(f"{place}.direction", f"is '{choice.direction}', but {other} is categorical: labels have no order")
    yield Place(other, f"is categorical, but {place}.direction is '{choice.direction}'")


def _columns_of(schema: Schema) -> Iterator[tuple[str, FeatureKind, str]]:
    """Yield the columns that a schema declares: name, kind, and where it says so."""
    for feature in schema.features:
        if feature.treatment is not Treatment.DROP and feature.kind is not FeatureKind.EMBEDDING:
            yield feature.name, feature.kind, f"features.{feature.name}"
    kind = FeatureKind.CATEGORICAL if schema.prediction.kind is PredictionKind.CLASS else FeatureKind.NUMERIC
    yield PREDICTION, kind, "prediction"
    yield LATENCY, FeatureKind.NUMERIC, LATENCY
    yield ERROR, FeatureKind.CATEGORICAL, ERROR


def _unknown(name: str, known: Iterable[str]) -> str:
    nearest = get_close_matches(name, known, n=1)
    hint = f"; the nearest is '{nearest[0]}'" if nearest else ""
    return f"no version of the model has such a column{hint}"
