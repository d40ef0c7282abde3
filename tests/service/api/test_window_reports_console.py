"""Reports about a time that somebody chose, on pages: asked for, listed, shown, and what a failed one still gives."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from service.console.window_reports import SIZE, span_of
from service.domain.errors import Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.records import Scope
from service.ports_reports import Ask
from tests.service.api.conftest import World
from tests.service.api.test_principals import Attacked
from tests.service.api.test_reports import (
    PAGE,
    ask,
    incident_of,
    put_baseline,
    renderer_in,
    reported,
    until_made,
    window,
)
from tests.service.api.test_reports_console import Visitor, signed_in
from tests.service.console.conftest import form_token

NOW = Micros(1_700_000_000_000_000)
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with renderer_in(tmp_path_factory.mktemp("windows")) as world:
        yield world


@pytest.fixture
def attacked(reporting: World) -> Iterator[Attacked]:
    with reported(reporting) as found:
        yield found


def page_of(attacked: Attacked) -> str:
    return attacked.path.removeprefix("/v1")


def asked_for(visitor: Visitor, url: str, **fields: str) -> httpx.Response:
    return visitor.post(url, form_token=form_token(visitor.get(url).text), **fields)


def test_a_failed_one_says_why_and_gives_its_rows(attacked: Attacked) -> None:
    visitor, url = signed_in(attacked.world, Scope.READ, Scope.OPERATE), f"{page_of(attacked)}/reports"
    assert f'href="{url}"' in visitor.get(page_of(attacked)).text
    answer = asked_for(visitor, url, length="1h")
    assert answer.status_code == 303
    where = answer.headers["location"]
    told = until_made(attacked, f"/v1{where}")
    assert told["status"] == "failed"
    page = visitor.get(where).text
    assert f"It could not be made: {told['detail']}" in page.replace("&#39;", "'")
    assert f'href="{where}/samples.ndjson"' in page
    assert "<iframe" not in page
    rows = visitor.get(f"{where}/samples.ndjson")
    assert len([json.loads(line) for line in rows.text.splitlines()]) == 60
    assert rows.headers["content-disposition"].startswith("attachment")
    refused = visitor.get(f"{where}/frame")
    assert (refused.status_code, "nothing to compare with" in refused.text) == (404, True)
    assert refused.headers["x-frame-options"] == "SAMEORIGIN", "why there is none shows in the frame"
    assert refused.headers["content-type"].startswith("text/plain")
    assert told["detail"].split(":")[0] in visitor.get(url).text


def test_one_that_is_made_is_shown_in_its_frame_and_can_be_made_again(attacked: Attacked) -> None:
    ask(attacked, "PUT", f"/v1/models/{attacked.model}/policy", json={"reports": {"reference_rows": 50}})
    put_baseline(attacked)
    visitor, url = signed_in(attacked.world, Scope.READ, Scope.OPERATE), f"{page_of(attacked)}/reports"
    where = asked_for(visitor, url, length="6h").headers["location"]
    told = until_made(attacked, f"/v1{where}")
    assert told["status"] == "done", told
    answer = visitor.get(where)
    assert "frame-src 'self'" in answer.headers["content-security-policy"]
    assert f'sandbox="allow-scripts" src="{where}/frame"' in answer.text
    assert "Drifted: <b>age</b>" in answer.text
    assert visitor.get(f"{where}/frame").text == PAGE
    assert visitor.get(f"{where}/report.json").json()["drifted"] == ["age"]
    listed = visitor.get(url).text
    assert f'href="{where}"' in listed
    assert "drifted: age" in listed
    assert "drifted: age" in visitor.get(page_of(attacked)).text
    # Again is the same time, to the microsecond.
    fields = dict(re.findall(r'<input type="hidden" name="(from|to)" value="([^"]+)">', answer.text))
    again = visitor.post(url, form_token=form_token(answer.text), **fields)
    record = attacked.world.runtime.api.reports.one(again.headers["location"].removeprefix("/reports/"))
    first = attacked.world.runtime.api.reports.one(where.removeprefix("/reports/"))
    assert (record.from_us, record.to_us) == (first.from_us, first.to_us)
    assert record.id != first.id


def test_a_time_that_is_none_is_named_and_what_was_typed_stays(attacked: Attacked) -> None:
    visitor, url = signed_in(attacked.world, Scope.READ, Scope.OPERATE), f"{page_of(attacked)}/reports"
    answer = asked_for(visitor, url, **{"from": "2026-02-30T00:00", "to": ""})
    assert answer.status_code == 422
    assert "from: must be a time in UTC" in answer.text
    assert 'value="2026-02-30T00:00"' in answer.text
    backwards = asked_for(visitor, url, **{"from": "2026-02-02T00:00", "to": "2026-02-01T00:00"})
    assert (backwards.status_code, "must be at least 1 s before" in backwards.text) == (422, True)


def test_it_is_the_right_of_operators_and_forms_are_ours(attacked: Attacked) -> None:
    url = f"{page_of(attacked)}/reports"
    reader = signed_in(attacked.world, Scope.READ)
    page = reader.get(url)
    assert (page.status_code, "Have one made" in page.text) == (200, False)
    assert reader.post(url, form_token=form_token(page.text), length="1h").status_code == 403
    operator = signed_in(attacked.world, Scope.READ, Scope.OPERATE)
    assert operator.post(url, form_token="forged", length="1h").status_code == 403
    listed = ask(attacked, "GET", f"{attacked.path}/reports").json()["reports"]
    assert listed == []


def test_who_may_not_see_the_model_sees_none_of_it(attacked: Attacked) -> None:
    asked = ask(attacked, "POST", f"{attacked.path}/reports", json=window(attacked.world)).json()
    until_made(attacked, f"/v1/reports/{asked['report_id']}")
    stranger = signed_in(attacked.world, *Scope, models=frozenset({"another"}))
    where = f"/reports/{asked['report_id']}"
    for path in (f"{page_of(attacked)}/reports", where, f"{where}/frame", f"{where}/samples.ndjson"):
        assert stranger.get(path).status_code == 404, path
    assert attacked.world.client.get(where).status_code == 303
    visitor = signed_in(attacked.world, Scope.READ, Scope.OPERATE)
    assert visitor.get("/reports/none").status_code == 404
    assert visitor.get("/models/none/versions/1/reports").status_code == 404
    reader = signed_in(attacked.world, Scope.READ)
    assert "samples.ndjson" not in reader.get(where).text
    assert reader.get(f"{where}/samples.ndjson").status_code == 403


def test_the_list_has_parts_and_a_report_about_an_incident_leads_to_it(attacked: Attacked) -> None:
    api, incident_id = attacked.world.runtime.api, incident_of(attacked)
    asked = ask(attacked, "POST", f"/v1/incidents/{incident_id}/report").json()
    until_made(attacked, f"/v1/reports/{asked['report_id']}")
    record = api.reports.one(asked["report_id"])
    store, actor = attacked.world.runtime.store.reports, Actor("ada")
    older = replace(record, incident_id=None, status=record.status.QUEUED, requested_by=actor, ended_us=None)
    older = replace(older, started_us=None, facts=None, key_id=None, parts=frozenset())
    for number in range(SIZE):
        asked_us = Micros(record.requested_us - 1 - number)
        start_us = Micros(record.from_us - 1 - number)
        one = replace(older, id=f"{attacked.model}-{number}", requested_us=asked_us, from_us=start_us)
        store.ask(Ask(one, 10_000))
    visitor, url = signed_in(attacked.world, Scope.READ), f"{page_of(attacked)}/reports"
    first, second = visitor.get(url).text, visitor.get(f"{url}?page=2").text
    assert f"1 to {SIZE} of {SIZE + 1} reports" in first
    assert f'href="/incidents/{incident_id}"' in first
    assert f"/reports/{attacked.model}-{SIZE - 1}" not in first
    assert f"/reports/{attacked.model}-{SIZE - 1}" in second
    for number in range(SIZE):
        attacked.world.runtime.api.reports.erase(api.reports.one(f"{attacked.model}-{number}"), actor, "a test made it")
    page = visitor.get(f"/reports/{record.id}").text
    assert f'href="/incidents/{incident_id}"' in page


def test_a_button_asks_for_the_time_until_now_and_times_are_read_in_utc() -> None:
    assert span_of({"length": "6h"}, NOW) == (NOW - 6 * HOUR_US, NOW)
    start = datetime(2023, 11, 14, 20, tzinfo=UTC).timestamp() * 1e6
    assert span_of({"from": "2023-11-14T20:00"}, NOW) == (start, NOW)
    with pytest.raises(Unprocessable, match="cannot be read"):
        span_of({"length": "a year"}, NOW)
