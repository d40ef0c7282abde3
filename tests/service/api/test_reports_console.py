"""The report's page of the console: what its headers allow, who may do what, and that forms are ours."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from service.domain.records import Scope
from tests.service.api.conftest import World
from tests.service.api.test_principals import Attacked
from tests.service.api.test_reports import PAGE, ask, incident_of, renderer_in, reported, until_made
from tests.service.console.conftest import form_token


@dataclass
class Visitor:
    """A browser that is signed in to the console."""

    world: World
    cookie: str

    def get(self, path: str) -> httpx.Response:
        return self.world.client.get(path, headers={"cookie": self.cookie})

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self.world.client.post(path, headers={"cookie": self.cookie}, data=fields)


def signed_in(world: World, *scopes: Scope, models: frozenset[str] | None = None) -> Visitor:
    key = world.key(*scopes, models=models)["authorization"].removeprefix("Bearer ")
    page = world.client.get("/login")
    visitor = Visitor(world, page.headers["set-cookie"].split(";")[0])
    answer = visitor.post("/login", form_token=form_token(page.text), key=key)
    assert answer.status_code == 303, answer.text
    return Visitor(world, answer.headers["set-cookie"].split(";")[0])


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with renderer_in(tmp_path_factory.mktemp("console")) as world:
        yield world


@pytest.fixture
def attacked(reporting: World) -> Iterator[Attacked]:
    with reported(reporting) as found:
        yield found


@pytest.fixture
def url(attacked: Attacked) -> str:
    """Return the page of an incident with a report."""
    incident_id = incident_of(attacked)
    ask(attacked, "POST", f"/v1/incidents/{incident_id}/report")
    told = until_made(attacked, f"/v1/incidents/{incident_id}/report")
    assert told["status"] == "done", told
    return f"/incidents/{incident_id}"


def test_the_report_stands_in_a_frame_that_may_run_scripts_and_nothing_else(reporting: World, url: str) -> None:
    visitor = signed_in(reporting, Scope.READ)
    page = visitor.get(f"{url}/report")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "frame-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert 'sandbox="allow-scripts"' in page.text
    frame = visitor.get(f"{url}/report/frame")
    assert frame.text == PAGE
    own = frame.headers["content-security-policy"]
    assert own.startswith("sandbox allow-scripts; default-src 'none';")
    assert "connect-src" not in own
    assert "frame-ancestors 'self'" in own
    assert frame.headers["x-frame-options"] == "SAMEORIGIN"


def test_a_reader_sees_it_and_may_neither_have_it_made_nor_see_rows(reporting: World, url: str) -> None:
    visitor = signed_in(reporting, Scope.READ)
    page = visitor.get(f"{url}/report").text
    assert "Make it again" not in page
    assert "samples.ndjson" not in page
    assert visitor.get(f"{url}/report/report.json").status_code == 200
    assert visitor.get(f"{url}/report/samples.ndjson").status_code == 403
    assert visitor.get(f"{url}/bundle").status_code == 403
    token = form_token(visitor.get(url).text)
    assert visitor.post(f"{url}/report", form_token=token).status_code == 403


def test_an_operator_has_it_made_again_with_a_form_of_ours_only(reporting: World, url: str) -> None:
    visitor = signed_in(reporting, Scope.READ, Scope.OPERATE)
    assert visitor.post(f"{url}/report", form_token="forged").status_code == 403
    asked = visitor.post(f"{url}/report", form_token=form_token(visitor.get(f"{url}/report").text))
    assert (asked.status_code, asked.headers["location"]) == (303, f"{url}/report")
    waiting = visitor.get(f"{url}/report").text
    assert 'http-equiv="refresh"' in waiting or "Make it again" in waiting
    assert visitor.get(f"{url}/report/samples.ndjson").headers["content-disposition"].startswith("attachment")
    bundle = visitor.get(f"{url}/bundle")
    assert (bundle.status_code, bundle.content[:2]) == (200, b"PK")


def test_who_may_not_see_the_model_sees_no_report(reporting: World, url: str) -> None:
    visitor = signed_in(reporting, *Scope, models=frozenset({"another"}))
    for path in (f"{url}/report", f"{url}/report/frame", f"{url}/report/report.html", f"{url}/bundle"):
        assert visitor.get(path).status_code == 404, path
    assert reporting.client.get(f"{url}/report/frame").status_code == 303


def test_a_page_without_a_report_offers_one(attacked: Attacked) -> None:
    visitor = signed_in(attacked.world, Scope.READ, Scope.OPERATE)
    url = f"/incidents/{incident_of(attacked)}"
    assert "Make a drift report" in visitor.get(url).text
    assert "Make a drift report" in visitor.get(f"{url}/report").text
    assert visitor.get(f"{url}/report/frame").status_code == 404
    assert visitor.get("/incidents/none/report").status_code == 404
