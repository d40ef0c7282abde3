"""Windows of maintenance on their page: planned, listed, ended, refused in a sentence."""

import pytest

from service.domain.ids import Actor, Micros
from service.domain.incidents import Maintenance
from tests.service.desks.desk import HOUR_US, READER, Desk, text_of

GOOD = {"model": "digits", "start": "", "end": "2026-11-23T14:00", "reason": "the camera is moved"}


def test_a_window_is_planned_listed_and_ended(desk: Desk) -> None:
    desk.version("digits")
    ada = desk.visitor("ada")
    answer = ada.post("/maintenance", ada.page("/maintenance"), **GOOD)
    assert answer.headers["location"] == "/maintenance?done=planned"
    windows = desk.store.incidents.maintenance("digits", desk.clock.now_us(), 10)
    assert [(one.reason, one.quarantine, one.created_by) for one in windows] == [("the camera is moved", False, "ada")]
    page = ada.page("/maintenance")
    assert "2026-11-23 14:00:00 UTC" in page
    assert "not by drift" in page
    answer = ada.post(f"/maintenance/digits/{windows[0].id}/end", page)
    assert answer.headers["location"] == "/maintenance?done=ended"
    assert "No window is planned." in ada.page("/maintenance")
    assert ada.post(f"/maintenance/digits/{windows[0].id}/end", page).status_code == 404


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"end": "tomorrow"}, 422, "end: must be a time in UTC such as"),
        ({"end": ""}, 422, "end: must be a time in UTC such as"),
        ({"end": "99999-01-01T00:00"}, 422, "end: must be a time"),
        ({"end": "2020-01-01T00:00"}, 422, "end"),
        ({"end": "2027-01-01T00:00"}, 422, "end"),
        ({"model": "nobody"}, 404, "no model"),
        ({"reason": ""}, 422, "reason"),
    ],
)
def test_a_window_that_cannot_be_is_refused_and_stays_typed(
    desk: Desk, changed: dict[str, str], status: int, said: str
) -> None:
    desk.version("digits")
    ada = desk.visitor("ada")
    answer = ada.post("/maintenance", ada.page("/maintenance"), **{**GOOD, **changed, "start": "2026-11-23T12:00"})
    assert answer.status_code == status
    assert said in text_of(answer.text)
    assert 'value="2026-11-23T12:00"' in answer.text
    assert desk.store.incidents.maintenance(None, desk.clock.now_us(), 10) == []


def test_only_who_may_act_on_a_model_plans_for_it(desk: Desk) -> None:
    desk.version("digits")
    rita, fred = desk.visitor("rita", READER), desk.visitor("fred", models=frozenset({"fraud"}))
    page = rita.page("/maintenance")
    assert "Plan it" not in page
    assert rita.post("/maintenance", page, **GOOD).status_code == 403
    assert fred.post("/maintenance", fred.page("/maintenance"), **GOOD).status_code == 403


def test_the_windows_that_begin_first_are_shown_and_the_others_on_the_next_part(desk: Desk) -> None:
    desk.version("digits")
    now = desk.clock.now_us()
    with desk.store.incidents.write() as tx:
        for number in range(53):
            tx.add_maintenance(
                Maintenance(
                    id=f"w{number}",
                    model="digits",
                    start_us=Micros(now + number * 60_000_000),
                    end_us=Micros(now + HOUR_US),
                    quarantine=False,
                    reason="x" * 2_000,
                    created_us=now,
                    created_by=Actor("ada"),
                )
            )
    page = desk.visitor("ada").page("/maintenance")
    assert page.count("End it now") == 50
    assert "1 to 50 of 53 windows" in page
    later = desk.visitor("ada").page("/maintenance?page=2")
    assert later.count("End it now") == 3
    assert "/w52/end" in later
    assert "/w49/end" in page
    assert len(page.encode()) < 200_000
