"""Schemas: what is taken, and that every bad place is named at once."""

import dataclasses
from typing import Any

import pytest

from service.domain.errors import Unprocessable
from service.domain.schema import Classification, FeatureKind, PredictionKind, Treatment
from service.ingest.schema import parse_schema
from tests.service.ingest.support import LIMITS

PREDICTION = {"kind": "class"}


def schema(*features: Any, prediction: Any = PREDICTION) -> dict[str, Any]:
    """Write a schema."""
    return {"features": list(features), "prediction": prediction}


def test_a_full_schema_is_read() -> None:
    parsed = parse_schema(
        schema(
            {"name": "age", "kind": "numeric", "classification": "restricted", "treatment": "bucket"},
            {"name": "country", "kind": "categorical"},
            {"name": "text", "kind": "embedding", "dimension": 384},
            prediction={"kind": "class", "classes": ["fraud", 0, True]},
        ),
        LIMITS,
    )
    age, country, text = parsed.features
    assert (age.kind, age.classification, age.treatment) == (
        FeatureKind.NUMERIC,
        Classification.RESTRICTED,
        Treatment.BUCKET,
    )
    assert (country.classification, country.treatment) == (Classification.INTERNAL, Treatment.KEEP)
    assert text.dimension == 384
    assert (parsed.prediction.kind, parsed.prediction.classes) == (PredictionKind.CLASS, ("fraud", "0", "true"))


AGE = {"name": "age", "kind": "numeric"}


@pytest.mark.parametrize(
    ("value", "at", "reason"),
    [
        (None, "schema", "object"),
        ([], "schema", "object"),
        ({"prediction": PREDICTION}, "schema.features", "at least one"),
        (schema(), "schema.features", "at least one"),
        ({"features": [AGE]}, "schema.prediction", "missing"),
        ({**schema(AGE), "extra": 1}, "schema.extra", "not known"),
        (schema("age"), "schema.features[0]", "object"),
        (schema({"kind": "numeric"}), "schema.features[0].name", "text"),
        (schema({"name": "", "kind": "numeric"}), "schema.features[0].name", "empty"),
        (schema({"name": "a\nb", "kind": "numeric"}), "schema.features[0].name", "printed"),
        (schema({"name": 'a"b', "kind": "numeric"}), "schema.features[0].name", "quote"),
        (schema({"name": "\ud800", "kind": "numeric"}), "schema.features[0].name", "printed"),
        (schema({"name": "x" * 257, "kind": "numeric"}), "schema.features[0].name", "257"),
        *[
            (schema({"name": name, "kind": "numeric"}), "schema.features[0].name", "reserved")
            for name in ("prediction", "latency_ms", "event_id", "timestamp", "principal")
        ],
        *[
            (schema({"name": f"{prefix}.x", "kind": "numeric"}), "schema.features[0].name", "reserved")
            for prefix in ("probabilities", "score", "features", "segment", "attributions")
        ],
        (schema(AGE, AGE), "schema.features[1].name", "feature 0"),
        (schema({"name": "a"}), "schema.features[0].kind", "missing"),
        (schema({"name": "a", "kind": "text"}), "schema.features[0].kind", "numeric, categorical, embedding"),
        (schema({"name": "a", "kind": ["numeric"]}), "schema.features[0].kind", "one of"),
        (schema({"name": "a", "kind": "embedding"}), "schema.features[0].dimension", "missing"),
        (schema({"name": "a", "kind": "embedding", "dimension": 0}), "schema.features[0].dimension", "1 to 4096"),
        (schema({"name": "a", "kind": "embedding", "dimension": 4097}), "schema.features[0].dimension", "1 to 4096"),
        (schema({"name": "a", "kind": "embedding", "dimension": True}), "schema.features[0].dimension", "integer"),
        (schema({**AGE, "dimension": 3}), "schema.features[0].dimension", "only an embedding"),
        (schema({**AGE, "classification": "secret"}), "schema.features[0].classification", "restricted"),
        (schema({**AGE, "treatment": "mask"}), "schema.features[0].treatment", "bucket"),
        (schema({**AGE, "treatment": "hash"}), "schema.features[0].treatment", "keep, bucket, drop"),
        (
            schema({"name": "e", "kind": "embedding", "dimension": 2, "treatment": "bucket"}),
            "schema.features[0].treatment",
            "keep, drop",
        ),
        (schema({**AGE, "classification": "restricted"}), "schema.features[0].treatment", "may not be stored"),
        (schema({**AGE, "unit": "years"}), "schema.features[0].unit", "not known"),
        (schema(AGE, prediction={}), "schema.prediction.kind", "missing"),
        (schema(AGE, prediction={"kind": "number", "classes": ["a"]}), "schema.prediction.classes", "only"),
        (schema(AGE, prediction={"kind": "class", "classes": []}), "schema.prediction.classes", "at least one"),
        (schema(AGE, prediction={"kind": "class", "classes": ["a", "a"]}), "schema.prediction.classes[1]", "twice"),
        (schema(AGE, prediction={"kind": "class", "classes": ["a", None]}), "schema.prediction.classes[1]", "text"),
    ],
)
def test_a_bad_place_is_named_with_its_reason(value: Any, at: str, reason: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        parse_schema(value, LIMITS)
    found = {place.at: place.reason for place in caught.value.places}
    assert reason in found[at]


def test_every_bad_place_is_named_at_once() -> None:
    bad = schema({"name": "prediction", "kind": "x"}, {"name": "e", "kind": "embedding"}, prediction={"kind": "y"})
    with pytest.raises(Unprocessable) as caught:
        parse_schema(bad, LIMITS)
    assert {place.at for place in caught.value.places} == {
        "schema.features[0].name",
        "schema.features[0].kind",
        "schema.features[1].dimension",
        "schema.prediction.kind",
    }


def test_too_many_columns_are_refused() -> None:
    few = dataclasses.replace(LIMITS, columns_max=2)
    with pytest.raises(Unprocessable, match="not valid") as caught:
        parse_schema(schema(AGE, {"name": "b", "kind": "numeric"}, {"name": "c", "kind": "numeric"}), few)
    assert "columns_max: 2" in caught.value.places[0].reason


@pytest.mark.parametrize(
    ("value", "first", "second"),
    [
        (schema(AGE, {**AGE, "kind": "categorical"}), "features[1].name", "features[0].name"),
        (schema({**AGE, "dimension": 3}), "features[0].dimension", "features[0].kind"),
        (schema({**AGE, "treatment": "hash"}), "features[0].treatment", "features[0].kind"),
        (schema({**AGE, "classification": "restricted"}), "features[0].treatment", "features[0].classification"),
        (schema(AGE, prediction={"kind": "number", "classes": ["a"]}), "prediction.classes", "prediction.kind"),
        (
            schema(AGE, prediction={"kind": "class", "classes": ["a", "a"]}),
            "prediction.classes[1]",
            "prediction.classes[0]",
        ),
    ],
)
def test_what_contradicts_itself_is_told_at_both_places(value: Any, first: str, second: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        parse_schema(value, LIMITS)
    assert [place.at for place in caught.value.places] == [f"schema.{first}", f"schema.{second}"]
