"""The console in a real browser over a real service."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ARTEFACTS, HOSTILE, OpenPage, Service

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def in_review(service: Service, model: str) -> str:
    """Return the page of a fresh version that is under review."""
    path = service.add_model(model)
    for event in ("quarantine", "start_review"):
        service.ask("POST", f"{path}/transitions", json={"event": event, "reason": "by hand"})
    return path.removeprefix("/v1")


def the_page_and_the_api_agree(page: Page, service: Service, address: str) -> None:
    """Wait until both show the same evidence: the last events before the quarantine may still be on their way."""
    in_api, sure = "", ""
    for _ in range(60):
        in_api = f"{service.ask('GET', f'/v1{address}/status').json()['evidence_log10']:.1f}"
        page.reload()
        sure = page.locator(".sure").inner_text()
        if in_api in sure:
            return
        time.sleep(0.25)
    pytest.fail(f"the API says {in_api}, the page {sure}")


def test_a_login_link_fills_the_form_and_leaves_no_trace_in_the_address(open_page: OpenPage, service: Service) -> None:
    page = open_page(None)
    page.goto(f"/login#key={service.keys['ada']}")
    expect(page.get_by_label("API key")).to_have_value(service.keys["ada"])
    assert page.url == f"{service.url}/login"
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_page_shows_state_reason_evidence_and_both_histograms(
    open_page: OpenPage, quarantined: str, service: Service
) -> None:
    page = open_page("ada", viewport=DESKTOP)
    page.goto(quarantined)
    expect(page.locator(".state .badge")).to_have_text("Quarantined")
    why = page.locator(".state dd").nth(1)
    expect(why).to_contain_text("Data drift: sharpness")
    sure = page.locator(".sure").inner_text()
    assert re.search(r"Evidence 10\s*\d+\.\d\s*against a budget of 10\s*7\.1\s*: one false alarm in 30 days", sure), (
        sure
    )
    card = page.locator(".column.blamed").first
    expect(card.locator("h3")).to_contain_text("sharpness")
    expect(card.locator("th[scope=col]")).to_have_text(["Value", "Baseline", "Current"])
    assert card.locator("svg.bar.new .fill").count() >= 8
    expect(page.get_by_role("group", name=re.compile("Evidence over time")).first).to_be_visible()
    the_page_and_the_api_agree(page, service, quarantined)
    # The next step is visible without scrolling.
    expect(page.get_by_role("button", name="Start the review")).to_be_in_viewport()


def test_two_people_release_through_forms(open_page: OpenPage, service: Service) -> None:
    address = in_review(service, "two-people")
    ada, grace = open_page("ada"), open_page("grace")
    ada.goto(address)
    ada.get_by_label("Reason, for the record").fill("the lens was cleaned")
    ada.get_by_role("button", name="Release", exact=True).click()
    expect(ada.get_by_role("status").first).to_contain_text("Your approval is on record")
    expect(ada.locator(".approvals")).to_have_text("Approvals for the release: 1 of 2, by ada.")
    expect(ada.locator(".state .badge")).to_have_text("Under review")
    grace.goto(address)
    grace.get_by_label("Reason, for the record").fill("the pictures are sharp again")
    grace.get_by_role("button", name="Release", exact=True).click()
    expect(grace.locator(".state .badge")).to_have_text("Active")
    expect(grace.get_by_role("status").first).to_contain_text("Done: released.")
    # The other browser learns of it by itself.
    expect(ada.locator(".state .badge")).to_have_text("Active")
    gate = service.ask("GET", f"/v1/gate{address.replace('/models/', '/').replace('/versions/', '/')}")
    assert gate.headers["x-gate-state"] == "active"


def test_an_action_that_came_too_late_is_told_in_a_sentence(open_page: OpenPage, service: Service) -> None:
    address = in_review(service, "too-late")
    page = open_page("ada")
    page.goto(address)
    page.get_by_label("Reason, for the record").fill("broken for good")
    service.ask("POST", f"/v1{address}/transitions", json={"event": "roll_back", "reason": "someone was faster"})
    page.get_by_role("button", name="Release", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("too-late/1 has changed since you looked: it is 'rolled_back'")
    expect(page.locator(".state .badge")).to_have_text("Rolled back")


def test_what_is_being_typed_is_never_taken_away(open_page: OpenPage, service: Service) -> None:
    address = in_review(service, "typing")
    page = open_page("ada")
    page.goto(address)
    page.get_by_label("Reason, for the record").fill("I was just wr")
    service.ask("POST", f"/v1{address}/transitions", json={"event": "roll_back", "reason": "meanwhile"})
    expect(page.locator(".state .badge")).to_have_text("Rolled back")
    expect(page.get_by_label("Reason, for the record")).to_have_value("I was just wr")
    expect(page.get_by_text("This page has changed since you began to type.")).to_be_visible()


def test_hostile_names_are_text(open_page: OpenPage, quarantined: str, service: Service) -> None:
    address = in_review(service, "hostile")
    service.ask("POST", f"/v1{address}/transitions", json={"event": "roll_back", "reason": HOSTILE})
    page = open_page("rita")
    for shown in (quarantined, address):
        page.goto(shown)
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert page.locator("img").count() == 0


def test_everything_works_without_script(open_page: OpenPage, service: Service) -> None:
    address = in_review(service, "no-script")
    page = open_page("ada", java_script_enabled=False)
    page.goto(address)
    page.get_by_label("Reason, for the record").fill("enough is enough")
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator(".state .badge")).to_have_text("Rolled back")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_incident_is_acknowledged_from_the_keyboard(open_page: OpenPage, quarantined: str) -> None:
    page = open_page("ada")
    page.goto(quarantined)
    button = page.get_by_role("button", name="Acknowledge: I am on it")
    if button.count():
        button.focus()
        page.keyboard.press("Enter")
    expect(page.locator(".incident .badge")).to_have_text("acknowledged")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_no_page_scrolls_sideways_and_each_is_kept_as_a_picture(
    open_page: OpenPage, quarantined: str, name: str, size: dict[str, int], scheme: str
) -> None:
    page = open_page("ada", viewport=size, color_scheme=scheme)
    ARTEFACTS.mkdir(exist_ok=True)
    page.goto(quarantined)
    page.screenshot(path=ARTEFACTS / f"version-{name}-{scheme}-fold.png")
    for opened in page.locator("details > summary").all():
        opened.click()
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    page.screenshot(path=ARTEFACTS / f"version-{name}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_window_that_is_compared_is_chosen_by_a_link_and_stays_chosen(
    open_page: OpenPage, quarantined: str, service: Service, size: dict[str, int]
) -> None:
    page = open_page("ada", viewport=size)
    page.goto(quarantined)
    windows = page.get_by_role("navigation", name="Compare with the baseline")
    expect(windows.locator("[aria-current]")).to_have_text("since the change")
    windows.get_by_role("link", name="5 minutes").click()
    page.wait_for_url("**?window=5m#columns-title")
    said = page.locator("section[data-live=columns] > p").first
    expect(said).to_contain_text("events of the last 5 minutes")
    expect(page.locator(".column .effects").first).to_contain_text(
        re.compile(r"PSI\s*\d[\d.]* \(\d[\d.]* to \d[\d.]*\)")
    )
    before = said.inner_text()
    service.post_events(f"/v1{quarantined}", 0.4, 9_999)
    page.mouse.move(0, 0)
    # The figures go on, and are still those of the window.
    expect(said).not_to_have_text(before)
    expect(said).to_contain_text("events of the last 5 minutes")
    expect(windows.locator("[aria-current]")).to_have_text("5 minutes")
    for link in windows.get_by_role("link").all():
        box = link.bounding_box()
        assert box is not None
        assert box["height"] >= 24
        assert box["x"] + box["width"] <= size["width"]
