"""The page of alert quality says what the API says, and what an operator can check by hand."""

import re

import pytest

from service.alert.quality import by_cause, by_model, quality
from service.console import alert_quality
from service.domain.ids import Micros
from service.domain.policy import Cause
from service.domain.records import IncidentStatus, Verdict
from tests.service.desks.desk import HOUR_US, Desk, text_of, titles

DAY_US = 24 * HOUR_US


def judged(desk: Desk) -> None:
    digits, fraud = desk.version("digits"), desk.version("fraud")
    now = desk.clock.now_us()
    rows = []
    for number, verdict in enumerate(
        [Verdict.DATA_BUG, Verdict.DATA_BUG, Verdict.REAL_DRIFT, Verdict.FALSE_ALARM, Verdict.BENIGN, None]
    ):
        hours = 10.0 + number
        opened = round(now - hours * HOUR_US)
        over = {
            "status": IncidentStatus.RESOLVED,
            "verdict": verdict,
            "acknowledged_us": Micros(opened + 60_000_000),
            "resolved_us": Micros(opened + HOUR_US),
        }
        cause = Cause.LATENCY if verdict is Verdict.BENIGN else Cause.DATA_DRIFT
        rows.append((fraud if number == 2 else digits, (), cause, hours, over if verdict else {}))
    rows.append((digits, (), Cause.DATA_DRIFT, 24 * 60.0, {}))
    desk.incidents(rows)


def test_the_figures_are_those_of_the_verdicts(desk: Desk) -> None:
    judged(desk)
    said = text_of(desk.visitor("ada").page("/quality"))
    assert "Incidents 6 1 not judged" in said
    # 3 of 5 with Clopper and Pearson's interval.
    assert "60 % (3 of 5)" in said
    assert "60 % (3 of 5) 15 to 95 %" in said
    assert "1 minute, nine of ten within 1 minute (5 measured)" in said
    assert "1 hour, nine of ten within 1 hour (5 measured)" in said
    assert "1 real drift, 2 data bugs, 1 benign, 1 false alarm; 1 not judged" in said


def test_the_page_counts_what_the_functions_behind_the_api_count(desk: Desk) -> None:
    judged(desk)
    since = Micros(desk.clock.now_us() - 30 * DAY_US)
    incidents, exposures = desk.store.incidents.since(since, 100), desk.store.incidents.exposures(since)
    page = desk.visitor("ada").page("/quality")
    assert f'data-figure="incidents">{quality(incidents, exposures).incidents}<' in page
    assert set(titles(page)) == {"Data drift", "Latency"} | set(by_model(incidents, exposures))
    assert {str(cause) for cause in by_cause(incidents)} == {"data_drift", "latency"}
    widths = [float(one) for one in re.findall(r'<rect class="part [^"]+" x="[\d.]+" width="([\d.]+)"', page)]
    assert sum(widths[:4]) == pytest.approx(100.0, abs=0.05)


def test_period_and_model_are_chosen_by_the_address(desk: Desk) -> None:
    judged(desk)
    ada = desk.visitor("ada")
    assert "Incidents 7 2 not judged" in text_of(ada.page("/quality?days=90"))
    assert "Incidents 1 0 not judged" in text_of(ada.page("/quality?model=fraud"))
    assert "Incidents 6 " in text_of(ada.page("/quality?days=nonsense"))
    fred = desk.visitor("fred", models=frozenset({"fraud"}))
    page = fred.page("/quality")
    assert "Incidents 1 " in text_of(page)
    assert "digits" not in page


def test_newer_incidents_of_other_models_take_no_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(desk)
    monkeypatch.setattr(alert_quality, "INCIDENTS_MAX", 2)
    ada = desk.visitor("ada")
    page = text_of(ada.page("/quality"))
    assert "Incidents 2 " in page
    assert "the newest ones count" in page
    page = text_of(ada.page("/quality?model=fraud"))
    assert "Incidents 1 0 not judged" in page, "two of digits are newer"
    assert "the newest ones count" not in page
    fred = desk.visitor("fred", models=frozenset({"fraud"}))
    assert "Incidents 1 0 not judged" in text_of(fred.page("/quality"))
    assert "Incidents 0 " in text_of(fred.page("/quality?model=digits"))


def test_without_an_hour_of_watching_no_promise_is_called_broken(desk: Desk) -> None:
    judged(desk)
    said = text_of(desk.visitor("ada").page("/quality"))
    assert "nothing was promised: no hour of it was watched" in said
    assert "broken" not in said.replace("broken promises first", "")


def test_many_models_are_pages_of_fifty(desk: Desk) -> None:
    versions = [desk.version(f"model-{number:03}") for number in range(120)]
    desk.incidents([(version, (), Cause.DATA_DRIFT, 1.0, {}) for version in versions])
    ada, seen = desk.visitor("ada"), set()
    for number in (1, 2, 3):
        page = ada.page(f"/quality?page={number}")
        assert len(page.encode()) < 200 * 1024
        seen |= {title for title in titles(page) if title.startswith("model-")}
    assert len(seen) == 120
    assert "101 to 120 of 120 models" in text_of(ada.page("/quality?page=3"))
