"""What does not fit its type is told with its place, its value and what would fit, in words and not a decoder's."""

import re
from typing import Any

import msgspec
import pytest

from service.api.bodies import NewKey, NewModel, Resolve, Transition
from service.domain.misfits import bad_places
from service.domain.policy import Policy


@pytest.mark.parametrize(
    ("kind", "value", "at", "reason"),
    [
        (Policy, {"tick_seconds": 0.001}, "tick_seconds", "must be at least 0.05, not 0.001"),
        (Policy, {"tick_seconds": 7200}, "tick_seconds", "must be at most 3600, not 7200"),
        (Policy, {"budget": {"false_alarms": -1}}, "budget.false_alarms", "must be above 0, not -1"),
        (Policy, {"confirmations": 1.5}, "confirmations", "must be a whole number, not a number"),
        (Policy, {"tick_seconds": "1"}, "tick_seconds", "must be a number, not text"),
        (Policy, {"dry_run": 1}, "dry_run", "must be true or false, not a whole number"),
        (Policy, {"shares": [1]}, "shares", "must be an object, not a list"),
        (Policy, {"fail": "maybe"}, "fail", "must be one of open, closed, not 'maybe'"),
        (
            Policy,
            {"columns": {"age": {"direction": "sideways"}}},
            "columns.age.direction",
            "must be one of both, up, down, not 'sideways'",
        ),
        (
            Policy,
            {"actions": {"data_drift": "page"}},
            "actions.data_drift",
            "must be one of record, notify, suspect, quarantine, not 'page'",
        ),
        (
            Policy,
            {"segments": {"column": "c", "values": []}},
            "segments.values",
            "must have at least 1 entry, has 0",
        ),
        (
            Transition,
            {"event": "foo", "reason": "r"},
            "event",
            "must be one of suspect, clear, quarantine, start_review, release, roll_back, retire, not 'foo'",
        ),
        (
            Resolve,
            {"verdict": "meh"},
            "verdict",
            "must be one of real drift, data bug, attack, benign, false alarm, not 'meh'",
        ),
        (
            NewKey,
            {"name": "k", "scopes": ["read", "root"]},
            "scopes[1]",
            "must be one of ingest, read, operate, admin, not 'root'",
        ),
        (NewModel, [1], "body", "must be an object, not a list"),
    ],
)
def test_a_misfit_is_told_with_its_value_and_what_would_fit(kind: Any, value: Any, at: str, reason: str) -> None:
    assert [(place.at, place.reason) for place in bad_places(value, kind)] == [(at, reason)]


def test_all_entries_of_a_list_are_looked_at() -> None:
    found = bad_places({"segments": {"column": "c", "values": ["", 3, "x", "x" * 301]}}, Policy)
    assert {place.at: place.reason for place in found} == {
        "segments.values[0]": "must have at least 1 character, has 0",
        "segments.values[1]": "must be text, not a whole number",
        "segments.values[3]": "must have at most 300 characters, has 301",
    }


def test_a_long_value_is_cut() -> None:
    (place,) = bad_places({"fail": "x" * 1000}, Policy)
    assert len(place.reason) < 120


WRONG: list[Any] = [None, True, -1, 0, 1.5, 1e12, "", "x", [], [1], ["x"], {}, {"x": 1}, {"x": {}}]


@pytest.mark.parametrize("kind", [Policy, NewModel, NewKey, Transition, Resolve])
def test_nothing_is_told_in_the_words_of_a_decoder(kind: type[msgspec.Struct]) -> None:
    """Each field, and each field of the structs in it, with values of every type."""
    for name, inner in _fields(kind):
        for wrong in WRONG:
            value: Any = {name: wrong} if inner is None else {name: {inner: wrong}}
            for place in bad_places(value, kind):
                assert re.search("`|Expected|Invalid", place.reason) is None, (value, place)


def _fields(kind: type[msgspec.Struct]) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for field in msgspec.structs.fields(kind):
        found.append((field.name, None))
        structs = [t for t in getattr(field.type, "__args__", (field.type,)) if isinstance(t, type)]
        for struct in structs:
            if issubclass(struct, msgspec.Struct):
                found += [(field.name, inner.name) for inner in msgspec.structs.fields(struct)]
    return found
