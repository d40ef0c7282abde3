"""The status answer."""

import math
import tracemalloc
from dataclasses import replace

import msgspec
import pytest

from service.api.status import Moment, Status, status_of
from service.api.watch import EVIDENCE_MAX, e_value, watch_of
from service.domain.ids import Micros
from service.domain.policy import Budget, Policy
from service.domain.records import Snapshot
from tests.fakes.clock import NOVEMBER
from tests.service.api.snapshots import a_column, a_snapshot
from tests.service.gate.fleets import a_version

MOMENT = Moment(now_us=NOVEMBER, stale_seconds=300.0, lag_seconds=0.25)


def status(snapshot: Snapshot | None, policy: Policy | None = None) -> Status:
    return status_of(a_version("fraud", "1"), policy or Policy(), snapshot, MOMENT)


def test_statuses_that_others_have_replaced_are_not_kept() -> None:
    columns = [a_column(f"column {i}") for i in range(100)]
    size = len(a_snapshot(1, *columns).status)
    tracemalloc.start()
    try:
        for events in range(50):
            snapshot = a_snapshot(1, *columns, log_evidence=float(events))
            assert watch_of(snapshot) is watch_of(snapshot)
            assert watch_of(snapshot).log_evidence == events
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 20 * size


def test_it_has_every_field_of_the_contract() -> None:
    answer = msgspec.to_builtins(status(a_snapshot(1, a_column("age"))))
    assert {
        "state",
        "since",
        "reason",
        "evidence",
        "threshold",
        "budget",
        "baseline_id",
        "events_total",
        "lag_seconds",
        "columns",
        "evidence_log10",
        "monitoring",
        "labels_total",
    } <= set(answer)
    assert {"name", "kind", "evidence", "effects", "since"} <= set(answer["columns"][0])
    assert {"psi", "js", "ks", "wasserstein"} <= set(answer["columns"][0]["effects"])
    assert answer["since"] == "1970-01-01T00:00:00.000000Z"


def test_the_budget_says_what_was_promised() -> None:
    policy = Policy(budget=Budget(false_alarms=2, per_days=10), tick_seconds=0.5)
    answer = status(None, policy)
    assert msgspec.to_builtins(answer.budget) == {
        "false_alarms": 2,
        "per_days": 10,
        "tick_seconds": 0.5,
        "ticks": 864_000.0,
    }
    assert answer.threshold == pytest.approx(864_000.0)


def test_columns_come_strongest_first_and_none_is_left_out() -> None:
    columns = [a_column("weak", -1.0), a_column("none", None), a_column("strong", 5.0)]
    answer = status(a_snapshot(1, *columns))
    assert [column.name for column in answer.columns] == ["strong", "weak", "none"]
    assert answer.columns[0].evidence == pytest.approx(math.e**5)
    assert answer.columns[2].evidence == 0.0


def test_undefined_effects_are_null_and_effects_are_of_the_hour() -> None:
    effects = status(a_snapshot(1, a_column("age", psi=0.4))).columns[0].effects
    assert effects["ks"] is None
    assert effects["psi"] == 0.4


def test_effects_come_with_their_intervals_and_an_older_snapshot_has_none() -> None:
    column = a_column("age", psi=0.4)
    intervals = status(a_snapshot(1, column)).columns[0].intervals
    assert (intervals["psi"], intervals["ks"]) == ((0.2, 0.8), None)
    del column["intervals"]
    older = status(a_snapshot(1, column)).columns[0].intervals
    assert older == dict.fromkeys(("psi", "js", "ks", "wasserstein", "hellinger"))


def test_before_any_event_the_schema_tells_the_columns() -> None:
    answer = status(None)
    assert [(column.name, column.kind) for column in answer.columns] == [
        ("age", "numeric"),
        ("prediction", "categorical"),
    ]
    assert (answer.monitoring, answer.evidence, answer.evidence_log10) == ("warming", 0.0, None)


@pytest.mark.parametrize(("age_seconds", "expected"), [(299, "watching"), (301, "stale")])
def test_a_version_without_events_goes_stale(age_seconds: int, expected: str) -> None:
    last = NOVEMBER - age_seconds * 1_000_000
    assert status(a_snapshot(last_arrival_us=last)).monitoring == expected


def test_evidence_is_capped_where_a_double_would_overflow() -> None:
    assert e_value(5_000.0) == EVIDENCE_MAX
    assert e_value(None) == 0.0
    assert e_value(-math.inf) == 0.0
    assert status(a_snapshot(log_evidence=5_000.0)).evidence_log10 == pytest.approx(2171.47, abs=0.01)


def test_the_last_event_is_dated() -> None:
    assert status(a_snapshot(last_arrival_us=Micros(1_000_000))).last_event == "1970-01-01T00:00:01.000000Z"


def test_what_is_missing_for_a_promise_and_what_a_policy_says_in_vain_is_told() -> None:
    text = (
        '{"monitoring": "insufficient", "insufficient": "the reference has 40 rows",'
        ' "notes": [{"at": "policy.columns.agee", "reason": "no such column"}]}'
    )
    answer = status(replace(a_snapshot(1), status=text))
    assert (answer.monitoring, answer.insufficient) == ("insufficient", "the reference has 40 rows")
    assert answer.warnings == [{"at": "policy.columns.agee", "reason": "no such column"}]
    assert (status(None).insufficient, status(None).warnings) == (None, [])


def test_segments_are_listed_with_their_evidence() -> None:
    column = {"name": "age", "log_evidence": 20.0, "since_us": 5, "direction": "mean up", "effects": {"psi": 0.3}}
    told = {"segment": "region=eu", "value": "eu", "rows": 900, "share": 0.25, "log_evidence": 18.4, "ticks": 3}
    segments = [
        told | {"insufficient": None, "events_total": 70, "columns": [column]},
        {"segment": "region=us", "value": "us", "rows": 0, "share": 0.0, "insufficient": "too few rows"},
    ]
    snapshot = a_snapshot(1, a_column("age"))
    status_text = msgspec.json.decode(snapshot.status) | {"segments": segments}
    answer = status(replace(snapshot, status=msgspec.json.encode(status_text).decode()))
    eu, us = answer.segments
    assert (eu.segment, eu.value, eu.share, eu.reference_rows, eu.events_total) == ("region=eu", "eu", 0.25, 900, 70)
    assert eu.evidence == pytest.approx(math.exp(18.4))
    assert (eu.columns[0].direction, eu.columns[0].since) == ("mean up", "1970-01-01T00:00:00.000005Z")
    assert (us.insufficient, us.evidence, us.columns) == ("too few rows", 0.0, [])
    assert status(snapshot).segments == []


def test_what_is_learnt_of_the_traffic_is_told_and_an_older_snapshot_has_none() -> None:
    text = (
        '{"monitoring": "watching", "traffic": {"state": "watching", "learnt": 1.0, "stale_after_seconds": 300.0,'
        ' "beat_seconds": 60.0, "unknown_fields": ["shoe_size"], "errors_total": 7, "error_kinds": ["oom"],'
        ' "columns": [{"name": "traffic.rate", "group": "traffic",'
        ' "log_evidence": 2.302585, "text": "2.1 times the usual", "tolerance": 1.5}]}}'
    )
    traffic = status(replace(a_snapshot(1), status=text)).traffic
    assert traffic is not None
    assert (traffic.monitoring, traffic.learnt, traffic.stale_after_seconds) == ("watching", 1.0, 300.0)
    assert traffic.unknown_fields == ["shoe_size"]
    assert (traffic.errors_total, traffic.error_kinds) == (7, ["oom"])
    (rate,) = traffic.columns
    assert (rate.name, rate.now, rate.tolerance) == ("traffic.rate", "2.1 times the usual", 1.5)
    assert rate.evidence == pytest.approx(10.0)
    assert status(a_snapshot(1)).traffic is None
