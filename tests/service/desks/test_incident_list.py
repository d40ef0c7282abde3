"""The list of incidents: what its address asks for, page by page, and nothing of other people's models."""

import re

import pytest

from service.domain.policy import Cause
from service.domain.records import IncidentStatus, Severity, Verdict
from tests.service.desks.desk import Desk, Visitor, text_of

BYTES_MAX = 200 * 1024


def ids(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/incidents/(\w+)"', page)


def tabs(page: str) -> dict[str, int]:
    found = re.findall(r'<li><a href="/incidents[^"]*"[^>]*>(\w+) <span class="count">([\d,]+)</span>', page)
    return {name: int(number.replace(",", "")) for name, number in found}


def stocked(desk: Desk) -> Visitor:
    digits, fraud = desk.version("digits"), desk.version("fraud")
    over = {"status": IncidentStatus.RESOLVED, "resolved_us": desk.clock.now_us(), "verdict": Verdict.BENIGN}
    desk.incidents(
        [
            (digits, ("age",), Cause.DATA_DRIFT, 1.0, {"severity": Severity.MEDIUM}),  # i000001
            (digits, (), Cause.STALE, 2.0, {"severity": Severity.LOW, "status": IncidentStatus.ACKNOWLEDGED}),
            (fraud, (), Cause.LATENCY, 3.0, {"severity": Severity.HIGH, "assignee": "ada"}),
            (fraud, (), Cause.DATA_DRIFT, 0.5, over),
        ]
    )
    return desk.visitor("ada")


def test_unresolved_ones_come_first_the_worst_at_the_top(desk: Desk) -> None:
    ada = stocked(desk)
    page = ada.page("/incidents")
    assert ids(page) == ["i000003", "i000001", "i000002"]
    assert tabs(page) == {"Unresolved": 3, "Open": 2, "Acknowledged": 1, "Resolved": 1, "All": 4}
    assert ids(ada.page("/incidents?status=all")) == ["i000003", "i000001", "i000002", "i000004"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=resolved", ["i000004"]),
        ("status=acknowledged", ["i000002"]),
        ("severity=high", ["i000003"]),
        ("cause=stale", ["i000002"]),
        ("model=digits", ["i000001", "i000002"]),
        ("model=digits&cause=data_drift", ["i000001"]),
        ("model=nobody", []),
        ("mine=yes", ["i000003"]),
        ("status=all&model=fraud", ["i000003", "i000004"]),
        ("status=nonsense&severity=x&cause=y&page=-1", ["i000003", "i000001", "i000002"]),
    ],
)
def test_the_address_says_what_is_shown(desk: Desk, query: str, expected: list[str]) -> None:
    assert ids(stocked(desk).page(f"/incidents?{query}")) == expected


def test_a_filter_stays_in_every_address_of_the_page(desk: Desk) -> None:
    page = stocked(desk).page("/incidents?model=fraud&status=all")
    assert 'href="/incidents?status=open&amp;model=fraud"' in page
    assert '<option value="" selected>any cause' in page
    assert 'value="fraud"' in page


def test_a_key_of_some_models_sees_and_counts_only_these(desk: Desk) -> None:
    stocked(desk)
    page = desk.visitor("fred", models=frozenset({"digits"})).page("/incidents?status=all")
    assert ids(page) == ["i000001", "i000002"]
    assert tabs(page)["All"] == 2
    assert "fraud" not in page


def test_a_thousand_incidents_are_pages_of_fifty_and_small(desk: Desk) -> None:
    version = desk.version("digits")
    desk.incidents([(version, (), Cause.DATA_DRIFT, 1 + number / 1_000, {}) for number in range(120)])
    ada = desk.visitor("ada")
    seen = []
    for number in (1, 2, 3):
        page = ada.page(f"/incidents?page={number}")
        assert len(page.encode()) < BYTES_MAX
        seen += ids(page)
    assert len(seen) == len(set(seen)) == 120
    assert "101 to 120 of 120 incidents" in text_of(ada.page("/incidents?page=3"))
    # Beyond the last part is the last part.
    assert ids(ada.page("/incidents?page=99")) == seen[100:]


def test_a_page_that_has_not_changed_is_not_sent_again(desk: Desk) -> None:
    ada = stocked(desk)
    answer = ada.get("/incidents")
    known = {"if-none-match": answer.headers["etag"]}
    assert ada.get("/incidents", headers=known).status_code == 304
    assert ada.get("/incidents?status=all", headers=known).status_code == 200
    desk.incident(desk.version("churn"), "age")
    assert ada.get("/incidents", headers=known).status_code == 200


def test_nothing_wrong_is_said_so(desk: Desk) -> None:
    assert "Nothing is wrong: no incident is unresolved." in desk.visitor("ada").page("/incidents")
