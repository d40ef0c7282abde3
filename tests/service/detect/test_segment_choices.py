"""What is refused of a policy's segments: contradictions, with both places, and columns without labels to name."""

from dataclasses import replace

import msgspec
import pytest

from service.detect.choices import bad_choices, bad_for
from service.domain.policy import Policy, Segments
from service.domain.records import Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema, Treatment
from tests.service.worker.world import make_version

CLASS = Prediction(kind=PredictionKind.CLASS)
EU_US = ("eu", "us")


def version_of(kind: FeatureKind = FeatureKind.CATEGORICAL, treatment: Treatment = Treatment.KEEP) -> Version:
    schema = Schema(features=(Feature(name="market", kind=kind, treatment=treatment),), prediction=CLASS)
    return replace(make_version(1), schema=schema)


def policy_of(column: str = "market", values: tuple[str, ...] = EU_US) -> Policy:
    return Policy(segments=Segments(column=column, values=values))


def places(*versions: Version, policy: Policy) -> dict[str, str]:
    return {place.at: place.reason for place in [*bad_choices(policy), *bad_for(versions, policy)]}


@pytest.mark.parametrize(
    "text",
    [
        '{"column": "market", "values": []}',
        '{"column": "", "values": ["eu"]}',
        '{"column": "market", "values": [""]}',
        '{"column": "market", "values": ["eu"], "share": 0}',
        '{"column": "market", "values": ["eu"], "share": 1}',
        '{"column": "market", "values": "eu"}',
        '{"column": "market", "values": ["eu"], "names": []}',
        '{"values": ["eu"]}',
        msgspec.json.encode({"column": "market", "values": [str(i) for i in range(33)]}).decode(),
    ],
)
def test_another_shape_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="segments"):
        msgspec.json.decode(f'{{"segments": {text}}}', type=Policy)


def test_what_fits_is_not_refused() -> None:
    most = policy_of(values=tuple(str(i) for i in range(32)))
    for policy in (Policy(), policy_of(), policy_of("segment.region"), policy_of("prediction"), most):
        assert places(version_of(), policy=policy) == {}
    assert places(policy=policy_of("not yet known")) == {}
    assert places(version_of(treatment=Treatment.BUCKET), policy=policy_of(values=("e*", "u*"))) == {}


def test_a_value_twice_is_told_at_both_places() -> None:
    found = places(policy=policy_of(values=("eu", "us", "eu")))
    assert set(found) == {"segments.values[0]", "segments.values[2]"}
    assert "as segments.values[0] is" in found["segments.values[2]"]


def test_control_characters_and_a_key_without_a_name_are_refused() -> None:
    assert set(places(policy=policy_of("segment.", ("a\x00",)))) == {"segments.column", "segments.values[0]"}


@pytest.mark.parametrize("kind", [FeatureKind.NUMERIC, FeatureKind.EMBEDDING])
def test_a_column_of_another_kind_is_told_at_both_places(kind: FeatureKind) -> None:
    found = places(version_of(kind), policy=policy_of())
    assert set(found) == {"segments.column", "versions.1.schema.features.market.kind"}
    assert "segments are labels" in found["segments.column"]


@pytest.mark.parametrize(("treatment", "said"), [(Treatment.HASH, "'hash'"), (Treatment.BUCKET, "write 'e*'")])
def test_labels_that_are_not_stored_as_they_came_are_told_at_both_places(treatment: Treatment, said: str) -> None:
    found = places(version_of(treatment=treatment), policy=policy_of())
    assert set(found) == {"segments.values", "versions.1.schema.features.market.treatment"}
    assert said in found["segments.values"]


def test_a_column_that_no_version_has_is_refused_with_the_nearest_and_the_way_to_a_key() -> None:
    found = places(version_of(), policy=policy_of("markt"))
    assert "the nearest is 'market'" in found["segments.column"]
    assert "'segment.markt'" in found["segments.column"]
    dropped = places(version_of(treatment=Treatment.DROP), policy=policy_of())
    assert "no version has such a column" in dropped["segments.column"]


def test_one_version_that_fits_is_enough() -> None:
    other = replace(version_of(FeatureKind.NUMERIC), version="2")
    assert places(other, version_of(), policy=policy_of()) == {}
    assert "segments.column" in places(other, policy=policy_of())
