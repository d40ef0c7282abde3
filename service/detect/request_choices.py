"""Which of the rules that a policy declares about requests fit a schema.

As with other choices, a column is refused only when it fits none of the model's versions.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from service.domain.errors import Place
from service.domain.policy import Policy
from service.domain.records import Version
from service.domain.requests import Rule, RuleKind
from service.domain.schema import Feature, FeatureKind, Schema, Treatment


def bad_rules_for(versions: Sequence[Version], policy: Policy, at: str) -> list[Place]:
    """Return why declared rules fit none of a model's versions; nothing for those that fit one."""
    chosen = policy.adversarial.requests
    found: list[Place] = []
    for number, rule in enumerate(() if chosen is None else chosen.rules):
        place = f"{at}adversarial.requests.rules[{number}]"
        told = [list(misfits(rule, version.schema, place)) for version in versions]
        if told and all(told):
            found += told[-1]
    return found


def misfits(rule: Rule, schema: Schema, at: str) -> Iterator[Place]:
    """Yield the columns of a rule that a schema does not have as the rule needs them."""
    stored = {f.name: f for f in schema.features if f.treatment is not Treatment.DROP}
    for place, name in enumerate(rule.columns):
        if rule.kind is RuleKind.IMMUTABLE:
            yield from _misfit(f"{at}.columns[{place}]", name, stored, _IMMUTABLE)
        else:
            yield from _misfit(f"{at}.columns[{place}]", name, stored, _NUMERIC)
    if rule.entity is not None:
        yield from _misfit(f"{at}.entity", rule.entity, stored, _ENTITY)
        feature = stored.get(rule.entity)
        if feature is not None and feature.treatment is Treatment.BUCKET:
            yield Place(f"{at}.entity", f"is '{rule.entity[:100]}', whose treatment 'bucket' leaves no entity to know")


_NUMERIC = frozenset({FeatureKind.NUMERIC})
_ENTITY = frozenset({FeatureKind.CATEGORICAL})
_IMMUTABLE = _NUMERIC | _ENTITY


def _misfit(at: str, name: str, stored: Mapping[str, Feature], kinds: frozenset[FeatureKind]) -> Iterator[Place]:
    feature = stored.get(name)
    if feature is None:
        nearest = get_close_matches(name, stored, n=1)
        hint = f"; the nearest is '{nearest[0]}'" if nearest else ""
        yield Place(at, f"is '{name[:100]}', but no version stores such a feature{hint}")
    elif feature.kind not in kinds:
        yield Place(at, f"is '{name[:100]}', which is {feature.kind}: it must be {' or '.join(sorted(kinds))}")
