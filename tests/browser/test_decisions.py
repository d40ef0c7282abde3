"""What an engineer does at three in the morning, in a real browser over a real service, and pages that let them."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from service.clock import SystemClock
from tests.browser.conftest import ARTEFACTS, HOSTILE, ROOT, OpenPage, Service, _wait_until_ready

DESKTOP, TABLET, PHONE = {"width": 1280, "height": 800}, {"width": 820, "height": 1180}, {"width": 390, "height": 844}
SIZES = {"desktop": DESKTOP, "tablet": TABLET, "phone": PHONE}
TABS_MAX = 120
PATIENCE_SECONDS = 120.0
BYTES_MAX = 200 * 1024
SERIOUS = {"serious", "critical"}
UNFOLD = "document.querySelectorAll('main details').forEach((one) => { one.open = true; })"


class Receiver(ThreadingHTTPServer):
    """What a person's phone stands for: takes webhooks and keeps what they say."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.messages: list[dict[str, Any]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def link(self, start: str, model: str) -> str:
        """Wait for a message about the model that links to a page, and return the link."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            about = [one for one in map(json.dumps, self.messages) if f'"model": "{model}"' in one]
            found = re.search(rf"{re.escape(start)}[\w-]+", " ".join(about))
            if found:
                return found[0]
            time.sleep(0.1)
        pytest.fail(f"no message about {model} links to {start}: {self.messages}")


class _Take(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.messages.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Service]:
    """A service that tells people, with links to itself."""
    folder = tmp_path_factory.mktemp("service")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = Service(f"http://127.0.0.1:{port}", folder / "data")
    running.make_key("root", "ingest,read,operate,admin")
    channel = {"kind": "webhook", "url": f"http://127.0.0.1:{receiver.server_address[1]}/"}
    told = {"channels": {"phone": channel}, "allow": ["127.0.0.0/8"], "external_url": running.url}
    arguments = [sys.executable, "-m", "service", "serve", "--port", str(port), "--data-dir", str(running.data_dir)]
    environment = os.environ | {"LAZARETTO_NOTIFICATIONS": json.dumps(told)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_ready(running.url, process, folder / "log")
        for name in ("ada", "grace"):
            running.make_key(name, "read,operate")
        running.make_key("rita", "read")
        running.make_key("adele", "read,operate,admin")
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def incident(service: Service, quarantined: str) -> str:
    """Return the page of the incident that evidence has opened."""
    found = service.ask("GET", "/v1/incidents?model=digits").json()["incidents"]
    assert quarantined.startswith("/models/digits")
    return f"/incidents/{found[0]['id']}"


def tab_to(page: Page, name: str, tag: str = "button, a, input, summary, textarea", article: str = "") -> None:
    """Move the focus with the Tab key alone until it is on something with this name, and is seen to be.

    With ``article``, what stands in other articles than the one of that id is passed over.
    """
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        said = page.evaluate(
            """() => { const one = document.activeElement;
              const label = one.labels && one.labels[0] ? one.labels[0].innerText : one.innerText;
              const part = one.closest('article');
              return [one.tagName, (label || '').trim(), getComputedStyle(one).outlineStyle, part ? part.id : '']; }"""
        )
        if said[1] == name and said[0].lower() in tag and article in ("", said[3]):
            assert said[2] != "none", f"nobody sees that {name} has the focus"
            return
    pytest.fail(f"the Tab key never comes to {name!r}")


def the_second_person_releases(open_page: OpenPage) -> None:
    """By keyboard alone, from the queue where it waits."""
    grace = open_page("grace", viewport=DESKTOP)
    grace.goto("/incidents")
    tab_to(grace, "Reviews", "a")
    grace.keyboard.press("Enter")
    expect(grace.get_by_role("heading", level=1)).to_have_text("Reviews")
    # Other tests of this module may have left more to decide: this one's turn is about digits.
    expect(grace.locator('article.turn[id="digits/1"]')).to_contain_text("grace")
    tab_to(grace, "Decide", "summary", article="digits/1")
    grace.keyboard.press("Enter")
    tab_to(grace, "Reason, for the record", article="digits/1")
    grace.keyboard.type("the pictures are sharp again")
    tab_to(grace, "Release", article="digits/1")
    grace.keyboard.press("Enter")
    expect(grace.get_by_role("status").first).to_contain_text("Done: released.")


def test_three_in_the_morning_by_keyboard_alone(
    open_page: OpenPage, service: Service, receiver: Receiver, incident: str
) -> None:
    link = receiver.link(f"{service.url}/incidents/", "digits")
    assert link == service.url + incident
    # The link of the message, in a browser that is not signed in.
    ada = open_page(None, viewport=DESKTOP)
    ada.goto(link)
    tab_to(ada, "API key")
    ada.keyboard.type(service.keys["ada"])
    ada.keyboard.press("Enter")
    expect(ada.get_by_role("heading", level=1)).to_contain_text("digits")
    assert ada.url == link
    top = ada.locator("dl.fold")
    expect(top).to_contain_text("Data drift: sharpness")
    expect(top).to_contain_text("Quarantined: its traffic is denied.")
    button = ada.get_by_role("button", name="Acknowledge: I am on it").bounding_box()
    assert button is not None
    assert button["y"] + button["height"] < DESKTOP["height"], "the first step must be visible without scrolling"
    tab_to(ada, "Acknowledge: I am on it")
    ada.keyboard.press("Enter")
    expect(ada.get_by_role("status").first).to_contain_text("The incident is acknowledged")
    # Read: what was blamed, as it was at the alarm.
    expect(ada.locator("#frozen .column").first).to_contain_text("sharpness")
    expect(ada.locator("#frozen svg.bar.new").first).to_be_attached()
    tab_to(ada, "Assign to me")
    ada.keyboard.press("Enter")
    expect(ada.locator("dl.fold")).to_contain_text("It is with you.")
    tab_to(ada, "Reason, for the record")
    ada.keyboard.type("looking at the lens")
    tab_to(ada, "Start the review")
    ada.keyboard.press("Enter")
    expect(ada.get_by_role("status").first).to_contain_text("Done: review started.")
    tab_to(ada, "Reason, for the record")
    ada.keyboard.type("the lens was cleaned")
    tab_to(ada, "Release")
    ada.keyboard.press("Enter")
    expect(ada.get_by_role("status").first).to_contain_text("Your approval is on record")
    the_second_person_releases(open_page)
    assert service.ask("GET", "/v1/gate/digits/1").headers["x-gate-state"] == "active"
    told = service.ask("GET", f"/v1{incident}").json()
    assert (told["assignee"], told["status"]) == ("ada", "acknowledged")


def test_who_is_too_late_keeps_what_they_typed(open_page: OpenPage, service: Service, incident: str) -> None:
    page = open_page("ada")
    page.goto(incident)
    page.get_by_text("Comment", exact=True).first.click()
    page.get_by_label("Comment").fill("I was about to say that it is the lens")
    service.ask("POST", f"/v1{incident}/comment", json={"note": "somebody was faster"})
    page.get_by_role("button", name="Add the comment").click()
    expect(page.get_by_role("alert")).to_contain_text("has changed since you looked: comment by root")
    expect(page.get_by_label("Comment")).to_have_value("I was about to say that it is the lens")
    page.wait_for_timeout(3_000)
    expect(page.get_by_label("Comment")).to_have_value("I was about to say that it is the lens")
    page.get_by_role("button", name="Add the comment").click()
    expect(page.locator("[data-live=timeline]")).to_contain_text("I was about to say that it is the lens")


def test_triage_needs_no_script(open_page: OpenPage, service: Service) -> None:
    path = service.add_model("no-script-incident")
    service.quarantine_by_evidence(path)
    page = open_page("ada", java_script_enabled=False)
    page.goto("/incidents?model=no-script-incident")
    page.get_by_role("link", name=re.compile("no-script-incident 1")).first.click()
    page.get_by_role("button", name="Acknowledge: I am on it").click()
    expect(page.locator(".headline .badge").first).to_have_text("acknowledged")
    page.locator("#resolve summary").click()
    page.get_by_label("data bug").check()
    page.locator("#resolve").get_by_label("Note").fill("a client was broken")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".headline .badge").first).to_have_text("resolved")
    page.goto("/quality")
    expect(page.locator("[data-figure=precision]").first).to_contain_text("1 of 1")


def test_the_numbers_of_the_pages_are_those_of_the_api(open_page: OpenPage, service: Service, incident: str) -> None:
    page = open_page("adele")
    page.goto("/incidents?status=all")
    listed = service.ask("GET", "/v1/incidents?limit=500").json()["incidents"]
    expect(page.locator(".tabs a[aria-current] .count")).to_have_text(str(len(listed)))
    heads = page.locator("tbody th a")
    assert heads.count() == min(50, len(listed))
    for one in listed:
        expect(page.locator(f'tbody th a[href="/incidents/{one["id"]}"]')).to_have_text(one["title"])
    page.goto("/quality?days=30")
    quality = service.ask("GET", "/v1/alert-quality?days=30").json()
    expect(page.locator("[data-figure=incidents]")).to_have_text(str(quality["total"]["incidents"]))
    assert set(quality["causes"]) == {one["cause"] for one in listed}
    page.goto("/audit?action=incident.ack")
    chain = service.ask("GET", "/v1/audit?action=incident.ack").json()["audit"]
    shown = [int(row.get_attribute("id").removeprefix("link-")) for row in page.locator("tbody tr").all()]  # type: ignore[union-attr]
    assert shown == [one["number"] for one in chain]
    page.goto("/settings")
    used = {key["name"]: key["last_used"] for key in service.ask("GET", "/v1/keys").json()["keys"]}
    row = page.locator("#keys tbody tr", has=page.locator("th", has_text=re.compile("^root$")))
    if used["root"]:
        expect(row.locator("time").first).to_have_attribute("datetime", re.compile(used["root"][:16]))
    frozen = service.ask("GET", f"/v1{incident}/evidence").json()
    page.goto(incident)
    assert page.locator("#frozen .column h3").count() == min(8, len(frozen["histograms"]))


def test_a_channel_is_tried_from_the_settings(open_page: OpenPage, receiver: Receiver) -> None:
    page = open_page("adele")
    page.goto("/settings")
    page.get_by_role("button", name="Send a test to phone").click()
    expect(page.get_by_role("status").first).to_contain_text("A test is on its way")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any("this is a test of the channel 'phone'" in json.dumps(one) for one in receiver.messages):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_unknown_incident_helps_and_a_page_behind_the_login_comes_back(
    open_page: OpenPage, service: Service, incident: str
) -> None:
    page = open_page(None)
    page.goto("/incidents?status=all&model=digits")
    page.get_by_label("API key").fill(service.keys["rita"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/incidents?status=all&model=digits")
    page.goto("/incidents/nothing-of-the-kind")
    expect(page.get_by_role("heading", name="No such incident")).to_be_visible()
    page.get_by_role("link", name="All incidents").click()
    expect(page.locator(f'tbody th a[href="{incident}"]')).to_be_visible()


@pytest.fixture(scope="module")
def pages(service: Service, incident: str) -> dict[str, str]:
    """Every page of this module's kind, with something on it."""
    path = service.add_model("held")
    for event in ("quarantine", "start_review"):
        service.ask("POST", f"{path}/transitions", json={"event": event, "reason": HOSTILE})
    service.ask("POST", f"/v1{incident}/comment", json={"note": HOSTILE})
    ends = datetime.fromtimestamp(SystemClock().now_us() / 1e6 + 7_200, UTC)
    window = {"end": ends.isoformat(), "reason": HOSTILE}
    service.ask("POST", "/v1/models/held/maintenance", json=window)
    return {
        "incident": incident,
        "incidents": "/incidents?status=all",
        "reviews": "/reviews",
        "reports": f"{path.removeprefix('/v1')}/reports",
        "report-of-a-time": f"/reports/{_report(service, path)}",
        "maintenance": "/maintenance",
        "quality": "/quality",
        "red-team": "/red-team",
        "audit": "/audit",
        "settings": "/settings",
        "runbook": "/runbooks/data_drift",
    }


def _report(service: Service, path: str) -> str:
    """Ask for a report about an hour without events, and wait until it has failed."""
    now = SystemClock().now_us() / 1e6
    start, end = (datetime.fromtimestamp(now - ago, UTC).isoformat() for ago in (7_200, 3_600))
    told = service.ask("POST", f"{path}/reports", json={"from": start, "to": end}).json()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while told["status"] in {"queued", "running"}:
        assert time.monotonic() < deadline, told
        time.sleep(0.2)
        told = service.ask("GET", f"/v1/reports/{told['report_id']}").json()
    assert told["status"] == "failed"
    identity: str = told["report_id"]
    return identity


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", list(SIZES))
def test_every_page_fits_is_small_and_is_kept_as_a_picture(
    open_page: OpenPage, pages: dict[str, str], name: str, scheme: str
) -> None:
    page = open_page("adele", viewport=SIZES[name], color_scheme=scheme)
    ARTEFACTS.mkdir(exist_ok=True)
    for title, address in pages.items():
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200, title
        assert len(answer.body()) < BYTES_MAX, title
        assert page.locator("img").count() == 0, title
        page.screenshot(path=ARTEFACTS / f"{title}-{name}-{scheme}-fold.png")
        page.evaluate(UNFOLD)
        widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1], f"{title} scrolls sideways: {widths}"
        page.screenshot(path=ARTEFACTS / f"{title}-{name}-{scheme}.png", full_page=True)
    assert HOSTILE in page.goto("/audit").text().replace("&lt;", "<").replace("&gt;", ">")  # type: ignore[union-attr]


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_axe_finds_nothing_serious_on_any_page(
    open_page: OpenPage, pages: dict[str, str], size: str, scheme: str
) -> None:
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page = open_page("adele", viewport=SIZES[size], color_scheme=scheme)
    found = []
    for title, address in {**pages, "missing": "/incidents/nothing"}.items():
        page.goto(address)
        page.evaluate(UNFOLD)
        page.evaluate(axe)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found += [
            f"{title}: {one['id']} ({one['impact']}) at {one['nodes'][0]['target']}"
            for one in result["violations"]
            if one["impact"] in SERIOUS
        ]
    assert found == []


def test_axe_would_find_something(open_page: OpenPage) -> None:
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page = open_page(None)
    page.goto("/login")
    page.evaluate("document.querySelectorAll('label').forEach((one) => one.remove())")
    page.evaluate(axe)
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert any(one["impact"] in SERIOUS for one in result["violations"])
