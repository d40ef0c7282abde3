"""Segments on the page of a version: what changed in one of them is told apart from what changed in all events."""

from dataclasses import replace

import msgspec

from service.console.read_models import version_page
from tests.service.console.seeding import Fleet, busy_fleet
from tests.service.console.test_read_models import ADA, facts_of


def segmented_fleet() -> Fleet:
    """Let the worker have seen a change in one of three segments, of which one is not watched by itself."""
    fleet = busy_fleet()
    tables = fleet.store.tables
    (digits,) = fleet.store.read.versions("digits")
    snapshot = tables.snapshots[digits.id]
    status = msgspec.json.decode(snapshot.status)
    status["segments"] = [
        {"segment": "region=br", "value": "br", "share": 0.25, "insufficient": None, "log_evidence": 3.0},
        {"segment": "region=eu", "value": "eu", "share": 0.25, "insufficient": None, "log_evidence": 25.0},
        {"segment": "region=us", "value": "us", "share": 0.0, "insufficient": "too few rows"},
    ]
    tables.snapshots[digits.id] = replace(snapshot, status=msgspec.json.encode(status).decode())
    alert = tables.alerts["a1"]
    inside = replace(alert.columns[0], evidence_log=25.0, segment="region=eu", effects={"psi": 0.314})
    tables.alerts["a1"] = replace(alert, columns=(inside, alert.columns[1]))
    return fleet


def test_what_changed_in_a_segment_is_told_apart_from_what_changed_in_all_events() -> None:
    page = version_page(facts_of(segmented_fleet(), "digits", "1"), ADA)
    assert page.why == "Data drift: grain (mean up), sharpness (mean up) in region=eu."
    assert {column.name for column in page.columns if column.blamed} == {"grain"}
    eu, br, us = page.segments
    assert (eu.name, eu.blamed, eu.share, eu.evidence) == ("region=eu", True, "25 %", "10.9")
    assert eu.text.startswith("sharpness (mean up, PSI 0.314) since ")  # as it was at the alarm
    assert (br.blamed, br.text) == (False, "Nothing is blamed here.")
    assert (us.share, us.evidence, us.text) == ("none", None, "Not watched by itself: too few rows.")


def test_what_changed_in_a_segment_has_its_effect_with_an_interval() -> None:
    fleet = segmented_fleet()
    (digits,) = fleet.store.read.versions("digits")
    snapshot = fleet.store.tables.snapshots[digits.id]
    status = msgspec.json.decode(snapshot.status)
    status["segments"][1]["columns"] = [
        {"name": "sharpness", "effects": {"psi": 0.4123}, "intervals": {"psi": [0.3517, 0.4811]}},
        {"name": "grain", "effects": {}, "intervals": {}},
    ]
    fleet.store.tables.snapshots[digits.id] = replace(snapshot, status=msgspec.json.encode(status).decode())
    eu = version_page(facts_of(fleet, "digits", "1"), ADA).segments[0]
    assert eu.text.startswith("sharpness (mean up, PSI 0.41 (0.35 to 0.48)) since ")


def test_without_segments_the_page_has_none() -> None:
    assert version_page(facts_of(busy_fleet(), "digits", "1"), ADA).segments == ()
