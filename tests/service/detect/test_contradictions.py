"""What a policy says against itself, or against the schemas that are known: each is told at both places."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from service.detect.choices import bad_choices, bad_for
from service.domain.policy import Policy
from service.domain.records import Version
from service.domain.requests import RULES_MAX
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema, Treatment
from tests.service.worker.world import make_version

RULES = "adversarial.requests.rules"
SIZE = "adversarial.follow.size"


def policy_of(told: dict[str, Any]) -> Policy:
    return msgspec.convert(told, Policy)


def ruled(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"adversarial": {"requests": {"rules": list(rules)}}}


def rule(kind: str, *columns: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "columns": list(columns), **more}


def places(told: dict[str, Any]) -> dict[str, str]:
    return {place.at: place.reason for place in bad_choices(policy_of(told))}


@pytest.mark.parametrize(
    ("told", "first", "second"),
    [
        ({"columns": {"age": {"ignore": True, "weight": 2}}}, "columns.age.weight", "columns.age.ignore"),
        ({"columns": {"age": {"ignore": True, "direction": "up"}}}, "columns.age.direction", "columns.age.ignore"),
        (
            {"columns": {"age": {"ignore": True, "minimum_effect": 0.1}}},
            "columns.age.minimum_effect",
            "columns.age.ignore",
        ),
        ({"budget": {"false_alarms": 30, "per_days": 1}, "tick_seconds": 3600}, "budget", "tick_seconds"),
        ({"traffic": {"learn_days": 0}, "shares": {"traffic": 2}}, "shares.traffic", "traffic.learn_days"),
        ({"traffic": {"learn_days": 0, "duplicates": True}}, "traffic.duplicates", "traffic.learn_days"),
        (
            {"shares": {"latency": 2}, "columns": {"latency_ms": {"ignore": True}}},
            "shares.latency",
            "columns.latency_ms.ignore",
        ),
        ({"shares": {"error": 1}, "columns": {"error": {"ignore": True}}}, "shares.error", "columns.error.ignore"),
        ({"segments": {"column": "country", "values": ["a", "b", "a"]}}, "segments.values[2]", "segments.values[0]"),
        (
            {"adversarial": {"explainers": ["x", "y", "x"]}},
            "adversarial.explainers[2]",
            "adversarial.explainers[0]",
        ),
        (
            {"adversarial": {"enforce_containment": True, "contain_hours": 0.1}},
            "adversarial.enforce_after_seconds",
            "adversarial.contain_hours",
        ),
        (
            {
                "adversarial": {
                    "enforce_containment": True,
                    "probing": "notify",
                    "intent": "notify",
                    "extraction": "record",
                    "persistence": "notify",
                }
            },
            "adversarial.enforce_containment",
            "adversarial.intent",
        ),
        (ruled(rule("range", "a", low=5, high=4)), f"{RULES}[0].low", f"{RULES}[0].high"),
        (ruled(rule("range", "a", low=0), rule("range", "a", low=9)), f"{RULES}[0]", f"{RULES}[1]"),
        (ruled(rule("integer", "a"), rule("integer", "a")), f"{RULES}[0]", f"{RULES}[1]"),
        (ruled(rule("one_hot", "a", "b"), rule("one_hot", "b", "a")), f"{RULES}[0]", f"{RULES}[1]"),
        (ruled(rule("equal", "a", "b", factor=2), rule("equal", "b", "a", factor=3)), f"{RULES}[0]", f"{RULES}[1]"),
        (ruled(rule("equal", "a", "b", "c"), rule("equal", "a", "c", "b", factor=2)), f"{RULES}[0]", f"{RULES}[1]"),
        (
            ruled(rule("immutable", "a", entity="e"), rule("immutable", "a", entity="e")),
            f"{RULES}[0]",
            f"{RULES}[1]",
        ),
        (ruled(rule("range", "a", low=0.2, high=0.8), rule("integer", "a")), f"{RULES}[0]", f"{RULES}[1]"),
        (ruled(rule("one_hot", "a", "b"), rule("range", "b", low=2)), f"{RULES}[0]", f"{RULES}[1]"),
        (
            ruled(rule("order", "a", "b"), rule("range", "a", low=5), rule("range", "b", high=4)),
            f"{RULES}[1].low",
            f"{RULES}[2].high",
        ),
    ],
)
def test_a_contradiction_is_told_at_both_places_each_naming_the_other(
    told: dict[str, Any], first: str, second: str
) -> None:
    found = places(told)
    assert {first, second} <= set(found)
    assert second in found[first] or first in found[second]
    nested = {place.at for place in bad_choices(policy_of(told), "policy.")}
    assert nested == {f"policy.{place}" for place in found}


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"traffic": {"learn_days": 0, "stale_after_seconds": 600}},
        {"shares": {"traffic": 2, "latency": 1}, "columns": {"latency_ms": {"direction": "up"}}},
        {"shares": {"prediction": 1}, "columns": {"latency_ms": {"ignore": True}}},
        ruled(rule("range", "a", low=0, high=1), rule("integer", "a"), rule("one_hot", "a", "b")),
        ruled(rule("order", "a", "b"), rule("order", "b", "c"), rule("range", "a", low=4), rule("range", "b", high=4)),
        ruled(rule("equal", "a", "b", "c"), rule("equal", "b", "a", "c"), rule("order", "a", "b")),
        ruled(rule("immutable", "a", entity="e"), rule("immutable", "a", entity="f"), rule("integer", "a")),
        ruled(rule("range", "a", low=-1), rule("integer", "a")),
    ],
)
def test_what_agrees_is_taken(told: dict[str, Any]) -> None:
    assert places(told) == {}


def test_of_very_many_contradictions_the_first_hundred_are_told() -> None:
    found = bad_choices(policy_of(ruled(*[rule("integer", "a")] * RULES_MAX)))
    assert len(found) == 100


def version_of(*features: Feature, name: str = "1") -> Version:
    schema = Schema(features=features, prediction=Prediction(kind=PredictionKind.CLASS))
    return replace(make_version(1), version=name, schema=schema)


SIZED = policy_of({"adversarial": {"follow": {"size": "tokens"}}})
TOKENS = Feature(name="tokens", kind=FeatureKind.NUMERIC)


@pytest.mark.parametrize(
    ("feature", "other", "said"),
    [
        (Feature(name="tokens", kind=FeatureKind.CATEGORICAL), "kind", "is categorical: a size is a number"),
        (msgspec.structs.replace(TOKENS, treatment=Treatment.DROP), "treatment", "is 'drop': it is not stored"),
    ],
)
def test_a_size_that_is_no_number_is_told_at_both_places(feature: Feature, other: str, said: str) -> None:
    found = {place.at: place.reason for place in bad_for([version_of(feature)], SIZED)}
    back = f"versions.1.schema.features.tokens.{other}"
    assert set(found) == {SIZE, back}
    assert said in found[SIZE]
    assert SIZE in found[back]


def test_a_size_that_no_version_has_is_refused_with_the_nearest_and_one_version_is_enough() -> None:
    near = version_of(Feature(name="token", kind=FeatureKind.NUMERIC))
    (place,) = bad_for([near], SIZED)
    assert (place.at, "the nearest is 'token'" in place.reason) == (SIZE, True)
    assert bad_for([near, version_of(TOKENS, name="2")], SIZED) == []
    assert bad_for([], SIZED) == []
