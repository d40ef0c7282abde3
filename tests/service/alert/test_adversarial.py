"""Adversarial use to alerts, incidents and containments."""

from dataclasses import replace
from operator import attrgetter
from typing import Any

import pytest

from service.alert.decide import decide, goes_on
from service.detect.choices import bad_choices
from service.domain.adversarial import Adversarial, Response, TierShares
from service.domain.ids import Actor, Micros
from service.domain.policy import Action, Actions, Cause, Policy
from service.domain.principals import ContainmentState, Kind, PrincipalTier
from service.domain.records import Severity
from service.domain.states import State
from tests.service.alert.test_decide import VERSION, evaluation
from tests.service.alert.test_decide import finding as column
from tests.service.uses import ANN, BOB, CAT, HOUR, NOW, SECOND, Bench, a_version, done_to_model, finding, intent

DAY = 24 * HOUR


def test_probing_contains_its_principal_and_opens_a_low_incident() -> None:
    bench = Bench()
    decisions = bench.judge(finding())
    (incident,) = decisions.incidents
    assert (incident.severity, incident.cause) == (Severity.LOW, Cause.ADVERSARIAL)
    (containment,) = decisions.containments.values()
    assert (containment.principal, containment.tier) == (ANN, PrincipalTier.PROBING)
    assert (containment.since_us, containment.until_us) == (NOW, NOW + DAY)
    assert containment.incident_id == incident.id
    assert containment.holds(NOW)
    assert [notice.kind for notice in decisions.notices] == ["alert_opened"]
    assert bench.state() is State.ACTIVE


def test_intent_opens_a_high_incident_and_contains() -> None:
    bench = Bench()
    decisions = bench.judge(intent())
    assert [incident.severity for incident in decisions.incidents] == [Severity.HIGH]
    assert bench.contained() == {ANN}
    assert decisions.transitions == []


def test_an_alert_names_techniques_in_the_order_of_tactics_with_the_version_of_atlas() -> None:
    use = next(iter(Bench().judge(intent(techniques=("AML.T0043.001", "AML.T0040"))).alerts.values())).adversarial
    assert use is not None
    assert use.techniques == ("AML.T0040", "AML.T0043.001")
    assert use.tactics == ("AML.TA0000", "AML.TA0001")
    assert use.atlas == "5.6.0"
    assert (use.best_margin, use.flips, use.flipped_by) == (-0.1, 1, (ANN,))
    assert use.transcript == f"fingerprints:m1/1/{ANN}/{NOW - 60 * SECOND}-{NOW}"


def test_a_technique_that_atlas_does_not_have_is_left_out() -> None:
    made_up = "AML.T" + "9999"
    use = next(iter(Bench().judge(finding(techniques=(made_up, "AML.T0040"))).alerts.values())).adversarial
    assert use is not None
    assert use.techniques == ("AML.T0040",)


def test_the_next_tier_of_the_same_attacker_joins_its_incident_and_raises_it() -> None:
    bench = Bench()
    first = bench.judge(finding())
    second = bench.judge(intent())
    (incident,) = first.incidents
    assert second.incidents == []
    assert [(raised.incident_id, raised.severity) for raised in second.raised] == [(incident.id, Severity.HIGH)]
    assert "intent" in second.raised[0].title
    ((of, item),) = second.timeline
    assert (of, item.kind) == (incident.id, "reached")
    assert {alert.incident_id for alert in bench.alerts.values()} == {incident.id}
    assert bench.judge(finding(tier=PrincipalTier.EXTRACTION)).raised == []


def test_a_campaign_is_one_alert_that_grows() -> None:
    bench = Bench()
    bench.judge(intent(ANN, campaign="c7", members=(BOB,)))
    decisions = bench.judge(intent(BOB, campaign="c7", members=(ANN, CAT), best_margin=-0.4))
    assert decisions.incidents == []
    ((alert_id, alert),) = bench.alerts.items()
    assert list(decisions.alerts) == [alert_id]
    assert alert.adversarial is not None
    assert alert.adversarial.principals == (ANN, BOB, CAT)
    assert alert.adversarial.flipped_by == (ANN, BOB)
    assert alert.adversarial.best_margin == -0.4


def test_two_strangers_are_two_incidents() -> None:
    bench = Bench()
    decisions = bench.judge(finding(ANN), finding(BOB))
    assert len(decisions.incidents) == len(decisions.alerts) == 2


def test_a_finding_that_says_nothing_new_writes_nothing() -> None:
    bench = Bench()
    bench.judge(finding())
    decisions = bench.judge(finding(queries=32, until_us=NOW + SECOND))
    assert decisions.alerts == {}
    assert decisions.containments == {}
    assert decisions.notices == []


@pytest.mark.parametrize(
    "changed",
    [
        {"best_margin": -0.2},
        {"flips": 2},
        {"fidelity": 0.5},
        {"members": (BOB,)},
        {"techniques": ("AML.T0042",)},
        {"until_us": NOW + HOUR},
        {"reused": True},
        {"calibrated": False},
    ],
)
def test_an_alert_is_written_again_when_it_has_grown(changed: dict[str, Any]) -> None:
    bench = Bench()
    bench.judge(intent())
    assert len(bench.judge(intent(**changed)).alerts) == 1
    assert bench.judge(intent(**changed)).alerts == {}


def test_probing_by_a_declared_explanation_client_means_nothing_but_intent_does() -> None:
    bench = Bench.under(explainers=(f"pseudonym:{ANN}",))
    quiet = bench.judge(finding(ANN))
    assert (quiet.alerts, quiet.containments, quiet.incidents) == ({}, {}, [])
    assert bench.judge(finding(BOB)).containments != {}
    assert bench.judge(intent(ANN)).containments != {}


def test_a_principal_raises_so_many_alerts_a_day_and_is_contained_all_the_same() -> None:
    bench = Bench.under(alerts_per_principal=2, unrelated_minimum=2)
    for tick in range(1, 6):
        bench.now_us = Micros(NOW + tick * HOUR)
        bench.judge(finding(since_us=bench.now_us - SECOND, until_us=bench.now_us))
        bench.settle()
        bench.containments = {}
    assert len(bench.alerts) == 2
    capped = bench.judge(finding(since_us=bench.now_us + 1, until_us=bench.now_us + 2))
    assert capped.alerts == {}
    (containment,) = capped.containments.values()
    assert containment.incident_id is None
    bench.now_us = Micros(NOW + DAY + HOUR + 1)
    assert len(bench.judge(finding(since_us=bench.now_us, until_us=bench.now_us)).alerts) == 1


def test_weaker_alerts_never_use_up_what_stronger_ones_may() -> None:
    bench = Bench.under(alerts_per_principal=1, alerts_per_tier=1)
    assert len(bench.judge(finding()).alerts) == 1
    assert bench.judge(finding(tier=PrincipalTier.PROBING, since_us=NOW)).alerts == {}
    assert [alert.adversarial.subject for alert in bench.judge(intent()).alerts.values() if alert.adversarial] == [ANN]


def test_a_tier_raises_so_many_alerts_a_day_and_one_more_for_all_the_others() -> None:
    bench = Bench.under(alerts_per_tier=3)
    for number in range(9):
        bench.judge(finding(f"{number:032x}"))
    others = [use for use in map(attrgetter("adversarial"), bench.alerts.values()) if use.subject == "others"]
    assert len(bench.alerts) == 4
    assert [use.principals for use in others] == [tuple(f"{number:032x}" for number in range(3, 9))]
    assert len(bench.contained()) == 9


def test_a_flood_hides_no_flip() -> None:
    bench = Bench.under(alerts_per_tier=3)
    bench.judge(*(intent(f"{number:032x}", flips=0) for number in range(30)))
    assert len(bench.alerts) == 4
    bench.judge(intent(ANN))
    assert bench.state() is State.ACTIVE
    bench.judge(intent(BOB))
    assert bench.state() is State.QUARANTINED


def test_what_people_have_settled_is_not_raised_again_by_the_same_evidence() -> None:
    bench = Bench()
    bench.judge(intent())
    bench.now_us = Micros(NOW + HOUR)
    bench.settle()
    assert bench.judge(intent(until_us=NOW + HOUR)).alerts == {}
    assert len(bench.judge(intent(flips=2, until_us=NOW + HOUR)).alerts) == 1


def test_a_new_incident_follows_new_evidence_after_the_old_one_was_settled() -> None:
    bench = Bench()
    (first,) = bench.judge(intent()).incidents
    bench.now_us = Micros(NOW + HOUR)
    bench.settle()
    (second,) = bench.judge(intent(since_us=NOW + 2 * HOUR, until_us=NOW + 2 * HOUR)).incidents
    assert first.id != second.id


def test_record_opens_an_incident_and_tells_nobody() -> None:
    bench = Bench.under(probing=Response.RECORD)
    decisions = bench.judge(finding())
    assert len(decisions.incidents) == 1
    assert (decisions.notices, decisions.containments) == ([], {})


def test_notify_tells_people_and_contains_nobody() -> None:
    decisions = Bench.under(probing=Response.NOTIFY).judge(finding())
    assert [notice.labels["tier"] for notice in decisions.notices] == ["probing"]
    assert decisions.containments == {}


def test_a_dry_run_contains_nobody() -> None:
    decisions = Bench(Policy(dry_run=True)).judge(finding())
    assert len(decisions.incidents) == 1
    assert decisions.containments == {}


def test_a_version_without_traffic_accuses_nobody() -> None:
    bench = Bench(versions=(a_version(state=State.QUARANTINED),))
    decisions = bench.judge(intent(), done_to_model(Kind.CANARY))
    assert (decisions.alerts, decisions.containments, decisions.incidents) == ({}, {}, [])


def test_suspect_marks_the_version_once() -> None:
    bench = Bench.under(intent=Response.SUSPECT)
    bench.judge(intent())
    assert bench.state() is State.SUSPECT
    assert bench.judge(intent(flips=9)).transitions == []


def test_the_containment_of_a_stronger_tier_stays_and_is_renewed_when_half_of_it_is_over() -> None:
    bench = Bench()
    bench.judge(intent())
    assert bench.judge(finding()).containments == {}
    bench.now_us = Micros(NOW + 13 * HOUR)
    (renewed,) = bench.judge(finding(until_us=bench.now_us)).containments.values()
    assert (renewed.tier, renewed.since_us, renewed.renewed_us) == (PrincipalTier.INTENT, NOW, bench.now_us)
    assert renewed.until_us == bench.now_us + DAY


def test_who_was_let_go_stays_free_until_there_is_new_or_stronger_evidence() -> None:
    bench = Bench()
    bench.judge(finding())
    bench.now_us = Micros(NOW + HOUR)
    lifted = {
        key: replace(one, state=ContainmentState.LIFTED, lifted_us=bench.now_us, lifted_by=Actor("ada"))
        for key, one in bench.containments.items()
    }
    for same in (finding(queries=99, members=(BOB,)), finding(since_us=bench.now_us)):
        bench.containments = dict(lifted)
        assert bench.judge(same).containments == {}
    for more in (finding(since_us=bench.now_us + 1), intent()):
        bench.containments = dict(lifted)
        assert list(bench.judge(more).containments) == [(1, ANN)]
    bench.containments, bench.now_us = dict(lifted), Micros(NOW + HOUR + DAY)
    assert list(bench.judge(finding(until_us=bench.now_us)).containments) == [(1, ANN)]


def test_containments_are_bounded_and_a_stronger_tier_displaces_a_weaker_one() -> None:
    bench = Bench.under(contained_max=2)
    bench.judge(intent(ANN))
    bench.judge(finding(BOB))
    decisions = bench.judge(finding(CAT))
    assert {principal: one.state for (_, principal), one in decisions.containments.items()} == {
        BOB: ContainmentState.LIFTED,
        CAT: ContainmentState.CONTAINED,
    }
    assert bench.contained() == {ANN, CAT}
    bench.judge(intent("d" * 32))
    assert bench.contained() == {ANN, "d" * 32}
    assert bench.judge(finding("e" * 32)).containments == {}


@pytest.mark.parametrize("tier", ["probing", "extraction", "membership", "cost", "persistence"])
def test_only_intent_may_mark_the_version(tier: str) -> None:
    chosen: dict[str, Any] = {tier: Response.SUSPECT}
    policy = Policy(adversarial=Adversarial(**chosen))
    assert [place.at for place in bad_choices(policy, "policy.")] == [f"policy.adversarial.{tier}"]


def test_the_same_findings_decide_the_same_bit_for_bit() -> None:
    passes = [(finding(),), (intent(campaign="c", members=(BOB,)), finding(CAT)), (intent(BOB, campaign="c"),)]

    def judged(bench: Bench) -> list[object]:
        made = [bench.judge(*found) for found in passes]
        return [(d.alerts, d.incidents, d.containments, d.transitions, d.notices) for d in made]

    first, second = judged(Bench()), judged(Bench())
    assert len(first) == 3
    assert first == second


def test_an_attack_neither_counts_as_drift_nor_hides_it() -> None:
    bench = Bench()
    bench.judge(intent(log_evidence=900.0))
    (attack,) = bench.alerts.values()
    quiet = decide(evaluation(), VERSION, (attack,), Policy())
    assert (quiet.alert, quiet.changed) == (None, ())
    drift = decide(evaluation(column()), VERSION, (attack,), Policy()).alert
    assert drift is not None
    assert drift.cause is Cause.DATA_DRIFT
    rebuilt = replace(evaluation(column()), rebuilt=(column(),))
    assert goes_on(rebuilt, (attack,), Policy(), Actor("lazaretto")) is None
    told = goes_on(rebuilt, (attack, drift), Policy(), Actor("lazaretto"))
    assert told is not None
    assert told[0] == drift.incident_id


@pytest.mark.parametrize(
    ("action", "severity"),
    [("record", "low"), ("notify", "low"), ("suspect", "medium"), ("quarantine", "high")],
)
def test_an_incident_of_drift_is_as_severe_as_what_the_policy_lets_it_do(action: str, severity: str) -> None:
    policy = Policy(actions=Actions(data_drift=Action(action)))
    decision = decide(evaluation(column()), VERSION, (), policy)
    assert decision.incident is not None
    assert decision.incident.severity == severity


def test_shares_divide_the_budget_of_the_tiers() -> None:
    shares = TierShares(probing=3.0)
    assert shares.of("probing") == 3 / 8
    assert sum(shares.of(tier) for tier in PrincipalTier) == pytest.approx(1.0)
