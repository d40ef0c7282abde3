"""Decoding what people send: every bad place is named."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.bodies import NewKey, NewModel, NewVersion, Resolve, Transition, decode_body
from service.domain.errors import BadRequest, Unprocessable
from service.domain.policy import Action


def places(content: bytes, kind: type = NewModel) -> dict[str, str]:
    with pytest.raises(Unprocessable) as caught:
        decode_body(content, kind)
    return {place.at: place.reason for place in caught.value.places}


def test_a_good_body_is_its_type_with_defaults() -> None:
    body = decode_body(b'{"name": "m", "owner": "o", "policy": {"actions": {"latency": "record"}}}', NewModel)
    assert body.policy.actions.latency is Action.RECORD
    assert body.policy.confirmations == 2


def test_every_bad_place_is_named_at_once() -> None:
    policy = b'{"budget": {"false_alarms": -1, "oops": 0}, "actions": {"latency": "stop"}}'
    found = places(b'{"name": 1, "extra": 2, "policy": ' + policy + b"}")
    assert set(found) == {
        "name",
        "owner",
        "extra",
        "policy.budget.false_alarms",
        "policy.budget.oops",
        "policy.actions.latency",
    }
    assert found["owner"] == "is required"


def test_places_inside_lists_have_their_number() -> None:
    found = places(b'{"name": "k", "scopes": ["read", "root"]}', NewKey)
    assert list(found) == ["scopes[1]"]


@pytest.mark.parametrize("content", [b"[]", b"3", b'"x"', b"null"])
def test_a_body_that_is_no_object_is_named_as_a_whole(content: bytes) -> None:
    assert list(places(content)) == ["body"]


def test_a_number_that_no_float_holds_is_told_without_the_decoders_own_address() -> None:
    with pytest.raises(BadRequest) as caught:
        decode_body(b'{"name": "m", "policy": {"minimum_effect": 1e999}}', NewModel)
    assert caught.value.detail.endswith("Number out of range")


@pytest.mark.parametrize(
    ("content", "offset"),
    [(b'{"name": }', 9), (b"", 0), (b'{"name": "m"', 12), (b"{'a': 1}", 1), (b'{"a": NaN}', 6), (b'{"a": "\xff"}', 7)],
)
def test_malformed_json_is_answered_with_the_byte(content: bytes, offset: int) -> None:
    with pytest.raises(BadRequest, match="byte") as caught:
        decode_body(content, NewModel)
    assert caught.value.extra["offset"] == offset


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadRequest):
        decode_body(b"[" * 100_000, NewModel)


def test_a_verdict_is_mandatory_and_spelled_as_agreed() -> None:
    assert places(b"{}", Resolve) == {"verdict": "is required"}
    assert decode_body(b'{"verdict": "real drift"}', Resolve).verdict == "real drift"
    assert list(places(b'{"verdict": "bad luck"}', Resolve)) == ["verdict"]


@given(st.binary(max_size=200), st.sampled_from([NewModel, NewVersion, Transition, Resolve, NewKey]))
def test_any_bytes_are_a_body_or_an_expected_error(content: bytes, kind: type) -> None:
    with suppress(BadRequest, Unprocessable):
        assert isinstance(decode_body(content, kind), kind)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "owner", "policy", "budget", "scopes", "event"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([NewModel, NewVersion, Transition, NewKey]))
def test_any_json_is_a_body_or_an_expected_error(value: object, kind: type) -> None:
    with suppress(Unprocessable):
        assert isinstance(decode_body(msgspec.json.encode(value), kind), kind)
