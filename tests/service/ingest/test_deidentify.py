"""Nothing raw of a person or of a treated feature reaches the stored bytes."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.schema import Classification, Feature, FeatureKind, Prediction, PredictionKind, Schema, Treatment
from service.frames import Frame, encode_frame
from service.ingest.decode import EventDecoder, Raw
from service.ingest.deidentify import CACHED_CHARACTERS_MAX, Deidentifier, two_digits
from tests.service.comparing import plain
from tests.service.ingest.support import JSON, LIMITS

KEY = b"k" * 32


def feature(name: str, kind: FeatureKind, treatment: Treatment) -> Feature:
    """Declare a restricted feature."""
    dimension = 2 if kind is FeatureKind.EMBEDDING else None
    restricted = Classification.RESTRICTED
    return Feature(name=name, kind=kind, dimension=dimension, classification=restricted, treatment=treatment)


SCHEMA = Schema(
    features=(
        Feature(name="open", kind=FeatureKind.CATEGORICAL),
        feature("diagnosis", FeatureKind.CATEGORICAL, Treatment.HASH),
        feature("city", FeatureKind.CATEGORICAL, Treatment.BUCKET),
        feature("income", FeatureKind.NUMERIC, Treatment.BUCKET),
        feature("iban", FeatureKind.CATEGORICAL, Treatment.DROP),
        feature("balance", FeatureKind.NUMERIC, Treatment.DROP),
        feature("face", FeatureKind.EMBEDDING, Treatment.DROP),
    ),
    prediction=Prediction(kind=PredictionKind.CLASS),
)
FEATURES = {
    "open": "VISIBLE",
    "diagnosis": "SECRET-DIAGNOSIS",
    "city": "HIDDEN-CITY",
    "income": 54321.25,
    "iban": "DE00-IBAN",
    "balance": 98765.4321,
    "face": [0.123456, 0.654321],
}


def decoded(*principals: str) -> Frame:
    """Decode one event per principal."""
    events = [
        {"features": FEATURES, "principal": each, "attributions": {"balance": 1.5, "income": 2}} for each in principals
    ]
    body = json.dumps({"events": events}).encode()
    return EventDecoder(SCHEMA, LIMITS).decode(Raw(body, JSON, None)).frame


def test_nothing_raw_of_a_treated_feature_or_a_principal_is_in_the_stored_bytes() -> None:
    body = encode_frame(Deidentifier(KEY).apply(SCHEMA, decoded("alice@example.org")))
    assert b"VISIBLE" in body
    for secret in (b"SECRET-DIAGNOSIS", b"HIDDEN-CITY", b"IDDEN", b"DE00-IBAN", b"alice", b"iban", b"balance", b"face"):
        assert secret not in body
    for number in (54321.25, 98765.4321, 0.123456):
        for kind in (np.float64, np.float32):
            assert np.array(number, kind).tobytes() not in body


def test_treatments_keep_what_they_promise() -> None:
    frame = Deidentifier(KEY).apply(SCHEMA, decoded("a"))
    columns = dict(zip(frame.categorical_names, frame.categorical, strict=True))
    assert list(columns) == ["open", "diagnosis", "city"]
    assert plain(columns["city"]) == ["H*"]
    assert frame.numeric_names == ("income",)
    assert frame.numeric.tolist() == [[54000.0]]
    assert list(frame.attributions) == ["income"]


def test_a_frame_that_still_has_a_dropped_feature_loses_it() -> None:
    keeping = Schema(
        features=tuple(msgspec.structs.replace(each, treatment=Treatment.KEEP) for each in SCHEMA.features),
        prediction=SCHEMA.prediction,
    )
    body = json.dumps({"events": [{"features": FEATURES}]}).encode()
    frame = EventDecoder(keeping, LIMITS).decode(Raw(body, JSON, None)).frame
    stored = Deidentifier(KEY).apply(SCHEMA, frame)
    assert (stored.numeric_names, stored.embeddings) == (("income",), {})


def test_equal_names_get_equal_pseudonyms_and_other_keys_give_others() -> None:
    frame = Deidentifier(KEY).apply(SCHEMA, decoded("a", "b", "a"))
    first, second, third = (str(each) for each in plain(frame.principals))  # type: ignore[attr-defined]  # a list
    assert first == third != second
    assert first == Deidentifier(KEY).pseudonym("a")
    assert first != Deidentifier(b"l" * 32).pseudonym("a")
    assert len(bytes.fromhex(first)) == 16


def test_equal_labels_of_different_features_get_different_hashes() -> None:
    two = Schema(
        features=(
            feature("a", FeatureKind.CATEGORICAL, Treatment.HASH),
            feature("b", FeatureKind.CATEGORICAL, Treatment.HASH),
        ),
        prediction=SCHEMA.prediction,
    )
    body = b'{"events": [{"features": {"a": "x", "b": "x"}, "principal": "x"}]}'
    frame = Deidentifier(KEY).apply(two, EventDecoder(two, LIMITS).decode(Raw(body, JSON, None)).frame)
    assert frame.principals is not None
    assert len({*frame.categorical[0].labels, *frame.categorical[1].labels, *frame.principals.labels}) == 3


def test_missing_and_invalid_values_stay_what_they_are() -> None:
    body = b'{"events": [{"features": {"diagnosis": null, "income": "x"}, "principal": null}]}'
    frame = EventDecoder(SCHEMA, LIMITS).decode(Raw(body, JSON, None)).frame
    stored = Deidentifier(KEY).apply(SCHEMA, frame)
    assert plain(stored.categorical[1]) == ["<missing>"]
    assert stored.numeric.tolist() == [[float("inf")]]
    assert stored.principals is None


def test_labels_that_a_bucket_makes_equal_become_one() -> None:
    body = json.dumps({"columns": {"features": {"city": ["Bonn", "Berlin", None, "", "Ulm"]}}}).encode()
    frame = EventDecoder(SCHEMA, LIMITS).decode(Raw(body, JSON, None)).frame
    column = Deidentifier(KEY).apply(SCHEMA, frame).categorical[2]
    assert plain(column) == ["B*", "B*", "<missing>", "*", "U*"]
    assert column.labels == ("B*", "*", "U*")


def test_the_cache_is_bounded_in_entries_and_in_bytes() -> None:
    deidentifier = Deidentifier(KEY)
    long = "x" * (CACHED_CHARACTERS_MAX + 1)
    for principal in (long, "short", "short"):
        frame = deidentifier.apply(SCHEMA, decoded(principal))
        assert frame.principals is not None
        assert frame.principals.labels == (deidentifier.pseudonym(principal),)
    assert list(deidentifier._principals) == ["short"]


def test_the_cache_starts_anew_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ingest.deidentify.CACHED_NAMES", 2)
    deidentifier = Deidentifier(KEY)
    for principal in ("a", "b", "c"):
        deidentifier.apply(SCHEMA, decoded(principal))
    assert list(deidentifier._principals) == ["c"]


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Deidentifier(b"short")


def test_a_frame_without_treatments_and_principals_is_not_copied() -> None:
    plain_schema = Schema(features=(Feature(name="age", kind=FeatureKind.NUMERIC),), prediction=SCHEMA.prediction)
    body = b'{"events": [{"features": {"age": 1}}]}'
    frame = EventDecoder(plain_schema, LIMITS).decode(Raw(body, JSON, None)).frame
    assert Deidentifier(KEY).apply(plain_schema, frame) is frame
    assert replace(frame) is not frame


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_a_bucket_has_two_significant_digits(value: float) -> None:
    (rounded,) = two_digits(np.array([value])).tolist()
    if abs(value) < 1e-290:
        assert rounded == 0
        return
    assert rounded == pytest.approx(value, rel=0.0501), "at most half a unit of the second digit"
    assert float(f"{rounded:.1e}") == pytest.approx(rounded, rel=1e-12)
    assert two_digits(np.array([rounded])).tolist() == [pytest.approx(rounded, rel=1e-12)]


def test_buckets_of_special_values() -> None:
    values = np.array([0.0, float("nan"), float("inf"), 99.6, 0.0123, -123.0], np.float32)
    np.testing.assert_equal(two_digits(values), np.array([0, np.nan, np.inf, 100, 0.012, -120], np.float32))
