"""Reports over the API: whose right it is, what a failed one says, and what can be downloaded all the same."""

import io
import json
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from service.api.metrics_reports import add_reports
from service.domain.errors import Conflict, Unavailable
from service.domain.ids import Actor, Micros
from service.domain.records import Scope
from service.domain.reports import Part, SampleKind
from service.observability import Families
from service.reports import evidence
from service.reports.bundle import public_key, verify
from service.reports.runner import SETTLE_US, ReportRunner
from service.reports.samples import Pair
from service.reports.sealed import unseal
from tests.fakes import ManualClock
from tests.service.api.conftest import World, living
from tests.service.api.test_principals import Attacked, now_finding
from tests.service.uses import finding

NUMBERS = count(1)
PAGE = "<!doctype html><html><head></head><body>a report</body></html>"
FAKE = """
import json, sys
job = json.load(sys.stdin)
column = {"name": "age", "kind": "numeric", "drifted": True, "method": "ks", "score": 0.0, "threshold": 0.01}
answer = {"html": %r, "json": {"rows": job["current"]["rows"]}, "columns": [column], "left_out": {}}
json.dump({**answer, "renderer": "fake 1"}, sys.stdout)
"""


@contextmanager
def renderer_in(folder: Path) -> Iterator[World]:
    """Run an application whose renderer is a program of ours: what Evidently itself does is tested elsewhere."""
    (folder / "fake.py").write_text(FAKE % PAGE)
    renderer = folder / "renderer"
    renderer.write_text(f"#!/bin/sh\nexec {sys.executable} -I {folder / 'fake.py'}\n")
    renderer.chmod(0o755)
    with living(folder / "data", reports_python=renderer, reports_queue_max=3) as world:  # type: ignore[arg-type]
        yield world


@contextmanager
def reported(world: World) -> Iterator[Attacked]:
    """Give a version with 60 events and an incident."""
    name = f"reported-{next(NUMBERS)}"
    store = world.runtime.store.worker("w", 10.0, world.runtime.api.clock)
    found = Attacked(world, world.model(name), name, store)
    send(found, 40)
    time.sleep(0.05)
    found.find(now_finding(found, "client-7", finding()))
    send(found, 20)
    yield found
    store.close()


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with renderer_in(tmp_path_factory.mktemp("reporting")) as world:
        yield world


@pytest.fixture
def attacked(reporting: World) -> Iterator[Attacked]:
    with reported(reporting) as found:
        yield found


def send(attacked: Attacked, number: int) -> None:
    features = {"age": [20.5 + i for i in range(number)], "country": ["DE"] * number}
    body = {"columns": {"features": features, "prediction": ["ok"] * number}}
    answer = attacked.world.client.post(f"{attacked.path}/events", json=body, headers=attacked.world.everything)
    assert answer.status_code == 202, answer.text


def incident_of(attacked: Attacked) -> str:
    (incident,) = attacked.world.runtime.api.read.incidents(version_id=attacked.version_id, status=None, limit=9)
    return incident.id


def runner_of(world: World, **changed: Any) -> ReportRunner:
    """Return what makes reports, which a test asks to: the service's own would take its turn some time."""
    api = world.runtime.api
    desk = replace(api.reports, **changed)
    return ReportRunner(desk=desk, incidents=api.incidents, kept_max=99, seconds_max=300)


def window(world: World) -> dict[str, str]:
    now = datetime.fromtimestamp(world.runtime.api.clock.now_us() / 1e6, UTC)
    return {"from": (now - timedelta(minutes=5)).isoformat(), "to": (now + timedelta(minutes=5)).isoformat()}


def ask(attacked: Attacked, method: str, path: str, **rest: Any) -> httpx.Response:
    headers = attacked.world.everything | rest.pop("headers", {})
    return attacked.world.client.request(method, path, headers=headers, **rest)


def put_baseline(attacked: Attacked) -> dict[str, Any]:
    lines = b"age,country\n" + b"".join(f"{40 + i % 9 + 0.5},DE\n".encode() for i in range(400))
    answer = ask(attacked, "PUT", f"{attacked.path}/baseline", content=lines, headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    put: dict[str, Any] = answer.json()
    return put


def until_made(attacked: Attacked, path: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for _ in range(600):
        answer = ask(attacked, "GET", path)
        told = answer.json()
        # While the store is being written it may be away for a moment.
        if answer.status_code == 200 and told["status"] not in {"queued", "running"}:
            return told
        time.sleep(0.5)
    pytest.fail(f"never made: {told}")


def test_a_report_about_a_time_is_made_listed_downloaded_and_erased(attacked: Attacked) -> None:
    world = attacked.world
    asked = ask(attacked, "POST", f"{attacked.path}/reports", json=window(world))
    assert (asked.status_code, asked.json()["status"], asked.json()["parts"]) == (202, "queued", [])
    path = f"/v1/reports/{asked.json()['report_id']}"
    told = until_made(attacked, path)
    # There is nothing before: the version is new. The rows can be had all the same.
    assert told["status"] == "failed"
    assert told["detail"].startswith("nothing to compare with: the policy keeps no rows of the reference")
    assert told["parts"] == ["rows"]
    refused = ask(attacked, "GET", f"{path}/report.html")
    assert refused.status_code == 404
    assert told["detail"] in refused.json()["detail"]
    rows = [json.loads(line) for line in ask(attacked, "GET", f"{path}/samples.ndjson").text.splitlines()]
    assert len(rows) == 60
    assert rows[0] == {"side": "current", "row": {"age": 20.5, "country": "DE", "prediction": "ok"}}
    listed = ask(attacked, "GET", f"{attacked.path}/reports").json()["reports"]
    assert [one["report_id"] for one in listed] == [told["report_id"]]
    assert ask(attacked, "DELETE", f"{path}?reason=asked").json() == {"erased": 1}
    assert ask(attacked, "GET", path).status_code == 404
    audit = [entry.action for entry in world.runtime.api.read.audit(4) if entry.action.startswith("report")]
    assert audit == ["report.erase", "report.rows", "report.ask"]


def test_with_kept_rows_of_the_reference_a_report_is_made_and_its_page_is_in_a_sandbox(attacked: Attacked) -> None:
    ask(attacked, "PUT", f"/v1/models/{attacked.model}/policy", json={"reports": {"reference_rows": 50}})
    kept = [one["text"] for one in put_baseline(attacked)["warnings"] if one["code"] == "kept"]
    assert kept == ["50 rows of 2 columns are kept, encrypted, for reports (reports.reference_rows)"]

    asked = ask(attacked, "POST", f"{attacked.path}/reports", json=window(attacked.world))
    path = f"/v1/reports/{asked.json()['report_id']}"
    told = until_made(attacked, path)
    assert (told["status"], told["drifted"], told["parts"]) == ("done", ["age"], ["rows", "html", "json"]), told
    ground = told["ground"]
    assert (ground["current_rows"], ground["reference_rows"], ground["reference"]) == (60, 50, "reference")
    page = ask(attacked, "GET", f"{path}/report.html")
    assert page.text == PAGE
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy
    found = ask(attacked, "GET", f"{path}/report.json").json()
    assert (found["drifted"], found["evidently"]) == (["age"], {"rows": 60})


def test_by_default_no_row_of_a_reference_is_kept(attacked: Attacked) -> None:
    put = put_baseline(attacked)
    assert [one for one in put["warnings"] if one["code"] == "kept"] == []
    store, now_us = attacked.world.runtime.store.reports, attacked.world.runtime.api.clock.now_us()
    assert store.sample(put["baseline_id"], now_us) is None


def test_a_report_about_an_incident_counts_from_its_change(attacked: Attacked) -> None:
    incident_id = incident_of(attacked)
    assert ask(attacked, "GET", f"/v1/incidents/{incident_id}/report").status_code == 404
    asked = ask(attacked, "POST", f"/v1/incidents/{incident_id}/report")
    assert asked.json()["incident_id"] == incident_id
    told = until_made(attacked, f"/v1/incidents/{incident_id}/report")
    assert (told["status"], told["drifted"]) == ("done", ["age"]), told
    ground = told["ground"]
    assert (ground["reference"], ground["current_seen"], ground["reference_rows"]) == ("traffic", 20, 40)
    for name, kind in (("report.html", "text/html"), ("report.json", "application/json")):
        answer = ask(attacked, "GET", f"/v1/incidents/{incident_id}/{name}")
        assert answer.headers["content-type"].startswith(kind)
    rows = ask(attacked, "GET", f"/v1/incidents/{incident_id}/samples.ndjson").text
    assert (rows.count('"current"'), rows.count('"before"')) == (20, 40)


def test_each_part_is_the_right_of_somebody(attacked: Attacked) -> None:
    world, incident_id = attacked.world, incident_of(attacked)
    path = f"/v1/incidents/{incident_id}"
    reader, operator = world.key(Scope.READ), world.key(Scope.OPERATE)
    for method, name in (("POST", "report"), ("GET", "samples.ndjson"), ("GET", "bundle"), ("DELETE", "report")):
        assert world.client.request(method, f"{path}/{name}", headers=reader).status_code == 403, name
    assert world.client.request("DELETE", f"{path}/report", headers=operator).status_code == 403
    stranger = world.key(*Scope, models=frozenset({"another"}))
    for name in ("report", "report.html", "samples.ndjson", "bundle"):
        assert world.client.get(f"{path}/{name}", headers=stranger).status_code == 403, name


def test_nothing_of_it_lies_in_the_store_in_the_clear(attacked: Attacked) -> None:
    incident_id = incident_of(attacked)
    ask(attacked, "POST", f"/v1/incidents/{incident_id}/report")
    told = until_made(attacked, f"/v1/incidents/{incident_id}/report")
    store = attacked.world.runtime.store.reports
    for part in Part:
        sealed = store.part(told["report_id"], part)
        assert sealed is not None
        assert b"a report" not in sealed
        assert b"country" not in sealed


def test_a_key_that_is_gone_is_named(attacked: Attacked) -> None:
    incident_id, api = incident_of(attacked), attacked.world.runtime.api
    ask(attacked, "POST", f"/v1/incidents/{incident_id}/report")
    until_made(attacked, f"/v1/incidents/{incident_id}/report")
    incident = api.read.incident(incident_id)
    assert incident is not None
    record = api.reports.newest(incident)
    other = replace(api.reports, making=replace(api.reports.making, keys=(b"x" * 32,)))
    with pytest.raises(Conflict, match="which this service does not have"):
        other.part(record, Part.HTML)


def test_rows_of_a_new_incident_are_kept_by_themselves_until_they_are_erased(
    attacked: Attacked, tmp_path: Path
) -> None:
    incident_id, api = incident_of(attacked), attacked.world.runtime.api
    later = ManualClock(api.clock.now_us())
    runner = runner_of(attacked.world, clock=later)
    store = attacked.world.runtime.store.reports
    while store.sample(incident_id, later.now_us()) is None:
        later.advance(SETTLE_US / 1e6)  # other tests have left incidents, which come first
        assert later.now_us() < api.clock.now_us() + 50 * SETTLE_US
        runner.keep()
    kept = store.sample(incident_id, later.now_us())
    assert kept is not None
    assert kept.sample is not None
    assert (kept.kind, kept.rows) == (SampleKind.INCIDENT, 20)
    plain = unseal(api.secrets.transcripts, kept.key_id, f"sample {incident_id}", kept.sample)
    assert msgspec.msgpack.decode(plain, type=Pair).before.rows == 40

    # The log is gone: the kept rows stand in.
    gone = replace(api.reports.making, log_url=f"sqlite:///{tmp_path / 'none.db'}")
    incident = api.read.incident(incident_id)
    assert incident is not None
    late = runner_of(attacked.world, making=gone)
    asked = late.desk.ask_about(Actor("ada"), incident)
    made = late._made(asked)
    assert (made.detail, made.facts and made.facts.frozen) == ("", True)
    erased = ask(attacked, "DELETE", f"/v1/incidents/{incident_id}/report?reason=asked")
    assert erased.status_code == 200
    again = ask(attacked, "POST", f"/v1/incidents/{incident_id}/report")
    assert (again.status_code, "were erased by ada" in again.json()["detail"]) == (409, True)


def test_too_many_at_once_are_refused_with_when_to_come_back(attacked: Attacked) -> None:
    full = replace(attacked.world.runtime.api.reports, queue_max=0)
    version = attacked.world.runtime.api.version(attacked.model, "1")
    now_us = attacked.world.runtime.api.clock.now_us()
    with pytest.raises(Unavailable, match="limit reports_queue_max: 0") as refused:
        full.ask_for(Actor("ada"), version, Micros(now_us - 60_000_000), now_us)
    assert refused.value.retry_after_seconds == 30
    assert full.tallies.refused >= 1


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"from": "2026-11-26T12:00:00Z", "to": "2026-11-26T12:00:00Z"}, "from"),
        ({"from": "2020-01-01T00:00:00Z", "to": "2020-03-01T00:00:00Z"}, "from"),
        ({"from": "2999-01-01T00:00:00Z", "to": "2999-01-02T00:00:00Z"}, "from"),
        ({"from": "yesterday", "to": "2026-11-26T12:00:00Z"}, "from"),
        ({"from": "2026-11-26T12:00:00Z"}, "to"),
    ],
)
def test_a_time_that_is_none_is_refused_by_its_place(attacked: Attacked, body: dict[str, str], place: str) -> None:
    answer = ask(attacked, "POST", f"{attacked.path}/reports", json=body)
    assert answer.status_code == 422, answer.text
    assert place in {one["at"] for one in answer.json()["errors"]}


def test_a_policy_without_rows_has_no_reports(attacked: Attacked) -> None:
    ask(attacked, "PUT", f"/v1/models/{attacked.model}/policy", json={"reports": {"rows": 0}})
    answer = ask(attacked, "POST", f"{attacked.path}/reports", json=window(attacked.world))
    assert (answer.status_code, "reports.rows is 0" in answer.json()["detail"]) == (409, True)


def test_a_bundle_holds_the_record_and_verifies(attacked: Attacked) -> None:
    incident_id, api = incident_of(attacked), attacked.world.runtime.api
    ask(attacked, "POST", f"/v1/incidents/{incident_id}/comment", json={"note": "looks like <b>fraud</b>"})
    ask(attacked, "POST", f"/v1/incidents/{incident_id}/resolve", json={"verdict": "attack", "note": "sure"})
    answer = ask(attacked, "GET", f"/v1/incidents/{incident_id}/bundle")
    key = ask(attacked, "GET", "/v1/bundle-key").json()
    assert key["public_key"] == public_key(api.secrets.bundles).hex()
    verdict = verify(answer.content, frozenset({bytes.fromhex(key["public_key"])}))
    assert verdict.good, verdict.problems
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert {"bundle.html", "facts.json", "audit.ndjson", "evidence.json"} <= parts.keys()
    page = parts["bundle.html"].decode()
    assert "looks like &lt;b&gt;fraud&lt;/b&gt;" in page
    assert "<script" not in page
    facts = json.loads(parts["facts.json"])
    assert (facts["verdict"], facts["incident"]["note"]) == ("attack", "sure")
    assert facts["evidence_digest"] == verdict.manifest.files[-1].sha256  # type: ignore[union-attr]
    actions = [json.loads(line)["action"] for line in parts["audit.ndjson"].splitlines()]
    assert actions[-1] == "bundle.make"
    assert {"incident.opened", "incident.comment", "incident.resolve"} <= set(actions)


def test_a_bundle_that_is_cut_keeps_the_newest_and_says_so(attacked: Attacked, monkeypatch: pytest.MonkeyPatch) -> None:
    incident_id = incident_of(attacked)

    def bundled() -> tuple[dict[str, Any], str, list[str]]:
        answer = ask(attacked, "GET", f"/v1/incidents/{incident_id}/bundle")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            links = [json.loads(line)["action"] for line in archive.read("audit.ndjson").splitlines()]
            return json.loads(archive.read("facts.json")), archive.read("bundle.html").decode(), links

    facts, page, _ = bundled()
    assert (facts["more"], facts["more_of"], "More is on record" in page) == (False, [], False)
    monkeypatch.setattr(evidence, "LINKS_MAX", 1)
    facts, page, links = bundled()
    assert (facts["more"], facts["more_of"], links) == (True, ["audit links"], ["bundle.make"])
    assert "of the audit links only the newest are here" in page


def test_what_became_of_reports_is_counted(reporting: World) -> None:
    desk = replace(reporting.runtime.api.reports)
    desk.tallies.done, desk.tallies.failed = 4, 2
    desk.tallies.took(3.0)
    families = Families(100)
    add_reports(families, desk.figures())
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.finish()
        for sample in family.samples
    }
    assert samples["lazaretto_reports_total", "done"] == 4
    assert samples["lazaretto_reports_total", "failed"] == 2
    assert samples["lazaretto_reports_waiting",] == desk.store.waiting()
    assert samples["lazaretto_report_seconds_bucket", "5.0"] >= 1
