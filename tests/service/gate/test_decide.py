"""What the gate answers."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.policy import FailMode, Policy
from service.domain.states import SERVING, State
from service.gate.decide import ANSWERS, decide, render
from service.gate.fleet import EMPTY
from service.gate.targets import Ambiguous, Reading, Target, read_targets
from tests.service.gate.fleets import a_fleet

FLEET = a_fleet(
    ("fraud", "1", State.ACTIVE),
    ("fraud", "2", State.QUARANTINED),
    ("churn", "1", State.SUSPECT),
    ("churn", "2", State.ROLLED_BACK),
    ("gone", "1", State.RETIRED),
    ("strict", "1", State.ACTIVE),
    ("spare", "1", State.UNDER_REVIEW),
    policies={"strict": Policy(fail=FailMode.CLOSED), "spare": Policy(fallback="rules")},
)


def ask(*readings: Reading, unknown: FailMode = FailMode.OPEN) -> tuple[int, dict[str, str], dict[str, object]]:
    status, headers, body = render(decide(FLEET, readings, unknown), "d1")
    return status, {name.decode(): value.decode() for name, value in headers}, msgspec.json.decode(body)


@pytest.mark.parametrize("state", State)
def test_only_serving_states_pass(state: State) -> None:
    fleet = a_fleet(("m", "1", state))
    ruling = decide(fleet, [Target("m", "1")], FailMode.OPEN)
    assert ruling.allowed is (state in SERVING)
    assert ruling.state == state


def test_a_quarantined_version_is_refused_with_a_problem_and_a_time_to_retry() -> None:
    status, headers, body = ask(Target("fraud", "2"))
    assert status == 403
    assert headers["x-gate-state"] == "quarantined"
    assert headers["x-gate-model"] == "fraud"
    assert headers["x-gate-version"] == "2"
    assert headers["x-gate-decision-id"] == "d1"
    assert headers["x-gate-route"] == "review"
    assert int(headers["retry-after"]) > 0
    assert headers["content-type"] == "application/problem+json"
    assert body["status"] == 403
    assert body["state"] == "quarantined"


@pytest.mark.parametrize("path", ["fraud/predict", "fraud/9", "v2/models/fraud/versions/9/infer"])
def test_a_version_that_nobody_registered_does_not_open_what_is_closed(path: str) -> None:
    status, headers, _ = ask(*read_targets(path, []))
    assert status == 403
    assert headers["x-gate-version"] == "2"
    assert headers["x-gate-state"] == "quarantined"


def test_a_version_that_nobody_registered_follows_the_fail_mode_while_the_model_serves() -> None:
    assert ask(Target("churn", "9"), unknown=FailMode.CLOSED)[0] == 200
    assert ask(Target("strict", "9"), unknown=FailMode.OPEN)[0] == 403


def test_the_refusal_does_not_tell_why() -> None:
    _, _, body = ask(Target("fraud", "2"))
    assert "because" not in str(body)


def test_a_model_with_a_fallback_routes_to_it() -> None:
    _, headers, _ = ask(Target("spare", "1"))
    assert headers["x-gate-route"] == "fallback"
    assert headers["x-gate-fallback"] == "rules"


def test_without_a_version_the_newest_in_use_decides() -> None:
    status, headers, _ = ask(Target("fraud"))
    assert (status, headers["x-gate-version"]) == (403, "2")
    status, headers, _ = ask(Target("churn"))
    assert (status, headers["x-gate-version"], headers["x-gate-state"]) == (200, "1", "suspect")
    status, headers, _ = ask(Target("gone"))
    assert (status, headers["x-gate-state"]) == (403, "retired")


@pytest.mark.parametrize(("mode", "expected"), [(FailMode.OPEN, 200), (FailMode.CLOSED, 403)])
def test_an_unknown_model_follows_the_setting(mode: FailMode, expected: int) -> None:
    for reading in (Target("nobody"), Target("nobody", "1"), None):
        status, headers, _ = ask(reading, unknown=mode)
        assert (status, headers["x-gate-state"]) == (expected, "unknown")


def test_of_several_targets_the_strictest_answer_wins() -> None:
    status, headers, _ = ask(Target("fraud", "1"), Target("fraud", "2"), Target("nobody"))
    assert (status, headers["x-gate-version"]) == (403, "2")


def test_an_ambiguous_path_never_passes() -> None:
    assert ask(Ambiguous("dots"))[0] == 403


def test_before_the_store_was_read_every_model_is_unknown() -> None:
    assert decide(EMPTY, [Target("fraud")], FailMode.OPEN).state == "unknown"


@given(
    tail=st.one_of(
        st.text(max_size=80), st.sampled_from(["fraud/2", "v2/models/fraud", "strict/\x00", "gone\r\nx: y"])
    ),
    uris=st.lists(st.text(max_size=80), max_size=3),
    mode=st.sampled_from(FailMode),
)
def test_every_answer_is_200_or_403_with_legal_headers(tail: str, uris: list[str], mode: FailMode) -> None:
    ruling = decide(FLEET, read_targets(tail, uris), mode)
    status, headers, body = render(ruling, "d")
    assert status in {200, 403}
    assert ruling.answer in ANSWERS
    assert msgspec.json.decode(body)
    for name, value in headers:
        assert name == name.lower()
        assert all(32 <= byte < 127 for byte in value)
