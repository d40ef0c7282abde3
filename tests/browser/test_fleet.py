"""The fleet, the timeline and pages that stay current, in a real browser over a real service."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ARTEFACTS, HOSTILE, OpenPage, Service

SIZES = {
    "phone": {"width": 390, "height": 844},
    "tablet": {"width": 820, "height": 1180},
    "desktop": {"width": 1280, "height": 800},
}
FRESH = "[data-fresh]"


@pytest.fixture(scope="module", autouse=True)
def fleet(service: Service, quarantined: str) -> str:
    """Add versions in other states beside the one that evidence has quarantined; return the latter's page."""
    for number in range(7):
        path = service.add_model(f"reader-{number}", description=HOSTILE if number == 3 else "Reads digits")
        if number % 4 == 1:
            service.ask("POST", f"{path}/transitions", json={"event": "suspect", "reason": "by hand"})
        if number % 2:
            service.post_events(path, 0.0, 50 + number)
    return quarantined


def settled(page: Page) -> None:
    """Wait until the stream has told that the page is current."""
    expect(page.locator(FRESH)).to_have_text(re.compile(r"updated (now|\d+ s ago)"), timeout=30_000)


def suspects(service: Service) -> list[str]:
    """Return what the API says is suspect, as the pages name versions, in order."""
    readers = [f"reader-{number}" for number in range(7)]
    found = [
        model
        for model in ["digits", *readers]
        if service.ask("GET", f"/v1/models/{model}/versions/1/status").json()["state"] == "suspect"
    ]
    return [f"{model} 1" for model in found]


def test_the_fleet_is_chosen_by_the_keyboard_and_every_view_is_an_address(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page("ada", viewport=SIZES["desktop"])
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Fleet")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/fleet")
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    first = page.locator("table.rows tbody tr").first
    expect(first.locator("th a")).to_have_text("digits 1")
    expect(first.locator(".badge").first).to_have_text("Quarantined")
    page.get_by_label("Search").focus()
    page.keyboard.type("reader-1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/fleet?q=reader-1*")
    expect(page.locator("table.rows tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Show all").click()
    page.get_by_role("link", name=re.compile("Suspect$")).click()
    page.wait_for_url("**/fleet?show=suspect")
    # Other tests of this module may have made more versions suspect: the page shows all of them, and no other.
    names = page.locator("table.rows tbody th a")
    told = suspects(service)
    assert {"reader-1 1", "reader-5 1"} <= set(told)
    expect(names).to_have_count(len(told))
    assert sorted(names.all_inner_texts()) == told
    page.reload()
    expect(names).to_have_count(len(told))
    assert sorted(names.all_inner_texts()) == told
    names.first.click()
    expect(page.locator(".state .badge").first).to_have_text("Suspect")


def test_the_numbers_of_the_fleet_are_those_of_the_api(open_page: OpenPage, fleet: str, service: Service) -> None:
    page = open_page("rita")
    row = page.locator("table.rows tbody tr").first
    worst, evidence, shown = "", "", ""
    for _ in range(60):  # pragma: no branch
        status = service.ask("GET", f"/v1{fleet}/status").json()
        page.goto("/fleet")
        evidence = row.locator("td.against").inner_text().replace("\n", " ")
        worst = status["columns"][0]["name"]
        shown = f"10\n{status['evidence_log10']:.1f} of 10\n{status['threshold_log10']:.1f}".replace("\n", "")
        if shown in evidence.replace(" of", " of").replace("\xa0", " "):
            break
        time.sleep(0.5)
    else:
        pytest.fail(f"the API says {shown}, the page {evidence}")
    expect(row.locator("td[data-label='Worst column']")).to_contain_text(worst)
    incidents = service.ask("GET", "/v1/incidents?status=open").json()["incidents"]
    told = sum(one["model"] == "digits" for one in incidents)
    expect(row.locator("td[data-label=Incidents]")).to_contain_text(f"{told} open")


def test_a_page_learns_of_a_change_at_once_without_moving_a_row_under_the_pointer(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page("ada", viewport=SIZES["desktop"])
    page.goto("/fleet")
    settled(page)
    row = page.locator("tr", has_text="reader-6")
    row.hover()
    before = row.bounding_box()
    service.ask("POST", "/v1/models/reader-6/versions/1/transitions", json={"event": "quarantine", "reason": "by hand"})
    # The figure changes in its place, while the pointer rests on the row.
    expect(row.locator(".badge").first).to_have_text("Quarantined", timeout=30_000)
    assert row.bounding_box() == before
    order = page.locator("table.rows tbody th a").all_inner_texts()
    assert order.index("reader-6 1") > 1
    # Once the pointer has gone, the order follows.
    page.mouse.move(5, 5)
    expect(page.locator("table.rows tbody th a").nth(1)).to_have_text("reader-6 1", timeout=30_000)


def test_a_search_that_is_being_typed_is_not_taken_away(open_page: OpenPage, service: Service) -> None:
    page = open_page("ada")
    page.goto("/fleet")
    settled(page)
    page.get_by_label("Search").fill("half a na")
    service.ask("POST", "/v1/models/reader-4/versions/1/transitions", json={"event": "suspect", "reason": "by hand"})
    expect(page.locator("tr", has_text="reader-4").locator(".badge").first).to_have_text("Suspect", timeout=30_000)
    expect(page.get_by_label("Search")).to_have_value("half a na")
    expect(page.get_by_label("Search")).to_be_focused()


def test_signing_out_elsewhere_ends_the_page(open_page: OpenPage) -> None:
    page = open_page("ada")
    page.goto("/fleet")
    settled(page)
    other = page.context.new_page()
    other.goto("/fleet")
    other.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=30_000)


# The second one is a stream that breaks each time: a browser would open it again and again by itself.
@pytest.mark.parametrize(("status", "kind", "model"), [(503, "text/plain", 0), (200, "text/event-stream", 2)])
def test_without_a_stream_the_page_asks_by_itself(
    open_page: OpenPage, service: Service, status: int, kind: str, model: int
) -> None:
    page = open_page("ada")
    page.route("**/live*", lambda route: route.fulfill(status=status, content_type=kind, body="retry: 3000\n\n"))
    page.goto("/fleet")
    path = f"/v1/models/reader-{model}/versions/1/transitions"
    service.ask("POST", path, json={"event": "suspect", "reason": "by hand"})
    expect(page.locator("tr", has_text=f"reader-{model}").locator(".badge").first).to_have_text(
        "Suspect", timeout=40_000
    )


def test_the_timeline_is_read_with_the_pointer_and_with_the_keyboard(open_page: OpenPage, fleet: str) -> None:
    page = open_page("ada", viewport=SIZES["desktop"], timezone_id="Asia/Kolkata")
    page.goto(fleet)
    chart = page.locator("svg.chart.wide")
    chart.scroll_into_view_if_needed()
    expect(page.locator(".readout")).to_contain_text("Point at the chart")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.move(5, 5)
    chart.focus()
    page.keyboard.press("End")
    said = page.locator(".readout")
    expect(said).to_contain_text(re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d UTC \(here \d\d:\d\d:\d\d\) evidence 10\d+\.\d"))
    last = said.inner_text()
    page.keyboard.press("Home")
    expect(said).not_to_have_text(last)
    assert chart.locator(".block.bad").count() >= 1
    incident = chart.locator("a[href^='/incidents/']").first
    expect(incident).to_have_attribute("href", re.compile("/incidents/.+"))
    titles = chart.locator("rect.dot title").all_text_contents()
    assert any(re.fullmatch(r".* UTC: evidence 10\^\d+\.\d", title) for title in titles)
    assert any(re.fullmatch(r".* UTC: [\d,]+ events, [\d.,e+]+ a minute", title) for title in titles)


def test_times_stand_in_utc_and_in_the_viewers_own_zone(open_page: OpenPage, fleet: str) -> None:
    page = open_page("ada", timezone_id="Asia/Kolkata")
    page.goto(fleet)
    clock = page.locator(".state time[data-clock]").first
    expect(clock).to_contain_text("UTC, ")
    expect(clock.locator(".local")).to_contain_text(re.compile(r"\d\d:\d\d:\d\d"))
    assert "here" in (page.locator(".log time").first.get_attribute("title") or "")
    plain = open_page("ada", java_script_enabled=False, timezone_id="Asia/Kolkata")
    plain.goto(fleet)
    expect(plain.locator(".state time[data-clock]").first).to_have_text(re.compile(r"UTC$"))
    assert plain.locator(FRESH).inner_text().startswith("as of ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_pages_fit_every_screen_and_are_kept_as_pictures(
    open_page: OpenPage, fleet: str, size: str, scheme: str
) -> None:
    page = open_page("ada", viewport=SIZES[size], color_scheme=scheme)
    ARTEFACTS.mkdir(exist_ok=True)
    for name, address in (("fleet", "/fleet"), ("model", "/models/digits"), ("timeline", f"{fleet}?span=1d")):
        page.goto(address)
        page.screenshot(path=ARTEFACTS / f"{name}-{size}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address
        assert page.locator("img").count() == 0


def test_without_script_the_fleet_is_chosen_sorted_and_read(open_page: OpenPage) -> None:
    page = open_page("rita", java_script_enabled=False, viewport=SIZES["phone"])
    page.goto("/fleet")
    page.get_by_label("Show").select_option("attention")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("table.rows tbody tr").first.locator("th a")).to_have_text("digits 1")
    page.locator("table.rows tbody th a").first.click()
    expect(page.locator(".state .badge").first).to_have_text("Quarantined")
