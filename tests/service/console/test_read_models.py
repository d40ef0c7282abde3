"""What a page decides to show, from facts."""

import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest

from service.api.status import Moment, status_of
from service.console.charts import Point
from service.console.facts import Facts, Sources, Status, gather
from service.console.read_models import version_page
from service.console.roll import Roll, share_of
from service.console.timeline import evidence_points
from service.console.words import with_interval
from service.domain.ids import Actor
from service.domain.keys import Identity
from service.domain.policy import Cause, Policy
from service.domain.records import ColumnFinding
from service.domain.states import State
from tests.fakes.looking import InMemoryLooking, standing_of
from tests.service.console.seeding import OPERATOR, READER, Fleet, busy_fleet

ADA = Identity(key_id="AbCd1234", actor=Actor("ada"), scopes=OPERATOR, models=None)


def facts_of(fleet: Fleet, model: str, version: str) -> Facts:
    read = fleet.store.read
    found, owner = read.version(model, version), read.model(model)
    assert found is not None
    assert owner is not None
    sources = Sources(read, InMemoryLooking(fleet.store), read.versions)
    return gather(sources, owner, found, fleet.clock.now_us(), 300.0)


def drawn(facts: Facts) -> list[Point]:
    return evidence_points(facts, facts.minutes)


@pytest.mark.parametrize(("model", "version"), [("digits", "1"), ("fraud-scorer", "2026-11-09"), ("churn", "7")])
def test_the_figures_are_those_of_the_api(model: str, version: str) -> None:
    fleet = busy_fleet()
    facts = facts_of(fleet, model, version)
    page = version_page(facts, ADA)
    moment = Moment(now_us=fleet.clock.now_us(), stale_seconds=300.0, lag_seconds=0.0)
    status = status_of(facts.version, facts.model.policy, facts.snapshot, moment)
    assert page.certainty.threshold == f"{status.threshold_log10:.1f}"
    expected = None if status.evidence_log10 is None else f"{status.evidence_log10:.1f}"
    assert page.certainty.evidence == expected
    assert page.events == f"{status.events_total:,}"
    by_name = {column.name: column for column in page.all_columns}
    for column in status.columns if facts.snapshot else []:
        shown = by_name[column.name]
        assert column.evidence_log10 is not None
        assert shown.evidence == f"{column.evidence_log10:.1f}"
        psi, limits = column.effects["psi"], column.intervals["psi"]
        assert psi is not None
        assert limits is not None
        assert dict(shown.effects)["PSI"] == with_interval(psi, limits)


def test_a_dry_run_is_no_reason_to_do_nothing() -> None:
    fleet = busy_fleet()
    (digits,) = fleet.store.read.versions("digits")
    tables = fleet.store.tables
    tables.versions[digits.id] = replace(digits, state=State.ACTIVE)
    tables.models[digits.model_id] = replace(tables.models[digits.model_id], policy=Policy(dry_run=True))
    page = version_page(facts_of(fleet, "digits", "1"), ADA)
    assert page.held_back is not None
    assert "would now be quarantined" in page.held_back
    assert "resolve the incident" in page.steps.advice
    quiet = version_page(facts_of(fleet, "fraud-scorer", "2026-11-02"), ADA)
    assert (quiet.held_back, quiet.steps.advice) == (None, "Nothing to do.")


def test_without_an_alarm_the_cards_show_the_effect_sizes_of_the_api_too() -> None:
    facts = facts_of(busy_fleet(), "fraud-scorer", "2026-11-02")
    page = version_page(facts, ADA)
    listed = {column.name: column.effects for column in page.all_columns}
    assert page.columns
    assert all(column.effects == listed[column.name] for column in page.columns)


def test_blamed_columns_come_first_in_the_order_of_the_alarm() -> None:
    page = version_page(facts_of(busy_fleet(), "digits", "1"), ADA)
    assert [(column.name, column.blamed) for column in page.columns] == [
        ("sharpness", True), ("grain", True), ("brightness", True), ("contrast", False),
    ]  # fmt: skip


def test_the_histograms_of_an_alarm_hold_just_the_events_since_the_change() -> None:
    facts = facts_of(busy_fleet(), "digits", "1")
    assert facts.current is not None
    assert facts.current.events == 600
    newest = [np.frombuffer(window.counts, np.int64) for window in facts.minutes[-2:]]
    assert np.array_equal(facts.current.counts, newest[0] + newest[1])
    window = version_page(facts, ADA).window
    assert window == "the 600 events since the change began, 09:58:30 to 10:00:45 UTC"


@pytest.mark.parametrize("blob", [b"", b"\xff", msgspec.msgpack.encode([99, 0, 0, 0, 0.0, True])])
def test_a_snapshot_of_another_release_still_gives_a_page(blob: bytes) -> None:
    fleet = busy_fleet()
    tables = fleet.store.tables
    version = tables.version("digits", "1")
    assert version is not None
    tables.snapshots[version.id] = replace(tables.snapshots[version.id], blob=blob)
    page = version_page(facts_of(fleet, "digits", "1"), ADA)
    began = "09:57:00, the minute in which the change began, to 10:00:45 UTC"
    assert page.window == f"the 1,200 events from {began}"
    assert page.columns[0].bars


@pytest.mark.parametrize(("events", "exact"), [(600, True), (400, True), (299, False)])
def test_a_change_of_too_few_events_is_shown_with_the_rest_of_its_minutes(events: int, exact: bool) -> None:
    facts = facts_of(busy_fleet(), "digits", "1")
    assert facts.change is not None
    current = replace(facts, change=replace(facts.change, events=events)).current
    assert current is not None
    assert current.events == (events if exact else 1_200)


def test_evidence_is_drawn_by_the_tick_where_the_worker_still_holds_the_ticks() -> None:
    facts = facts_of(busy_fleet(), "digits", "1")
    last = facts.minutes[-1].start_us
    trail = ((last - 500_000, 1.5), (last + 500_000, None), (last + 1_500_000, 4.0))
    points = drawn(replace(facts, alerts=(), status=Status(trail=trail, last_arrival_us=last + 2_000_000)))
    assert [point.log_evidence for point in points[-3:]] == [1.5, -math.inf, 4.0]
    assert [point.at_us - point.since_us for point in points[-3:]] == [1_000_000, 1_000_000, 500_000]
    assert len(points) == len(facts.minutes) - 1 + 3
    assert all(a.at_us == b.since_us for a, b in pairwise(points))


def test_before_the_first_tick_of_all_nothing_is_drawn() -> None:
    facts = replace(facts_of(busy_fleet(), "digits", "1"), alerts=())
    minute = replace(facts.minutes[-1], evidence_log_max=40.00004)
    trail = ((minute.start_us + 30_000_000, 1.0), (minute.start_us + 31_000_000, 40.0))
    last = minute.start_us + 32_000_000
    facts = replace(facts, minutes=(minute,), status=Status(trail=trail, last_arrival_us=last))
    assert drawn(facts)[0].since_us == trail[0][0]
    higher = replace(facts, minutes=(replace(minute, evidence_log_max=41.0),))
    assert drawn(higher)[0].since_us == minute.start_us
    full = tuple((minute.start_us + 30_000_000 + i, 40.0) for i in range(240))
    assert drawn(replace(facts, status=Status(trail=full, last_arrival_us=last)))[0].since_us == minute.start_us


def test_a_version_whose_baseline_promises_nothing_is_never_said_to_need_nothing() -> None:
    facts = facts_of(busy_fleet(), "churn", "7")
    assert facts.version.state is State.ACTIVE
    facts = replace(facts, version=replace(facts.version, baseline_id="b"))
    status = replace_status(facts, monitoring="insufficient", insufficient="12 rows")
    page = version_page(replace(facts, status=status), ADA)
    assert page.steps.advice.startswith("Put reference data that can support a promise")
    quiet = version_page(replace(facts, status=status, stale_seconds=-1.0), ADA)
    assert quiet.monitoring.startswith("Stale: no event for")
    assert quiet.monitoring.endswith("Insufficient, so nothing raises an alert: 12 rows.")


def replace_status(facts: Facts, **changes: Any) -> Status:
    last = facts.now_us if facts.status.last_us is None else facts.status.last_us
    return msgspec.structs.replace(facts.status, last_arrival_us=last, **changes)


def test_a_pause_between_ticks_is_not_drawn() -> None:
    facts = replace(facts_of(busy_fleet(), "digits", "1"), minutes=(), alerts=())
    last = 600 * 60_000_000
    trail = ((0, 1.0), (last, 2.0))
    first, second = drawn(replace(facts, status=Status(trail=trail, last_arrival_us=last + 1)))
    assert (first.at_us, second.since_us) == (60_000_000, last)


def test_the_chart_says_what_its_steps_are() -> None:
    facts = facts_of(busy_fleet(), "digits", "1")
    assert version_page(facts, ADA).chart_note == "the highest of each minute"
    last, first = facts.minutes[-1].start_us, facts.minutes[0].start_us
    late, early = (Status(trail=((at, 1.0),), last_arrival_us=last + 1) for at in (last, first))
    expected = "the highest of each minute, tick by tick from 10:00:00"
    assert version_page(replace(facts, status=late), ADA).chart_note == expected
    assert version_page(replace(facts, status=early), ADA).chart_note == "tick by tick"


def test_evidence_is_not_drawn_before_the_change_that_raised_it() -> None:
    fleet = busy_fleet()
    alert = fleet.store.tables.alerts["a1"]
    points = drawn(facts_of(fleet, "digits", "1"))
    (point,) = [point for point in points if point.since_us <= alert.since_us < point.at_us]
    assert point.since_us == alert.since_us
    before = points[points.index(point) - 1]
    assert before.at_us < alert.since_us


def test_windows_of_an_earlier_baseline_are_left_out() -> None:
    fleet = busy_fleet()
    tables = fleet.store.tables
    version = tables.version("digits", "1")
    assert version is not None
    before = len(facts_of(fleet, "digits", "1").minutes)
    newest = max(key for key in tables.windows if key[0] == version.id)
    tables.windows[newest] = replace(tables.windows[newest], baseline_id="earlier")
    assert len(facts_of(fleet, "digits", "1").minutes) == before - 1


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_its_advice_and_only_possible_steps(state: State) -> None:
    fleet = Fleet.new()
    fleet.add_version("digits", "1", state)
    steps = version_page(facts_of(fleet, "digits", "1"), ADA).steps
    assert steps.advice
    assert sum(step.first for step in steps.steps) <= 1
    assert bool(steps.steps) == (state is not State.RETIRED)
    assert [step.event for step in steps.steps if step.later] == (["release"] if state is State.QUARANTINED else [])
    assert not any(step.later and step.first for step in steps.steps)
    reader = replace(ADA, scopes=READER)
    assert version_page(facts_of(fleet, "digits", "1"), reader).steps.steps == ()


@pytest.mark.parametrize(("reviewers", "people"), [(1, "one person"), (2, "2 people")])
def test_in_quarantine_the_page_says_how_the_release_works(reviewers: int, people: str) -> None:
    fleet = Fleet.new()
    fleet.add_version("digits", "1", State.QUARANTINED, Policy(reviewers=reviewers))
    steps = version_page(facts_of(fleet, "digits", "1"), ADA).steps
    assert steps.note == (f"Release comes after the review has started; it needs {people}, and not the deployer alone.")
    assert [step.event for step in steps.steps[:2]] == ["start_review", "release"]


def test_under_review_the_release_comes_first() -> None:
    fleet = Fleet.new()
    fleet.add_version("digits", "1", State.UNDER_REVIEW)
    steps = version_page(facts_of(fleet, "digits", "1"), ADA).steps
    assert (steps.steps[0].event, steps.steps[0].first, steps.note) == ("release", True, None)


@pytest.mark.parametrize(
    ("reviewers", "who", "advice"),
    [
        (2, "ada", r"\(2 different people must ask for it\)"),
        (1, "ada", r"harmless, or"),
        (1, "mira", r"\(2 different people"),
    ],
)
def test_release_advice_counts_people_as_the_office_does(reviewers: int, who: str, advice: str) -> None:
    fleet = Fleet.new()
    fleet.add_version("digits", "1", State.UNDER_REVIEW, Policy(reviewers=reviewers))
    page = version_page(facts_of(fleet, "digits", "1"), replace(ADA, actor=Actor(who)))
    assert re.search(advice, page.steps.advice)


def test_what_needs_attention_most_comes_first() -> None:
    fleet = busy_fleet()
    roll = Roll(lambda: standing_of(fleet.store, fleet.clock), InMemoryLooking(fleet.store))
    states = [entry.version.state for entry in roll.entries(ADA)]
    assert states == [State.QUARANTINED, State.SUSPECT, State.ACTIVE, State.ACTIVE, State.RETIRED]
    only = replace(ADA, models=frozenset({"churn"}))
    assert [entry.version.model for entry in roll.entries(only)] == ["churn"]


@pytest.mark.parametrize(
    ("evidence", "threshold", "share"),
    [(-math.inf, 14.7, 0.0), (math.nan, 14.7, 0.0), (7.35, 14.7, 0.5), (math.inf, 14.7, 1.0), (1.0, 0.0, 1.0)],
)
def test_the_meter_stays_between_nothing_and_full(evidence: float, threshold: float, share: float) -> None:
    assert share_of(evidence, threshold) == pytest.approx(share)


def test_the_columns_of_several_alerts_are_blamed_together_strongest_first() -> None:
    fleet = busy_fleet()
    tables = fleet.store.tables
    alert = tables.alerts["a1"]
    finding = replace(alert.columns[0], name="country", group="prediction", evidence_log=25.0, direction="grows: IT")
    other = replace(
        alert, id="a2", cause=Cause.PREDICTION_DRIFT, evidence_log=25.0, columns=(finding,), incident_id="i2"
    )
    tables.alerts["a2"] = other
    tables.incidents["i2"] = replace(tables.incidents["01jd9"], id="i2", cause=Cause.PREDICTION_DRIFT)
    page = version_page(facts_of(fleet, "digits", "1"), ADA)
    assert [column.name for column in page.columns] == ["country", "sharpness", "grain", "brightness"]
    assert page.why == "Prediction drift: country (grows: IT), sharpness (mean up), grain (mean up) and 1 more."
    assert page.incident is not None
    assert (page.incident.id, page.incident.others) == ("i2", 1)


def test_a_change_of_the_traffic_is_named_although_no_column_of_the_baseline_shows_it() -> None:
    fleet = busy_fleet()
    tables = fleet.store.tables
    rate = ColumnFinding(
        name="traffic.rate",
        group="traffic",
        direction="up, 2.1 times the usual",
        evidence_log=30.0,
        since_us=tables.alerts["a1"].since_us,
        effects={},
    )
    tables.alerts["a1"] = replace(tables.alerts["a1"], cause=Cause.TRAFFIC, columns=(rate,))
    page = version_page(facts_of(fleet, "digits", "1"), ADA)
    assert page.why == "Traffic: traffic.rate (up, 2.1 times the usual)."


def test_silence_is_shown_as_silence_and_not_as_a_change_of_the_data() -> None:
    fleet = busy_fleet()
    tables = fleet.store.tables
    version = tables.version("fraud-scorer", "2026-11-02")
    assert version is not None
    silent = replace(
        tables.alerts["a1"], id="a9", version_id=version.id, cause=Cause.STALE, evidence_log=0.0, columns=()
    )
    tables.alerts["a9"] = replace(silent, incident_id="i9")
    tables.incidents["i9"] = replace(
        tables.incidents["01jd9"], id="i9", version_id=version.id, cause=Cause.STALE, title="Silence in fraud-scorer"
    )
    status = msgspec.json.decode(tables.snapshots[version.id].status)
    text = msgspec.json.encode({**status, "monitoring": "stale"}).decode()
    tables.snapshots[version.id] = replace(tables.snapshots[version.id], status=text)
    page = version_page(facts_of(fleet, "fraud-scorer", "2026-11-02"), ADA)
    assert page.why is None
    assert page.certainty.alarm is None
    assert page.window is not None
    assert "change" not in page.window
    assert page.incident is not None
    assert (page.incident.title, page.incident.cause) == ("Silence in fraud-scorer", "Silence")
    assert page.monitoring.startswith("Stale: no event for")


@pytest.mark.parametrize(
    ("traffic", "said"),
    [
        (None, "Watching 8 columns; "),
        ({"state": "warming", "learnt": 0.4}, "Watching 8 columns (the usual traffic is learnt to 40%); "),
        ({"state": "watching", "learnt": 1.0}, "Watching 8 columns and the traffic; "),
        (
            {"state": "insufficient", "learnt": 1.0},
            "Watching 8 columns (the traffic varies too much for a usual rate); ",
        ),
        (
            {"state": "watching", "learnt": 1.0, "unknown_fields": ["a", "b"]},
            "Watching 8 columns and the traffic, fields that no schema knows: a, b; ",
        ),
        (
            {"state": "warming", "learnt": 0.4, "error_kinds": ["oom", "timeout", "503", "error"]},
            "Watching 8 columns (the usual traffic is learnt to 40%), latest errors: oom, timeout, 503; ",
        ),
    ],
)
def test_the_page_says_how_the_traffic_is_watched(traffic: dict[str, object] | None, said: str) -> None:
    fleet = busy_fleet()
    tables = fleet.store.tables
    version = tables.version("fraud-scorer", "2026-11-02")
    assert version is not None
    status = msgspec.json.decode(tables.snapshots[version.id].status)
    said = said.replace("8", str(len(status["columns"])))
    text = msgspec.json.encode({**status, "traffic": traffic}).decode()
    tables.snapshots[version.id] = replace(tables.snapshots[version.id], status=text)
    page = version_page(facts_of(fleet, "fraud-scorer", "2026-11-02"), ADA)
    assert page.monitoring.startswith(said)
