"""Whom to tell: routes, quiet hours, and the end for whoever heard the beginning."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.channel_settings import RouteSettings
from service.domain.ids import Micros
from service.domain.notices import ChannelState, Kind, payload_of
from service.domain.records import IncidentStatus, Message, Severity, Verdict
from service.notify.compose import Notice, compose
from service.notify.conclude import failing_message
from service.notify.routing import choose, matches
from tests.fakes.clock import NOVEMBER
from tests.service.alert.test_decide import VERSION
from tests.service.notify.desk import Desk, alert, settled, state

HOUR_US = 3_600_000_000
HIGH = alert(severity=Severity.HIGH)
LOW = alert(severity=Severity.LOW)


def route(**given: Any) -> RouteSettings:
    return RouteSettings.model_validate({"channels": ["x"], **given})


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"severities": ["high"]}, True),
        ({"severities": ["low", "medium"]}, False),
        ({"models": ["fr*"]}, True),
        ({"models": ["FRAUD"]}, False),
        ({"models": ["churn", "frau[d]"]}, True),
        ({"owners": ["risk"]}, True),
        ({"owners": ["growth-*"]}, False),
        ({"kinds": ["alert_*"]}, True),
        ({"kinds": ["state_changed"]}, False),
        ({"severities": ["high"], "owners": ["nobody"]}, False),
        ({"hours": {"from": "09:00", "to": "17:00"}}, True),
        ({"hours": {"from": "17:00", "to": "09:00"}}, False),
    ],
)
def test_every_condition_that_is_given_must_hold(conditions: dict[str, Any], *, expected: bool) -> None:
    noon = Micros(NOVEMBER - NOVEMBER % (24 * HOUR_US) + 12 * HOUR_US)
    assert matches(route(**conditions), HIGH, "risk", noon) is expected


def test_the_first_route_decides_unless_it_says_to_go_on() -> None:
    routes = [
        route(channels=["all-hands"], severities=["high"], go_on=True),
        route(channels=["risk"], owners=["risk"]),
        route(channels=["rest"]),
    ]
    known = ["log", "all-hands", "risk", "rest"]
    assert choose(routes, known, HIGH, "risk", NOVEMBER) == ["all-hands", "risk"]
    assert choose(routes, known, LOW, "risk", NOVEMBER) == ["risk"]
    assert choose(routes, known, HIGH, "growth", NOVEMBER) == ["all-hands", "rest"]
    assert choose([], known, LOW, "", NOVEMBER) == known


def hook(**more: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": "https://example.org/", **more}


def test_who_was_told_of_the_beginning_is_told_of_the_end_whatever_the_routes_say_then(tmp_path: Path) -> None:
    hours = {"from": "00:00", "to": "23:00"}
    chosen = {
        "channels": {"day": hook(), "night": hook()},
        "routes": [{"channels": ["day"], "hours": hours}, {"channels": ["night"]}],
    }
    desk = Desk(tmp_path, "day", "night", settings=chosen)
    midnight = Micros(NOVEMBER - NOVEMBER % (24 * HOUR_US))
    desk.clock.set(Micros(midnight + 12 * HOUR_US))
    desk.put(alert(at_us=desk.clock.now_us()))
    desk.round()
    desk.clock.set(Micros(midnight + 23 * HOUR_US + HOUR_US // 2))
    desk.put(settled(IncidentStatus.RESOLVED, at_us=desk.clock.now_us(), verdict=Verdict.DATA_BUG))
    desk.round()
    assert desk.channels["day"].kinds == ["alert_opened", "incident_resolved"]
    assert desk.channels["night"].kinds == []
    last = desk.channels["day"].payloads[-1]
    assert last.status == "resolved"
    assert last.lazaretto.summary.endswith("is resolved: data bug")


def test_an_end_has_the_labels_annotations_and_start_of_its_beginning(desk: Desk) -> None:
    desk.put(alert(columns="age (mean up)"))
    desk.round()
    desk.clock.advance(60)
    desk.put(settled(IncidentStatus.RESOLVED, at_us=desk.clock.now_us(), verdict=Verdict.BENIGN))
    desk.round()
    (first,), (last,) = (payload.alerts for payload in desk.channels["ops"].payloads)
    assert (last.labels, last.annotations, last.starts_at, last.fingerprint) == (
        first.labels,
        first.annotations,
        first.starts_at,
        first.fingerprint,
    )
    assert first.ends_at.startswith("0001")
    assert last.ends_at > last.starts_at


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "ops")


def test_a_cause_that_returns_is_told_as_such(desk: Desk) -> None:
    desk.put(alert("a"))
    desk.round()
    ended = desk.clock.advance(60)
    desk.put(settled(IncidentStatus.RESOLVED, at_us=ended, verdict=Verdict.BENIGN))
    desk.round()
    desk.put(alert("b", at_us=desk.clock.advance(60), incident="i2"))
    desk.round()
    first, _, again = desk.channels["ops"].payloads
    assert "regressed" not in first.alerts[0].annotations
    assert again.alerts[0].annotations["regressed"].startswith("20")
    assert again.alerts[0].labels == first.alerts[0].labels
    assert again.status == "firing"


def test_an_announcement_whose_incident_was_resolved_after_its_tick_is_one_of_the_next_incident(desk: Desk) -> None:
    """The worker is behind: the tick that it judges is older than what a person has just done."""

    def dry_run(incident: str, at_us: Micros) -> Message:
        return compose(
            Notice(
                kind=Kind.DRY_RUN,
                key=incident,
                version=VERSION,
                summary="would be quarantined",
                description="",
                at_us=at_us,
                labels={"cause": "data_drift"},
                annotations={"incident_id": incident, "severity": Severity.LOW},
            )
        )

    tick_us = desk.clock.advance(10)
    desk.put(dry_run("i1", desk.at(0)))
    desk.round()
    ended_us = desk.clock.advance(5)
    desk.put(settled(IncidentStatus.RESOLVED, at_us=ended_us, verdict=Verdict.BENIGN))
    desk.round()
    desk.clock.advance(1)
    desk.put(dry_run("i2", tick_us))
    desk.round()
    first, over, second = desk.channels["ops"].payloads
    assert (first.group_key, over.group_key, over.status) == ("incident/i1", "incident/i1", "resolved")
    assert (second.group_key, second.status) == ("incident/i2", "firing")
    assert second.alerts[0].starts_at >= over.alerts[0].ends_at, "receivers tell a return by that"
    desk.put(settled(IncidentStatus.RESOLVED, at_us=desk.clock.advance(9), verdict=Verdict.BENIGN, incident="i2"))
    desk.round()
    last = desk.channels["ops"].payloads[-1]
    assert (last.group_key, last.status) == ("incident/i2", "resolved")


def test_a_group_is_over_when_everything_in_it_is(desk: Desk) -> None:
    at = desk.clock.now_us
    desk.put(alert("a", at_us=at()))
    desk.put(state("s1", "quarantined", at_us=at(), severity=Severity.HIGH, firing=True, incident="i1"))
    desk.round(rounds=2)
    desk.put(settled(IncidentStatus.RESOLVED, at_us=desk.clock.advance(1), verdict=Verdict.BENIGN))
    desk.round()
    desk.put(state("s2", "active", at_us=desk.clock.advance(1), severity=Severity.LOW, firing=False))
    desk.round()
    payloads = desk.channels["ops"].payloads
    assert [payload.status for payload in payloads] == ["firing", "firing", "firing", "resolved"]
    assert {payload.group_key for payload in payloads} == {"incident/i1"}
    # What ends is as severe as what began: it takes the same ways.
    assert [message.severity for message in desk.channels["ops"].arrived][-1] is Severity.HIGH


def test_an_acknowledgement_goes_to_who_was_told_and_of_nothing_nobody_hears(desk: Desk) -> None:
    desk.put(settled(IncidentStatus.ACKNOWLEDGED, at_us=desk.clock.now_us(), incident="unheard"))
    desk.put(alert())
    desk.put(settled(IncidentStatus.ACKNOWLEDGED, at_us=desk.clock.now_us()))
    desk.round(rounds=3)
    assert desk.channels["ops"].kinds == ["alert_opened", "incident_acknowledged"]
    assert desk.channels["ops"].payloads[-1].status == "firing"
    assert desk.channels["ops"].payloads[-1].lazaretto.actor == "ada"
    assert len(desk.channels["log"].arrived) == 3


def quiet_desk(folder: Path) -> Desk:
    night = {"from": "22:00", "to": "06:00", "severities": ["low", "medium"]}
    desk = Desk(folder, "chat", settings={"channels": {"chat": hook(quiet=night)}})
    desk.clock.set(Micros(NOVEMBER - NOVEMBER % (24 * HOUR_US) + 23 * HOUR_US))
    return desk


def test_quiet_hours_hold_what_is_mild_until_they_end_and_then_tell_it_in_order(tmp_path: Path) -> None:
    desk = quiet_desk(tmp_path)
    desk.put(alert(at_us=desk.clock.now_us()))
    desk.round()
    desk.put(settled(IncidentStatus.RESOLVED, at_us=desk.clock.advance(60), verdict=Verdict.BENIGN))
    for _ in range(6 * 60 + 50):
        desk.round()
        desk.clock.advance(60)
    assert desk.channels["chat"].arrived == []
    for _ in range(12):
        desk.round()
        desk.clock.advance(60)
    assert desk.channels["chat"].kinds == ["alert_opened", "incident_resolved"]
    assert len(desk.channels["log"].arrived) == 2


def test_what_is_high_is_told_at_once_and_brings_along_what_was_held_before_it(tmp_path: Path) -> None:
    desk = quiet_desk(tmp_path)
    desk.put(alert("mild", at_us=desk.clock.now_us()))
    desk.round()
    desk.put(alert("grave", at_us=desk.clock.now_us(), severity=Severity.HIGH, incident="i2", cause="adversarial"))
    desk.round(rounds=2)
    assert [p.alerts[0].labels["cause"] for p in desk.channels["chat"].payloads] == ["data_drift", "adversarial"]


def test_that_a_channel_fails_is_never_told_on_that_channel_and_always_somewhere(tmp_path: Path) -> None:
    routes = [{"channels": ["ops"]}]
    desk = Desk(tmp_path, "ops", "chat", settings={"channels": {"ops": hook(), "chat": hook()}, "routes": routes})
    desk.put(failing_message(ChannelState(name="ops"), desk.clock.now_us(), desk.clock.now_us(), firing=True))
    desk.round()
    assert desk.channels["ops"].arrived == []
    assert desk.channels["chat"].kinds == ["notifications_failing"]


def test_a_release_that_waits_is_settled_by_the_next_state(desk: Desk) -> None:
    from service.domain.notices import Kind
    from service.domain.records import Approvals
    from service.notify.compose import compose, release_pending
    from tests.service.alert.test_decide import VERSION

    asked = release_pending(VERSION, Approvals(have=1, need=2, by=("ada",)), "fine", desk.clock.now_us(), "k")
    desk.put(compose(asked))
    desk.round()
    desk.put(state("s", "active", at_us=desk.clock.advance(5), severity=Severity.LOW, firing=False))
    desk.round()
    firing = desk.store.outbox.firing("ops", desk.at(-1e6), 9)
    assert [(one.labels["alertname"], one.ends_us is None) for one in firing] == [("LazarettoReleasePending", False)]
    assert desk.channels["ops"].kinds == [Kind.RELEASE_PENDING, Kind.STATE_CHANGED]


def test_the_state_of_one_model_settles_nothing_of_another(desk: Desk) -> None:
    from service.domain.records import Approvals
    from service.notify.compose import compose, release_pending
    from tests.service.alert.test_decide import VERSION

    other = replace(VERSION, model="churn", version="3")
    asked = release_pending(other, Approvals(have=1, need=2, by=("ada",)), "fine", desk.clock.now_us(), "k")
    desk.put(compose(asked))
    desk.round()
    changed = state("s", "active", at_us=desk.clock.advance(5), severity=Severity.LOW, firing=False)
    desk.put(replace(changed, incident_id=None))
    desk.round()
    firing = desk.store.outbox.firing("ops", desk.at(-1e6), 9)
    assert [(one.model, one.labels["alertname"], one.ends_us) for one in firing] == [
        ("churn", "LazarettoReleasePending", None)
    ]


def test_links_lead_to_the_console(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ops", settings={"external_url": "https://watch.example.org/"})
    desk.put(alert())
    desk.round()
    payload = payload_of(desk.channels["ops"].arrived[0])
    assert payload.external_url == "https://watch.example.org/incidents/i1"
    assert payload.alerts[0].generator_url == "https://watch.example.org/incidents/i1"
