"""Odd values, traffic and labels on the page of a version."""

from dataclasses import replace

import msgspec
import numpy as np

from service.console.facts import Facts, StatusConduct, TrafficColumn, TrafficStatus
from service.console.quality import quality_section
from service.console.traffic import labels_sentence, traffic_section
from service.domain.adversarial import Adversarial, Following
from tests.service.console.seeding import busy_fleet
from tests.service.console.test_read_models import facts_of


def with_missing(events: int) -> Facts:
    """Let so many of the newest 300 events have no 'grain'."""
    facts = replace(facts_of(busy_fleet(), "fraud-scorer", "2026-11-02"), asked="1m")
    assert facts.baseline is not None
    column = next(column for column in facts.baseline.columns if column.name == "grain")
    newest = facts.minutes[-1]
    counts = np.frombuffer(newest.counts, np.int64).copy()
    inside = counts[column.place]
    missing = column.bins.index("missing")
    full = int(np.argmax(inside))
    moved = min(events, int(inside[full]))
    inside[full] -= moved
    inside[missing] += moved
    return replace(facts, minutes=[*facts.minutes[:-1], replace(newest, counts=counts.tobytes())])


def test_a_new_odd_value_is_named_and_worse_than_the_baseline() -> None:
    section = quality_section(with_missing(9))
    assert section is not None
    row = section.rows[0]
    assert (row.column, row.kind, row.baseline, row.worse) == ("grain", "missing", 0.0, True)
    # Two minutes of 300 events each are in the window of a minute: the newest one, and the one before.
    assert row.current == 9 / 600
    assert row.limits[0] < row.current < row.limits[1]


def test_a_single_odd_event_is_no_proof() -> None:
    section = quality_section(with_missing(1))
    assert section is not None
    (row,) = [row for row in section.rows if row.kind == "missing"]
    assert not row.worse


def test_without_events_or_baseline_there_is_no_section() -> None:
    assert quality_section(facts_of(busy_fleet(), "churn", "7")) is None


def test_traffic_is_told_with_what_is_usual() -> None:
    facts = facts_of(busy_fleet(), "digits", "1")
    assert traffic_section(facts) is None
    traffic = TrafficStatus(
        state="watching",
        learnt=1.0,
        stale_after_seconds=600.0,
        unknown_fields=("colour",),
        errors_total=3,
        error_kinds=("oom",),
        odd_probabilities=1_200,
        columns=(TrafficColumn(name="traffic.rate", log_evidence=2.302585, text="300 in 10 s", tolerance=1.5),),
    )
    section = traffic_section(replace(facts, status=msgspec.structs.replace(facts.status, traffic=traffic)))
    assert section is not None
    assert section.notes == (
        "A pause of 10 minutes is told.",
        "Fields that no schema knows: colour.",
        "3 events with an error, latest kinds: oom.",
        "1,200 events whose class probabilities do not add up to one.",
    )
    (row,) = section.rows
    assert (row.name, row.evidence, row.now, row.usual) == ("traffic.rate", "1.0", "300 in 10 s", "up to 1.5 times")


def test_who_reports_labels_is_told_only_where_principals_are_followed() -> None:
    facts = facts_of(busy_fleet(), "digits", "1")
    assert labels_sentence(facts) is None
    assert facts.snapshot is not None
    facts = replace(facts, snapshot=replace(facts.snapshot, labels_total=1_200))
    assert labels_sentence(facts) is None
    policy = msgspec.structs.replace(facts.model.policy, adversarial=Adversarial(follow=Following()))
    known = msgspec.structs.replace(facts.status, conduct=StatusConduct(labels_joined=1_000, labels_unknown=200))
    told = labels_sentence(replace(facts, model=replace(facts.model, policy=policy), status=known))
    assert told is not None
    assert "1,000 met the answer" in told
