"""One principal never quarantines a model, whatever it does; several, and what is done to the model, may."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.adversarial import Response, Unrelated
from service.domain.ids import Micros
from service.domain.policy import BlastRadius, Policy
from service.domain.principals import Kind
from service.domain.records import PrincipalFinding, PrincipalTier, Severity
from service.domain.states import State
from tests.service.uses import ANN, BOB, CAT, HOUR, NOW, Bench, a_version, done_to_model, finding, intent


def test_confirmed_flips_by_two_principals_quarantine() -> None:
    bench = Bench()
    bench.judge(intent(ANN))
    assert bench.state() is State.ACTIVE
    decisions = bench.judge(intent(BOB))
    assert bench.state() is State.QUARANTINED
    ((record, _),) = decisions.transitions
    assert "confirmed flips by 2 unrelated principals" in record.reason
    assert record.incident_id in bench.incidents
    assert "state_changed" in [notice.kind for notice in decisions.notices]


def test_two_members_of_one_campaign_with_evidence_of_their_own_quarantine() -> None:
    bench = Bench()
    bench.judge(intent(ANN, campaign="c", members=(BOB,)))
    assert bench.state() is State.ACTIVE
    bench.judge(intent(BOB, campaign="c", members=(ANN,)))
    assert bench.state() is State.QUARANTINED


def test_a_flipped_input_that_another_principal_sends_again_quarantines() -> None:
    bench = Bench()
    bench.judge(intent(ANN, campaign="c", members=(BOB,)))
    bench.judge(intent(BOB, flips=0, reused=True, campaign="c", members=(ANN,)))
    assert bench.state() is State.QUARANTINED


def test_two_principals_without_a_flip_quarantine_nothing() -> None:
    bench = Bench()
    bench.judge(intent(ANN, flips=0), intent(BOB, flips=0), finding(ANN), finding(BOB))
    assert bench.state() is State.ACTIVE


@pytest.mark.parametrize("kind", [Kind.POISONING, Kind.CANARY, Kind.ARTEFACT])
def test_what_is_done_to_the_model_quarantines(kind: Kind) -> None:
    bench = Bench()
    decisions = bench.judge(done_to_model(kind))
    assert bench.state() is State.QUARANTINED
    assert [incident.severity for incident in decisions.incidents] == [Severity.HIGH]


def test_poisoning_by_one_principal_is_one_voice_and_by_two_it_is_not() -> None:
    bench = Bench()
    bench.judge(done_to_model(Kind.POISONING, ANN))
    assert bench.state() is State.ACTIVE
    bench.judge(done_to_model(Kind.POISONING, BOB))
    assert bench.state() is State.QUARANTINED


def test_flips_that_lie_too_far_apart_do_not_count_together() -> None:
    bench = Bench.under(unrelated_days=1)
    bench.judge(intent(ANN))
    bench.now_us = Micros(NOW + 25 * HOUR)
    bench.judge(intent(BOB, since_us=bench.now_us, until_us=bench.now_us))
    assert bench.state() is State.ACTIVE


def test_settled_flips_do_not_count_any_more() -> None:
    bench = Bench()
    bench.judge(intent(ANN))
    bench.settle()
    bench.judge(intent(BOB))
    assert bench.state() is State.ACTIVE


def test_separate_counts_the_principals_of_one_campaign_once() -> None:
    bench = Bench.under(unrelated=Unrelated.SEPARATE)
    bench.judge(intent(ANN, campaign="c", reused=True), intent(BOB, campaign="c"))
    assert bench.state() is State.ACTIVE
    bench.judge(intent(CAT))
    assert bench.state() is State.QUARANTINED


def test_campaign_counts_principals_that_it_only_names() -> None:
    bench = Bench.under(unrelated=Unrelated.CAMPAIGN)
    bench.judge(intent(ANN, campaign="c", members=(BOB,)))
    assert bench.state() is State.QUARANTINED


def test_as_many_principals_as_the_policy_asks_for() -> None:
    bench = Bench.under(unrelated_minimum=3)
    bench.judge(intent(ANN), intent(BOB))
    assert bench.state() is State.ACTIVE
    bench.judge(intent(CAT))
    assert bench.state() is State.QUARANTINED


def test_the_rule_can_be_switched_off() -> None:
    bench = Bench.under(quarantine=False)
    bench.judge(intent(ANN), intent(BOB), done_to_model(Kind.ARTEFACT))
    assert bench.state() is State.ACTIVE


def test_a_dry_run_says_once_what_would_have_happened() -> None:
    bench = Bench(Policy(dry_run=True))
    bench.judge(intent(ANN))
    told = bench.judge(intent(BOB)).notices
    assert [notice.kind for notice in told] == ["alert_opened", "dry_run"]
    assert "would now be quarantined" in told[-1].summary
    assert bench.judge(intent(BOB, best_margin=-0.5)).notices == []
    assert bench.state() is State.ACTIVE


def test_the_last_healthy_version_stays_and_people_hear_why() -> None:
    others = (a_version(1), a_version(2, State.QUARANTINED))
    bench = Bench(Policy(blast_radius=BlastRadius(keep_last_healthy=True)), others)
    bench.judge(intent(ANN))
    decisions = bench.judge(intent(BOB))
    assert bench.state() is State.SUSPECT
    ((record, _),) = decisions.transitions
    assert "last version of m1 that still serves" in record.reason


TIERS = st.sampled_from(PrincipalTier)
OTHERS = st.lists(st.sampled_from([BOB, CAT, "d" * 32]), max_size=3).map(tuple)


@st.composite
def findings_of_one(draw: st.DrawFn) -> PrincipalFinding:
    """Anything that detection may say of one principal, whoever is dragged in with it."""
    since_us = NOW + draw(st.integers(-HOUR, HOUR))
    return finding(
        ANN,
        draw(TIERS),
        techniques=tuple(draw(st.lists(st.sampled_from(["AML.T0015", "AML.T0042", "AML.T0043.001"])))),
        log_evidence=draw(st.floats(0, 1e6)),
        calibrated=draw(st.booleans()),
        since_us=since_us,
        until_us=since_us + draw(st.integers(0, 48 * HOUR)),
        best_margin=draw(st.none() | st.floats(-1, 1)),
        flips=draw(st.integers(0, 1_000)),
        reused=draw(st.booleans()),
        campaign=draw(st.sampled_from([None, "c1", "c2"])),
        members=draw(OTHERS),
        fidelity=draw(st.none() | st.floats(0, 1)),
    )


def _alone(one: PrincipalFinding) -> PrincipalFinding:
    return msgspec.structs.replace(one, members=())


@pytest.mark.parametrize(
    ("unrelated", "seen"),
    [(Unrelated.EVIDENCE, lambda one: one), (Unrelated.SEPARATE, lambda one: one), (Unrelated.CAMPAIGN, _alone)],
)
@given(
    passes=st.lists(st.lists(findings_of_one(), max_size=4), max_size=12),
    poisons=st.booleans(),
    settles=st.integers(0, 12),
    response=st.sampled_from(Response),
)
def test_one_principal_never_quarantines(
    unrelated: Unrelated,
    seen: Callable[[PrincipalFinding], PrincipalFinding],
    passes: list[list[PrincipalFinding]],
    poisons: bool,
    settles: int,
    response: Response,
) -> None:
    """With evidence of one principal only, whatever campaign it builds and whoever it drags in.

    Under ``campaign`` the operator has chosen to believe who is named beside it, so there it stands alone.
    """
    bench = Bench.under(unrelated=unrelated, intent=response, alerts_per_principal=100)
    for number, found in enumerate(passes):
        bench.now_us = Micros(NOW + number * HOUR)
        poison = [done_to_model(Kind.POISONING, ANN)] if poisons else []
        bench.judge(*(seen(one) for one in found), *poison)
        assert bench.state() in {State.ACTIVE, State.SUSPECT}
        if number == settles:
            bench.settle()
    held = bench.contained()
    assert held <= {ANN}


def test_the_property_can_fail() -> None:
    """The same findings, one of them of a second principal."""
    bench = Bench()
    bench.judge(intent(ANN), msgspec.structs.replace(intent(ANN), principal=BOB))
    assert bench.state() is State.QUARANTINED


@given(
    passes=st.lists(
        st.lists(
            st.builds(
                lambda who, tier, flips, reused, campaign: finding(
                    who, tier, flips=flips, reused=reused, campaign=campaign, members=(ANN, BOB, CAT)
                ),
                st.sampled_from([ANN, BOB, CAT]),
                TIERS,
                st.integers(0, 2),
                st.booleans(),
                st.sampled_from([None, "c1", "c2"]),
            ),
            max_size=3,
        ),
        max_size=6,
    ),
    cap=st.integers(1, 50),
)
def test_two_principals_with_evidence_of_their_own_stand_behind_every_quarantine_and_two_flips_always_do(
    passes: list[list[PrincipalFinding]], cap: int
) -> None:
    bench = Bench.under(alerts_per_tier=cap)
    flipped: set[str] = set()
    spoke: set[str] = set()
    for found in passes:
        bench.judge(*found)
        intents = [one for one in found if one.tier is PrincipalTier.INTENT]
        flipped |= {one.principal for one in intents if one.flips}
        spoke |= {one.principal for one in intents if one.flips or one.reused}
        if bench.state() is State.QUARANTINED:
            assert flipped
            assert len(spoke) >= 2
            return
        assert len(flipped) < 2
