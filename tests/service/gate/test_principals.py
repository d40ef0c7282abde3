"""What the gate says of the principal that a gateway names: advice, unless the policy enforces it."""

import msgspec
import pytest

from service.domain.adversarial import Adversarial
from service.domain.ids import Micros, VersionId
from service.domain.policy import FailMode, Policy
from service.domain.principals import Containment, ContainmentState, PrincipalTier
from service.domain.states import State
from service.gate.decide import Asking, decide, heed, render
from service.gate.fleet import FleetView
from service.gate.jitter import SLICE_US, Jitter
from service.gate.targets import Ambiguous, Reading, Target
from tests.service.gate.fleets import a_fleet

ANN, BOB = "a" * 32, "b" * 32
NOW, LATER = Micros(1_000), Micros(2_000)
HEADER = "x-gate-principal-state"
JITTER = Jitter(b"j" * 32)
AT_ONCE = 0.0


def held(number: int, principal: str = ANN) -> Containment:
    return Containment(
        version_id=VersionId(number),
        principal=principal,
        state=ContainmentState.CONTAINED,
        tier=PrincipalTier.PROBING,
        reason="because",
        since_us=Micros(0),
        renewed_us=Micros(0),
        until_us=LATER,
        incident_id=None,
    )


def fleet(*, enforce: bool) -> FleetView:
    chosen = Adversarial(enforce_containment=enforce, enforce_after_seconds=AT_ONCE)
    policy = Policy(adversarial=chosen, fallback="rules")
    plain = a_fleet(
        ("fraud", "1", State.ACTIVE),
        ("fraud", "2", State.QUARANTINED),
        ("churn", "1", State.ACTIVE),
        policies={"fraud": policy},
    )
    return FleetView.of(1, plain.models.values(), plain.versions.values(), [held(1), held(3, BOB)])


def ask(
    *readings: Reading, principals: tuple[str, ...] = (ANN,), enforce: bool = False, now_us: Micros = NOW
) -> tuple[int, dict[str, str], dict[str, object]]:
    view = fleet(enforce=enforce)
    asking = Asking(principals=principals, now_us=now_us, jitter=JITTER)
    ruling = heed(decide(view, readings, FailMode.OPEN), view, readings, asking)
    status, headers, body = render(ruling, "d1")
    return status, {name.decode(): value.decode() for name, value in headers}, msgspec.json.decode(body)


def test_a_contained_principal_is_let_through_with_a_word_of_advice() -> None:
    status, headers, body = ask(Target("fraud", "1"))
    assert (status, headers[HEADER], headers["x-gate-state"]) == (200, "contained", "active")
    assert "contained" not in str(body)


def test_everybody_else_is_normal() -> None:
    assert ask(Target("fraud", "1"), principals=(BOB,))[1][HEADER] == "normal"
    assert ask(Target("churn", "1"), principals=(ANN,))[1][HEADER] == "normal"
    assert ask(Target("nobody", "1"))[1][HEADER] == "normal"


def test_a_containment_that_is_over_is_over() -> None:
    assert ask(Target("fraud", "1"), now_us=LATER)[1][HEADER] == "normal"


def test_of_several_names_the_worst_counts() -> None:
    assert ask(Target("churn", "1"), principals=(ANN, BOB))[1][HEADER] == "contained"


def test_of_several_paths_the_worst_counts() -> None:
    _, headers, _ = ask(Target("churn", "1"), Target("fraud", "1"))
    assert headers[HEADER] == "contained"


def test_enforced_containment_refuses_and_tells_neither_why_nor_until_when() -> None:
    status, headers, body = ask(Target("fraud", "1"), enforce=True)
    assert (status, headers[HEADER], headers["x-gate-state"]) == (403, "contained", "active")
    assert (headers["x-gate-route"], headers["retry-after"]) == ("review", "3600")
    assert "x-gate-fallback" not in headers
    assert "because" not in str(body)
    assert body["detail"] == "this principal is not let through for now"


def test_enforcement_is_for_contained_principals_of_that_model_only() -> None:
    assert ask(Target("fraud", "1"), enforce=True, principals=(BOB,))[0] == 200
    assert ask(Target("churn", "1"), enforce=True, principals=(BOB,))[0] == 200


def test_a_version_that_nobody_registered_is_no_way_around() -> None:
    chosen = Adversarial(enforce_containment=True, enforce_after_seconds=AT_ONCE)
    view = a_fleet(("m", "1", State.ACTIVE), policies={"m": Policy(adversarial=chosen)})
    view = FleetView.of(1, view.models.values(), view.versions.values(), [held(1)])
    readings = [Target("m", "predict")]
    ruling = heed(
        decide(view, readings, FailMode.OPEN), view, readings, Asking(principals=[ANN], now_us=NOW, jitter=JITTER)
    )
    assert (ruling.allowed, ruling.contained, ruling.answer) == (False, True, "deny_unknown")


def test_a_closed_gate_stays_what_it_is() -> None:
    status, headers, body = ask(Target("fraud", "2"), enforce=True)
    assert (status, headers["x-gate-route"], headers["x-gate-fallback"]) == (403, "fallback", "rules")
    assert "quarantined" in str(body["detail"])


@pytest.mark.parametrize("reading", [None, Ambiguous("odd")])
def test_a_path_that_names_no_version_contains_nobody(reading: Reading) -> None:
    assert ask(reading)[1][HEADER] == "normal"


def test_without_a_name_nothing_is_said() -> None:
    view = fleet(enforce=True)
    _, headers, _ = render(decide(view, [Target("fraud", "1")], FailMode.OPEN), "d1")
    assert HEADER.encode() not in dict(headers)


def _first_refusal(number: int, chosen: Adversarial, jitter: Jitter = JITTER) -> float:
    """Return after how many seconds a principal is first refused, asked every second."""
    principal, since_us = f"{number:032x}", Micros(5_000_000)
    return next(
        second
        for second in range(10_000)
        if jitter.refuses(VersionId(1), principal, since_us, Micros(since_us + second * 1_000_000), chosen)
    )


def test_refusals_begin_evenly_between_the_delay_and_twice_as_long() -> None:
    """Kolmogorov-Smirnov over 1,000 principals: a good generator fails at 0.09 once in 10^7 keys; the key is fixed."""
    chosen = Adversarial(enforce_containment=True, enforce_after_seconds=300.0)
    first = sorted(_first_refusal(number, chosen) for number in range(1_000))
    assert 300 <= first[0] < 310
    assert 590 < first[-1] <= 600
    ideal = [300 + 300 * (i + 0.5) / 1_000 for i in range(1_000)]
    assert max(abs(a - b) for a, b in zip(first, ideal, strict=True)) / 300 < 0.09


def test_the_delay_of_a_containment_is_always_the_same_and_that_of_another_one_is_not() -> None:
    chosen = Adversarial(enforce_after_seconds=3_000.0)
    one = JITTER.begins_us(VersionId(1), ANN, NOW, chosen)
    assert one == Jitter(b"j" * 32).begins_us(VersionId(1), ANN, NOW, chosen)
    others = {
        JITTER.begins_us(VersionId(2), ANN, NOW, chosen),
        JITTER.begins_us(VersionId(1), BOB, NOW, chosen),
        Micros(JITTER.begins_us(VersionId(1), ANN, LATER, chosen) - 1_000),
        Jitter(b"k" * 32).begins_us(VersionId(1), ANN, NOW, chosen),
    }
    assert len(others | {one}) == 5


def test_where_the_policy_says_so_refusals_hold_in_a_share_of_the_minutes() -> None:
    """1,000 minutes: within five standard deviations of the share, once in 10^6 keys not; the key is fixed."""
    chosen = Adversarial(enforce_after_seconds=0.0, enforce_share=0.3)
    minutes = [JITTER.refuses(VersionId(1), ANN, Micros(0), Micros(i * SLICE_US), chosen) for i in range(1_000)]
    assert 228 <= sum(minutes) <= 372
    within = {JITTER.refuses(VersionId(1), ANN, Micros(0), Micros(i * 1_000_000), chosen) for i in range(60)}
    assert len(within) == 1, "a refusal does not flicker from one request to the next"


def test_a_delay_hides_the_refusal_and_never_the_advice() -> None:
    view = a_fleet(
        ("fraud", "1", State.ACTIVE),
        policies={"fraud": Policy(adversarial=Adversarial(enforce_containment=True))},
    )
    view = FleetView.of(1, view.models.values(), view.versions.values(), [held(1)])
    readings = [Target("fraud", "1")]
    asking = Asking(principals=[ANN], now_us=NOW, jitter=JITTER)
    ruling = heed(decide(view, readings, FailMode.OPEN), view, readings, asking)
    assert (ruling.allowed, ruling.contained, ruling.enforced) == (True, True, False)


def test_what_holds_a_quarantined_model_has_no_delay() -> None:
    view = a_fleet(("fraud", "1", State.QUARANTINED), policies={"fraud": Policy(adversarial=Adversarial())})
    assert not decide(view, [Target("fraud", "1")], FailMode.OPEN).allowed
