"""Whose timeline tells that a change lasts."""

from dataclasses import replace

from service.alert.decide import goes_on
from service.domain.evaluation import Evaluation
from service.domain.ids import Actor
from service.domain.policy import Cause, Policy
from service.domain.records import Alert, ColumnFinding
from tests.service.alert.test_decide import evaluation, finding, opened

ME = Actor("x")


def back(*findings: ColumnFinding) -> Evaluation:
    return replace(evaluation(*findings, position=20), rebuilt=findings)


def alert(cause: Cause, incident_id: str, evidence_log: float = 20.0) -> Alert:
    return replace(opened(finding()), cause=cause, incident_id=incident_id, evidence_log=evidence_log)


def test_the_alert_of_the_same_cause_tells() -> None:
    standing = [alert(Cause.LATENCY, "a", 90.0), alert(Cause.DATA_DRIFT, "b")]
    told = goes_on(back(finding(), finding("income")), standing, Policy(), ME)
    assert told is not None
    incident_id, item = told
    assert (incident_id, item.kind, item.actor, item.at_us) == ("b", "rebuilt", ME, 20_000_000)
    assert item.body == (
        "age (mean up), income (mean up): evidence, started again from zero at the alarm,"
        " reached the budget's 10^6.0 too, so the change went on"
    )


def test_of_other_causes_the_strongest_alert_tells_as_one_change_is_one_incident() -> None:
    standing = [alert(Cause.TRAFFIC, "a", 20.0), alert(Cause.PREDICTION_DRIFT, "b", 40.0)]
    told = goes_on(back(finding()), standing, Policy(), ME)
    assert told is not None
    assert told[0] == "b"


def test_silence_or_no_alert_tells_nothing() -> None:
    assert goes_on(back(finding()), [], Policy(), ME) is None
    assert goes_on(back(finding()), [alert(Cause.STALE, "a")], Policy(), ME) is None
