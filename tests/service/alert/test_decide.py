"""Evidence to alerts: one table, one sentence a row."""

import math
from dataclasses import replace

import pytest

from service.alert.decide import COLUMNS_MAX, Decision, Why, cause_of, decide, rebuilt
from service.domain.evaluation import Evaluation
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Action, Actions, Cause, Policy
from service.domain.records import Alert, ColumnFinding, Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import State

SCHEMA = Schema(
    features=(Feature(name="age", kind=FeatureKind.NUMERIC),), prediction=Prediction(kind=PredictionKind.NUMBER)
)
VERSION = Version(
    id=VersionId(7),
    model_id=ModelId(1),
    model="fraud",
    version="1",
    schema=SCHEMA,
    deployed_by=Actor("dana"),
    state=State.ACTIVE,
    since_us=Micros(0),
    reason="registered",
    lock=0,
    restart_position=Position(0),
    baseline_id="b",
    created_us=Micros(0),
)
THRESHOLD = math.log(1e6)


def finding(name: str = "age", group: str = "feature", direction: str = "mean up", log: float = 20.0) -> ColumnFinding:
    return ColumnFinding(
        name=name, group=group, direction=direction, evidence_log=log, since_us=Micros(5), effects={"psi": 0.3}
    )


def evaluation(*findings: ColumnFinding, position: int = 10, sufficient: bool = True) -> Evaluation:
    """Above the threshold when there are findings."""
    return Evaluation(
        version_id=VERSION.id,
        position=Position(position),
        at_us=Micros(position * 1_000_000),
        evidence_log=THRESHOLD + 1 if findings else 0.0,
        threshold_log=THRESHOLD,
        findings=findings,
        sufficient=sufficient,
    )


def opened(*findings: ColumnFinding, policy: Policy | None = None) -> Alert:
    decision = decide(evaluation(*findings), VERSION, (), policy or Policy())
    assert decision.alert is not None
    return decision.alert


@pytest.mark.parametrize(
    ("group", "direction", "cause"),
    [
        ("feature", "mean up", Cause.DATA_DRIFT),
        ("feature", "category 'missing' up", Cause.DATA_DRIFT),
        ("feature", "above range up", Cause.DATA_DRIFT),
        ("feature", "missing up", Cause.DATA_QUALITY),
        ("feature", "invalid up", Cause.DATA_QUALITY),
        ("feature", "unseen up", Cause.DATA_QUALITY),
        ("prediction", "missing up", Cause.DATA_QUALITY),
        ("prediction", "category 'fraud' up", Cause.PREDICTION_DRIFT),
        ("score", "mean down", Cause.PREDICTION_DRIFT),
        ("latency", "mean up", Cause.LATENCY),
        ("feature", "learned", Cause.DATA_DRIFT),
    ],
)
def test_the_cause_follows_from_the_blamed_bin_and_column(group: str, direction: str, cause: Cause) -> None:
    assert cause_of(finding(group=group, direction=direction)) is cause


def test_what_missing_values_do_to_the_scores_of_all_inputs_is_no_drift() -> None:
    mild = Policy(actions=Actions(data_quality=Action.SUSPECT))
    age, pairs = finding(direction="missing up", log=99.0), finding("score.pairs.1", "multivariate", log=50.0)
    decision = decide(evaluation(age, pairs), VERSION, (), mild)
    assert decision.alert is not None
    assert decision.incident is not None
    assert decision.alert.cause is Cause.DATA_QUALITY
    assert decision.incident.title == "Data quality in fraud 1: age (missing up)"
    for other in (
        replace(pairs, evidence_log=100.0),
        replace(pairs, group="feature"),
        replace(pairs, name="score.direction.face.1"),
    ):
        found = decide(evaluation(age, other), VERSION, (), mild).incident
        assert found is not None
        assert found.title == f"Data drift in fraud 1: {other.name} (mean up)"


def test_nothing_happens_below_the_threshold() -> None:
    assert decide(evaluation(), VERSION, (), Policy()) == Decision(Why.QUIET)


def test_the_threshold_itself_is_above() -> None:
    at = replace(evaluation(finding()), evidence_log=THRESHOLD)
    assert decide(at, VERSION, (), Policy()).why is Why.OPENED


def test_the_first_crossing_opens_an_alert_and_its_incident() -> None:
    decision = decide(evaluation(finding(), finding("income")), VERSION, (), Policy())
    assert decision.why is Why.OPENED
    assert decision.alert is not None
    assert decision.incident is not None
    assert decision.changed == (decision.alert,)
    assert decision.alert.incident_id == decision.incident.id
    assert decision.alert.confirmations == 1
    assert decision.alert.since_us == 5
    assert decision.alert.opened_us == decision.incident.opened_us == 10_000_000
    assert decision.incident.title == "Data drift in fraud 1: age (mean up), income (mean up)"
    assert "10^6.4 reached the budget's 10^6.0" in decision.alert.reason


def test_the_same_crossing_gives_the_same_ids_again_and_another_one_others() -> None:
    first, again = opened(finding()), opened(finding())
    later = decide(evaluation(finding(), position=11), VERSION, (), Policy()).alert
    assert first == again
    assert later is not None
    assert later.id != first.id


def test_the_next_tick_above_confirms_the_open_alert() -> None:
    decision = decide(evaluation(finding(log=30.0), position=11), VERSION, (opened(finding()),), Policy())
    assert decision.why is Why.CONFIRMED
    assert decision.alert is not None
    assert decision.alert.confirmations == 2
    assert decision.alert.columns[0].evidence_log == 30.0
    assert decision.incident is None


def test_a_new_alert_belongs_to_the_unresolved_incident_of_its_cause_and_of_no_other() -> None:
    incident = decide(evaluation(finding()), VERSION, (), Policy()).incident
    assert incident is not None
    again = decide(evaluation(finding(), position=20), VERSION, (), Policy(), {Cause.DATA_DRIFT: incident})
    assert (again.why, again.incident) == (Why.OPENED, None)
    assert again.alert is not None
    assert again.alert.incident_id == incident.id
    assert again.again == replace(incident, title=f"Again: {incident.title}")
    item = rebuilt(again.alert, Actor("x"))
    assert (item.at_us, item.kind, item.body) == (again.alert.opened_us, "rebuilt", again.alert.reason)
    other = decide(evaluation(finding(), position=20), VERSION, (), Policy(), {Cause.LATENCY: incident})
    assert (other.again, other.incident is None) == (None, False)


def test_a_confirmed_alert_is_not_written_again() -> None:
    confirmed = replace(opened(finding()), confirmations=2)
    decision = decide(evaluation(finding(), position=12), VERSION, (confirmed,), Policy(confirmations=2))
    assert decision == Decision(Why.SETTLED, confirmed)


def test_a_tick_below_the_threshold_counts_from_zero_again() -> None:
    decision = decide(evaluation(position=11), VERSION, (opened(finding()),), Policy())
    assert decision.why is Why.INTERRUPTED
    assert decision.alert is None
    assert [alert.confirmations for alert in decision.changed] == [0]


def test_an_interrupted_alert_is_not_written_with_every_quiet_tick() -> None:
    interrupted = replace(opened(finding()), confirmations=0)
    assert decide(evaluation(position=12), VERSION, (interrupted,), Policy()) == Decision(Why.QUIET)


def test_a_baseline_that_supports_no_promise_accuses_nobody() -> None:
    assert decide(evaluation(finding(), sufficient=False), VERSION, (), Policy()).why is Why.INSUFFICIENT


@pytest.mark.parametrize("state", [State.QUARANTINED, State.UNDER_REVIEW, State.ROLLED_BACK, State.RETIRED])
def test_no_new_alert_is_opened_where_no_traffic_goes(state: State) -> None:
    decision = decide(evaluation(finding()), replace(VERSION, state=state), (), Policy())
    assert decision == Decision(Why.NOT_SERVING)


def test_an_open_alert_of_a_quarantined_version_goes_on() -> None:
    quarantined = replace(VERSION, state=State.QUARANTINED)
    decision = decide(evaluation(finding()), quarantined, (opened(finding()),), Policy())
    assert decision.why is Why.CONFIRMED


def test_another_strongest_column_of_equal_action_stays_with_the_open_alert() -> None:
    alert = opened(finding())
    both = finding("prediction", "prediction", "mean up", 40.0), finding()
    assert decide(evaluation(*both), VERSION, (alert,), Policy()).why is Why.CONFIRMED


def test_a_cause_that_is_not_blamed_any_more_does_not_hold_the_name() -> None:
    alert = opened(finding())
    decision = decide(evaluation(finding(direction="missing up")), VERSION, (alert,), Policy())
    assert decision.why is Why.OPENED
    assert decision.alert is not None
    assert decision.alert.cause is Cause.DATA_QUALITY


def test_a_mild_cause_never_hides_one_that_calls_for_more() -> None:
    latency = finding("latency_ms", "latency", "mean up", 500.0)
    alert = opened(latency)
    assert alert.cause is Cause.LATENCY
    decision = decide(evaluation(latency, finding(log=20.0)), VERSION, (alert,), Policy())
    assert decision.alert is not None
    assert decision.alert.cause is Cause.DATA_DRIFT


def test_the_policy_says_which_cause_calls_for_more() -> None:
    policy = Policy(actions=Actions(data_drift=Action.RECORD, latency=Action.SUSPECT))
    latency = finding("latency_ms", "latency", "mean up", 14.0)
    assert opened(finding(log=50.0), latency, policy=policy).cause is Cause.LATENCY


def test_an_alert_keeps_a_bounded_number_of_columns() -> None:
    many = [finding(f"f{i}") for i in range(COLUMNS_MAX + 30)]
    decision = decide(evaluation(*many), VERSION, (), Policy())
    assert decision.alert is not None
    assert decision.incident is not None
    assert len(decision.alert.columns) == COLUMNS_MAX
    assert decision.incident.title.endswith(f"and {COLUMNS_MAX + 27} more")


def test_a_segment_is_named_in_title_and_reason_and_stays_with_the_finding() -> None:
    inside = replace(finding(), segment="region=eu")
    decision = decide(evaluation(inside, finding("income")), VERSION, (), Policy())
    assert decision.incident is not None
    assert decision.alert is not None
    assert decision.incident.title == "Data drift in fraud 1: age (mean up) in region=eu, income (mean up)"
    assert "age (mean up) in region=eu" in decision.alert.reason
    assert decision.alert.columns[0].segment == "region=eu"


@pytest.mark.parametrize(
    ("name", "group", "direction", "cause"),
    [
        ("traffic.rate", "traffic", "down, 0.4 times the usual", Cause.TRAFFIC),
        ("quality.unknown_fields", "quality", "up, 9 times the usual: shoe_size", Cause.DATA_QUALITY),
        ("quality.errors", "quality", "up, 6 times the usual: timeout", Cause.DATA_QUALITY),
        ("error", "error", "category 'timeout' up", Cause.DATA_QUALITY),
        ("age", "feature", "missing up, vanished", Cause.DATA_QUALITY),
    ],
)
def test_traffic_has_a_cause_of_its_own_and_its_making_is_quality(
    name: str, group: str, direction: str, cause: Cause
) -> None:
    assert cause_of(finding(name, group, direction)) is cause
    assert Actions().of(Cause.TRAFFIC) is Action.NOTIFY
