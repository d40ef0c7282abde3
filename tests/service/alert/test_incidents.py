"""Snoozes, maintenance, merging, stale views and the quality of alerts, decided purely."""

from dataclasses import replace

import pytest

from service.alert.hush import hush, snooze_of, snooze_over
from service.alert.maintenance import WINDOWS_MAX, check_window, holding
from service.alert.merge import merge
from service.alert.quality import Share, by_model, quality
from service.alert.stale import stale
from service.alert.triage import Act, IncidentAction, StaleView, act_on
from service.domain.errors import Conflict, Unprocessable
from service.domain.ids import Actor, Micros, VersionId
from service.domain.incidents import Bearing, Exposure, Hush, Maintenance, regressed
from service.domain.notices import Kind
from service.domain.policy import Budget, Cause, Policy
from service.domain.records import Incident, IncidentStatus, Severity, TimelineItem, Verdict
from tests.service.alert.test_triage import ANA, INCIDENT

SECOND = 1_000_000
DAY = 86_400 * SECOND
NOW = Micros(100 * DAY)
WINDOW = Maintenance(
    id="w",
    model="fraud",
    start_us=NOW,
    end_us=Micros(NOW + DAY),
    quarantine=True,
    reason="new sensors",
    created_us=NOW,
    created_by=ANA,
)


def resolved(
    verdict: Verdict | None, *, seconds: int = 60, acknowledged: int | None = None, **changed: object
) -> Incident:
    incident = replace(
        INCIDENT,
        opened_us=Micros(0),
        status=IncidentStatus.RESOLVED,
        verdict=verdict,
        resolved_us=Micros(seconds * SECOND),
        acknowledged_us=None if acknowledged is None else Micros(acknowledged * SECOND),
    )
    return replace(incident, **changed)  # type: ignore[arg-type]


def test_an_action_on_what_was_seen_is_refused_once_it_has_changed() -> None:
    assert act_on(INCIDENT, Act(action=IncidentAction.ACK, expected=3), ANA, Micros(9))[0].acknowledged_us == 9
    with pytest.raises(StaleView):
        act_on(INCIDENT, Act(action=IncidentAction.ACK, expected=2), ANA, Micros(9))


def test_the_refusal_says_what_has_changed_and_no_more() -> None:
    items = [
        TimelineItem(at_us=Micros(n * SECOND), actor=ANA, kind=kind, body=body)
        for n, (kind, body) in enumerate([("opened", "x"), ("ack", ""), ("assign", "to bob"), ("rebuilt", "y")])
    ]
    error = stale(replace(INCIDENT, assignee="bob"), items, 2, "If-Match")
    assert "assign by ana at 1970-01-01 00:00:02 UTC (to bob). It is open, with bob now" in error.detail
    assert "ack by" not in error.detail
    assert error.extra == {"lock": 3}
    assert "not 7" in stale(INCIDENT, items, 7, "If-Match").detail


def test_what_only_is_written_down_beside_an_incident_takes_no_change_s_place() -> None:
    """Of all kinds of entries, those that let the number of changes grow are told, and no other."""
    aside = ("opened", "evidence", "rebuilt", "reached", "enforced", "not_enforced", "break_glass", "told", "dry_run")
    items = [TimelineItem(at_us=Micros(1), actor=Actor("ben"), kind="ack", body="on it")]
    items += [TimelineItem(at_us=Micros(2), actor=Actor("lazaretto"), kind=kind, body="") for kind in aside]
    error = stale(replace(INCIDENT, lock=1), items, 0, "If-Match")
    assert "changed since you looked: ack by ben" in error.detail
    assert "lazaretto" not in error.detail


@pytest.mark.parametrize("until", [NOW, NOW - 1, NOW + 8 * DAY])
def test_a_snooze_ends_in_the_future_and_within_a_week(until: int) -> None:
    with pytest.raises(Unprocessable) as refused:
        snooze_of(INCIDENT, until_us=Micros(until), until_worse=False, actor=ANA, at_us=NOW)
    assert [place.at for place in refused.value.places] == ["until"]


def test_a_snooze_without_a_time_needs_until_worse_and_ends_all_the_same() -> None:
    with pytest.raises(Unprocessable):
        snooze_of(INCIDENT, until_us=None, until_worse=False, actor=ANA, at_us=NOW)
    snooze = snooze_of(INCIDENT, until_us=None, until_worse=True, actor=ANA, at_us=NOW)
    assert snooze.until_us == NOW + 7 * DAY
    assert snooze_over(snooze, Severity.MEDIUM, None, Micros(NOW + 1)) is None
    assert snooze_over(snooze, Severity.HIGH, None, Micros(NOW + 1)) == "it is worse: severity high, was medium"
    assert snooze_over(snooze, Severity.LOW, None, Micros(NOW + 7 * DAY)) == "its time is over"


def test_a_snooze_until_a_time_holds_whatever_happens() -> None:
    snooze = snooze_of(INCIDENT, until_us=Micros(NOW + DAY), until_worse=False, actor=ANA, at_us=NOW)
    assert snooze_over(snooze, Severity.HIGH, None, Micros(NOW + 1)) is None


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in {Kind.ALERT_OPENED, Kind.DRY_RUN, Kind.CAPPED}])
def test_nothing_ever_hides_what_happens_to_traffic_or_what_is_over(kind: Kind) -> None:
    snooze = snooze_of(INCIDENT, until_us=Micros(NOW + DAY), until_worse=False, actor=ANA, at_us=NOW)
    bearing = Bearing(snooze=snooze, windows=(WINDOW,), over_us=NOW, cooldown_us=DAY)
    assert hush(kind, Severity.LOW, Cause.DATA_DRIFT, "i1", bearing, Micros(NOW + 1)) is None


def test_a_window_hides_drift_and_never_an_attack() -> None:
    def why(cause: Cause, at: int) -> Hush | None:
        found = hush(Kind.ALERT_OPENED, Severity.HIGH, cause, "i1", Bearing(windows=(WINDOW,)), Micros(at))
        return None if found is None else found.why

    assert why(Cause.DATA_DRIFT, NOW) is Hush.MAINTENANCE
    assert why(Cause.DATA_DRIFT, NOW + DAY - 1) is Hush.MAINTENANCE
    assert why(Cause.DATA_DRIFT, NOW - 1) is None
    assert why(Cause.DATA_DRIFT, NOW + DAY) is None
    assert why(Cause.ADVERSARIAL, NOW) is None


def test_cooldown_holds_from_the_end_of_the_incident_before() -> None:
    bearing = Bearing(over_us=NOW, cooldown_us=10)
    found = hush(Kind.ALERT_OPENED, Severity.HIGH, Cause.LATENCY, "i1", bearing, Micros(NOW + 9))
    assert found is not None
    assert (found.why, found.until_us) == (Hush.COOLDOWN, NOW + 10)
    assert hush(Kind.ALERT_OPENED, Severity.HIGH, Cause.LATENCY, "i1", bearing, Micros(NOW + 10)) is None


@pytest.mark.parametrize(
    ("window", "place"),
    [
        (replace(WINDOW, end_us=NOW), "end"),
        (replace(WINDOW, end_us=Micros(NOW + 7 * DAY + 1)), "end"),
        (replace(WINDOW, start_us=Micros(NOW + 91 * DAY), end_us=Micros(NOW + 92 * DAY)), "start"),
        (replace(WINDOW, reason=""), "reason"),
        (replace(WINDOW, reason="\x1b[2J"), "reason"),
    ],
)
def test_a_window_that_must_not_be_names_its_place(window: Maintenance, place: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        check_window(window, (), NOW)
    assert place in [one.at for one in refused.value.places]


def test_windows_are_bounded_and_a_cancelled_one_covers_nothing_more() -> None:
    check_window(WINDOW, [WINDOW] * (WINDOWS_MAX - 1), NOW)
    with pytest.raises(Conflict):
        check_window(WINDOW, [WINDOW] * WINDOWS_MAX, NOW)
    holds = replace(WINDOW, quarantine=False)
    assert holding([WINDOW], "fraud", NOW) is None
    assert holding([holds], "fraud", NOW) is holds
    assert holding([holds], "other", NOW) is None
    assert holding([replace(holds, cancelled_us=Micros(NOW + 5))], "fraud", Micros(NOW + 5)) is None


def test_merging_ends_the_part_without_a_verdict_and_keeps_the_worse_severity() -> None:
    whole = replace(INCIDENT, id="i2", severity=Severity.LOW)
    (gone, said), (grown, heard) = merge(INCIDENT, whole, "one deploy", ANA, Micros(9))
    assert (gone.status, gone.verdict, gone.resolved_us) == (IncidentStatus.RESOLVED, None, 9)
    assert (grown.status, grown.severity) == (IncidentStatus.OPEN, Severity.MEDIUM)
    assert (said.kind, heard.kind) == ("merge", "merged")
    with pytest.raises(Unprocessable):
        merge(INCIDENT, INCIDENT, "", ANA, Micros(9))
    with pytest.raises(Unprocessable):
        merge(INCIDENT, replace(whole, model="other"), "", ANA, Micros(9))
    with pytest.raises(Conflict):
        merge(INCIDENT, resolved(Verdict.BENIGN, id="i3"), "", ANA, Micros(9))


def test_the_last_one_of_the_same_cause_is_what_regressed() -> None:
    opened = replace(INCIDENT, opened_us=Micros(100 * SECOND))
    older, newer = resolved(None, id="a", seconds=10), resolved(Verdict.BENIGN, id="b", seconds=20)
    others = [
        resolved(None, id="c", seconds=30, cause=Cause.LATENCY),
        resolved(None, id="d", seconds=30, version_id=VersionId(2)),
        resolved(None, id="e", seconds=101),
        replace(INCIDENT, id="f"),
    ]
    assert regressed(opened, [older, newer, *others]) is newer
    assert regressed(opened, others) is None


def test_shares_have_exact_intervals() -> None:
    low, high = Share(hits=8, trials=10).interval or (0.0, 0.0)
    assert [low, high] == pytest.approx([0.4439, 0.9748], abs=1e-4)
    assert Share(hits=0, trials=0).interval is None
    assert list(Share(hits=3, trials=3).interval or ()) == pytest.approx([0.025 ** (1 / 3), 1.0])
    assert list(Share(hits=0, trials=3).interval or ()) == pytest.approx([0.0, 1 - 0.025 ** (1 / 3)])


def test_quality_counts_what_people_said() -> None:
    incidents = [
        resolved(Verdict.REAL_DRIFT, id="a", seconds=100, acknowledged=10),
        resolved(Verdict.DATA_BUG, id="b", seconds=300, acknowledged=30),
        resolved(Verdict.FALSE_ALARM, id="c", seconds=20),
        resolved(Verdict.FALSE_ALARM, id="d", seconds=40, cause=Cause.ADVERSARIAL),
        resolved(None, id="e", seconds=5),
        replace(INCIDENT, id="f"),
    ]
    exposure = Exposure(
        version_id=VersionId(1), model="fraud", hours=240, policy=Policy(budget=Budget(false_alarms=1, per_days=20))
    )
    found = quality(incidents, [exposure])
    assert (found.incidents, found.unjudged) == (6, 2)
    assert (found.precision.hits, found.precision.trials) == (2, 4)
    assert (found.acknowledge.measured, found.acknowledge.median, found.acknowledge.p90) == (4, 25.0, 40.0)
    assert (found.decide.measured, found.decide.median, found.decide.p90) == (4, 70.0, 300.0)
    # One column alarm in ten days, of which 0.5 were promised: Garwood's interval is 0.025 to 5.57.
    assert (found.promise.achieved, found.promise.promised, found.promise.watched_days) == (1, 0.5, 10.0)
    assert list(found.promise.interval) == pytest.approx([0.0253, 5.5716], abs=1e-4)
    assert found.promise.kept
    many = [resolved(Verdict.FALSE_ALARM, id=str(n)) for n in range(4)]
    assert not quality(many, [exposure]).promise.kept


def test_quality_of_each_model_and_of_nothing() -> None:
    nothing = quality([], [])
    assert (nothing.precision.ratio, nothing.acknowledge.median, nothing.promise.promised) == (None, None, 0.0)
    other = resolved(Verdict.ATTACK, id="z", model="other")
    found = by_model([resolved(Verdict.BENIGN), other], [])
    assert {name: one.precision.hits for name, one in found.items()} == {"fraud": 0, "other": 1}
