"""The pages: what they show, to whom, and what goes with them."""

import re
from dataclasses import replace

import msgspec
import pytest

from service.domain.policy import FailMode, Policy
from service.domain.records import Scope
from tests.service.console.conftest import Console
from tests.service.console.naming import lost_names
from tests.service.console.seeding import MINUTE_US, READER, Fleet

PAGE = "/models/digits/versions/1"
HOSTILE = "<img src=x onerror=alert(1)>\"'&</title><script>alert(2)</script>"


def text_of(page: str) -> str:
    body = re.sub(r"<svg.*?</svg>", " ", page, flags=re.DOTALL)
    body = re.sub(r"</(?:th|td|dt|dd|li|p|h\d)>", " ", body.replace("<sup>", "^"))
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", body))


def test_the_first_page_is_of_the_version_that_needs_attention_most(console: Console) -> None:
    page = console.signed_in("ada").get("/").text
    assert "<title>Quarantined: digits 1 · Lazaretto</title>" in page


def test_the_page_says_state_since_when_why_and_how_sure(console: Console) -> None:
    text = text_of(console.signed_in("ada").get(PAGE).text)
    assert "The gate denies all traffic to this version until someone has reviewed it." in text
    assert "2 minutes ago (2026-11-23 09:58:45 UTC)" in text
    assert "Data drift: sharpness (mean up), grain (mean up), brightness (spread up)." in text
    assert "confirmed in 2 of 2 consecutive evaluations" in text
    assert re.search(r"Evidence 10\^\d+\.\d against a budget of 10\^6\.4: one false alarm in 30 days\.", text)
    assert "The alarm was raised 2 minutes ago." in text


def test_every_part_is_named_by_a_heading_that_is_there(console: Console) -> None:
    """Whether it has anything to show or not."""
    browser = console.signed_in("ada")
    parts = 0
    for version in console.fleet.store.read.versions():
        page = browser.get(f"/models/{version.model}/versions/{version.version}").text
        assert lost_names(page) == []
        parts += page.count('class="nothing"')
    assert parts, "some have nothing to show, and no heading"


def test_all_versions_are_listed_worst_first(console: Console) -> None:
    page = console.signed_in("ada").get(PAGE).text
    listed = re.findall(r'<a href="/models/([^/]+)/versions/([^"]+)"', page)
    names = [f"{model} {version}" for model, version in listed if not version.endswith("/")]
    order = ["digits 1", "fraud-scorer 2026-11-09", "fraud-scorer 2026-11-02", "churn 7", "fraud-scorer 2026-08-01"]
    assert [name for name in names if name in order][-5:] == order


def test_both_histograms_stand_side_by_side_with_their_effect_sizes(console: Console) -> None:
    text = text_of(console.signed_in("ada").get(PAGE).text)
    assert "Value Baseline Current" in text
    assert re.search(r"sharpness mean up feature · evidence 10\^\d+\.\d · since 3 minutes ago PSI 0\.\d+", text)
    assert re.search(r"PSI \d\.\d+ \(\d\.\d+ to \d\.\d+\)", text)
    assert "the 600 events since the change began, 09:58:30 to 10:00:45 UTC" in text


def test_no_column_with_more_evidence_than_the_budget_is_said_to_be_chance(console: Console) -> None:
    """What the alarm did not name may change after it."""
    said = r"<h3>contrast <span class=\"soft\">([^<]*)</span></h3>"
    assert re.findall(said, console.signed_in("ada").get(PAGE).text) == ["may be chance"]
    (digits,) = console.fleet.store.read.versions("digits")
    snapshot = console.fleet.store.tables.snapshots[digits.id]
    status = msgspec.json.decode(snapshot.status)
    (contrast,) = (column for column in status["columns"] if column["name"] == "contrast")
    contrast["log_evidence"] = 500.0
    console.fleet.store.tables.snapshots[digits.id] = replace(snapshot, status=msgspec.json.encode(status).decode())
    assert re.findall(said, console.signed_in("ben").get(PAGE).text) == ["not named by the alarm"]


def test_a_reader_sees_no_buttons_and_is_told_why(console: Console) -> None:
    page = console.signed_in("rita", READER).get(PAGE).text
    assert "this needs a key with scope &#39;operate&#39;" in page
    assert 'name="event"' not in page
    assert "/ack" not in page


def test_a_key_for_other_models_sees_neither_list_entry_nor_page(console: Console) -> None:
    browser = console.signed_in("fred", models=frozenset({"fraud-scorer"}))
    assert "/models/digits" not in browser.get("/").text
    assert browser.get(PAGE).status_code == 404
    assert browser.get("/models/nothing/versions/1").status_code == 404


def test_a_version_without_a_baseline_is_warming(console: Console) -> None:
    text = text_of(console.signed_in("ada").get("/models/churn/versions/7").text)
    assert "Warming: there is no baseline yet" in text
    assert "Evidence none yet against" in text


def test_what_the_baseline_can_promise_is_said_and_its_tolerances_are_folded(console: Console) -> None:
    page = console.signed_in("ada").get("/models/digits/versions/1").text
    assert "It supports the promise of one false alarm in" in page
    assert "Replaying the reference against itself would have raised 0 false alarms" in page
    assert '<details id="promise-1" class="tolerances">' in page
    assert "may move by" in page


def test_segments_are_a_table_and_their_names_are_only_text(console: Console) -> None:
    tables = console.fleet.store.tables
    (digits,) = console.fleet.store.read.versions("digits")
    before = text_of(console.signed_in("ada").get(PAGE).text)
    assert "Share of the budget" not in before
    snapshot = tables.snapshots[digits.id]
    told = {"segment": f"region={HOSTILE}", "share": 0.5, "insufficient": None, "log_evidence": 23.1}
    status = msgspec.json.decode(snapshot.status) | {"segments": [told]}
    tables.snapshots[digits.id] = replace(snapshot, status=msgspec.json.encode(status).decode())
    page = console.signed_in("ada").get(PAGE).text
    assert "Share of the budget" in text_of(page)
    assert "region=&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img src=x" not in page


def test_silence_is_not_shown_as_health(console: Console) -> None:
    browser = console.signed_in("ada")
    assert "Watching 6 columns" in browser.get("/models/fraud-scorer/versions/2026-11-02").text
    console.fleet.clock.advance(301)
    assert "Stale: no event for 5 minutes" in browser.get("/models/fraud-scorer/versions/2026-11-02").text


def test_with_no_model_at_all_the_page_says_how_to_begin(console: Console) -> None:
    console.fleet.store.tables.versions.clear()
    assert "No models yet" in console.signed_in("ada").get("/").text


def test_a_fallback_and_a_dry_run_are_said(console: Console) -> None:
    tables = console.store.tables
    model = tables.model("digits")
    assert model is not None
    tables.models[model.id] = replace(model, policy=Policy(dry_run=True, fallback="digits/0", fail=FailMode.CLOSED))
    text = text_of(console.signed_in("ada").get(PAGE).text)
    assert "Dry run" in text
    assert "Gateways are pointed to the fallback digits/0." in text


@pytest.mark.parametrize("path", ["/login", "/", PAGE, "/models/x/versions/y", "/static/console.css"])
def test_every_answer_carries_its_security_headers(console: Console, path: str) -> None:
    headers = console.signed_in("ada").get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    if not path.startswith("/static"):
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/login", PAGE])
def test_pages_hold_no_inline_script_or_style_and_name_no_other_host(console: Console, path: str) -> None:
    page = console.signed_in("ada").get(path).text
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert not re.search(r'(?:href|src|action)="(?!/|#)', page)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_static_files_may_be_kept_for_ever_under_an_address_that_names_their_content(console: Console) -> None:
    browser = console.browser()
    address = re.findall(r'href="(/static/console\.css\?v=[0-9a-f]+)"', browser.get("/login").text)[0]
    answer = browser.get(address)
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    again = browser.get(address, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert browser.get("/static/console.css").headers["cache-control"] == "no-cache"
    assert browser.get("/static/..%2froutes.py").status_code == 404
    assert browser.get("/static/nothing.js").status_code == 404


def test_an_unchanged_page_is_not_sent_again(console: Console) -> None:
    browser = console.signed_in("ada")
    page = browser.get(PAGE)
    tag = page.headers["etag"]
    # The page knows its own tag, so that its first question is answered with nothing.
    assert f'data-tag="{tag.replace(chr(34), "&#34;")}"' in page.text
    assert browser.get(PAGE, headers={"if-none-match": tag}).status_code == 304
    console.store.tables.revision += 1
    assert browser.get(PAGE, headers={"if-none-match": tag}).status_code == 200
    console.fleet.clock.advance(60)
    assert browser.get(PAGE, headers={"if-none-match": tag}).status_code == 200
    assert console.signed_in("grace").get(PAGE, headers={"if-none-match": tag}).status_code == 200


def test_hostile_names_are_text(console: Console) -> None:
    fleet = Fleet.new()
    console.fleet.store.tables = fleet.store.tables
    version = fleet.add_version("digits", "1")
    made = fleet.add_evidence(version, [0.0, 0.5, 1.0], (HOSTILE, "b", "c", "d", "e"))
    fleet.quarantine(version, made, title=HOSTILE)
    tables = fleet.store.tables
    model = tables.model("digits")
    assert model is not None
    tables.models[model.id] = replace(model, owner=HOSTILE, description=HOSTILE)
    tables.versions[version.id] = replace(tables.versions[version.id], reason=HOSTILE)
    page = console.signed_in(HOSTILE, READER | {Scope.OPERATE}).get(PAGE).text
    assert "<img" not in page
    assert page.count("<script") == page.count('<script src="/static/') == 2
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 7


def test_no_page_is_larger_than_200_kilobytes(console: Console) -> None:
    fleet = Fleet.new()
    console.fleet.store.tables = fleet.store.tables
    for number in range(60):
        fleet.add_version(f"model-{number:03}", "2026-11-02" + "x" * 100)
    version = fleet.add_version("digits", "1")
    fleet.add_evidence(version, [number % 7 / 7 for number in range(180)])
    for _ in range(40):
        fleet.quarantine(version, fleet.add_evidence(version, [0.0, 1.0]), title="t" * 300)
    answer = console.signed_in("ada").get(PAGE)
    assert answer.status_code == 200
    assert len(answer.content) < 200_000
    assert "and 11 more" in answer.text


def test_no_page_is_larger_than_200_kilobytes_with_many_columns(console: Console) -> None:
    tables = console.fleet.store.tables
    (digits,) = console.fleet.store.read.versions("digits")
    snapshot = tables.snapshots[digits.id]
    status = msgspec.json.decode(snapshot.status)
    more = [{**status["columns"][0], "name": f"a-column-with-a-rather-long-name-{number:04d}"} for number in range(500)]
    trail = [(status["last_arrival_us"] - 1_000_000 * (240 - n), 4.5) for n in range(240)]
    told = {**status, "columns": [*status["columns"], *more], "trail": trail}
    tables.snapshots[digits.id] = replace(snapshot, status=msgspec.json.encode(told).decode())
    for span in ("3h", "1d", "30d"):
        answer = console.signed_in("ada").get(f"{PAGE}?span={span}&window=1h")
        assert answer.status_code == 200
        assert "The 100 columns with the most evidence, of 506" in answer.text
        assert len(answer.content) < 200_000


def test_times_are_of_the_last_events_even_hours_later(console: Console) -> None:
    console.fleet.clock.advance(5 * 3_600)
    text = text_of(console.signed_in("ada").get(PAGE).text)
    assert "The gate is closed; the last event arrived 5 hours ago." in text
    assert "the 600 events" in text
    assert MINUTE_US == 60_000_000


def effects_on(page: str, column: str = "sharpness") -> str:
    found = re.search(rf"<h3>{column}.*?(<dl.*?</dl>)", page, re.DOTALL)
    assert found is not None
    return text_of(found[1])


def test_the_window_that_is_compared_can_be_chosen(console: Console) -> None:
    browser = console.signed_in("ada")
    plain = browser.get(PAGE).text
    offered = re.findall(r'<a href="(/models/[^"]*)#columns-title"( aria-current="true")?>([^<]+)</a>', plain)
    assert [(text, bool(chosen)) for _, chosen, text in offered] == [
        ("since the change", True), ("1 minute", False), ("5 minutes", False), ("1 hour", False), ("1 day", False),
    ]  # fmt: skip
    said = {
        "1m": "the 600 events of the last minute, 09:59:00 to 10:00:45 UTC",
        "5m": "the 1,800 events of the last 5 minutes, 09:55:00 to 10:00:45 UTC",
        "1h": "the 13,500 events of the last hour, 09:16:00 to 10:00:45 UTC",
        "1d": "the 13,500 events of the last day, 09:00:00 to 10:00:45 UTC",
    }
    assert [href for href, _, _ in offered[1:]] == [f"{PAGE}?window={window}" for window in said]
    shown = {}
    for window, sentence in said.items():
        page = browser.get(f"{PAGE}?window={window}").text
        assert sentence in text_of(page)
        assert f'?window={window}#columns-title" aria-current="true"' in page
        assert page.count('aria-current="true"') == plain.count('aria-current="true"')
        # What the browser asks for again and again is the page that it shows.
        assert f'data-poll="{PAGE}?window={window}"' in page
        assert f"Effect sizes, last {sentence.split(' last ')[1].split(',')[0]}" in page
        shown[window] = effects_on(page)
        assert re.search(r"PSI \d\.\d+ \(\d(\.\d+)? to \d\.\d+\)", shown[window])
    assert len(set(shown.values())) == 3
    assert shown["1h"] == shown["1d"]


def test_another_window_is_another_page_to_a_browser_that_asks_for_changes(console: Console) -> None:
    browser = console.signed_in("ada")
    tag = browser.get(f"{PAGE}?window=5m").headers["etag"]
    known = {"if-none-match": tag}
    assert browser.get(f"{PAGE}?window=5m", headers=known).status_code == 304
    assert browser.get(PAGE, headers=known).status_code == 200
    assert browser.get(f"{PAGE}?window=1d", headers=known).status_code == 200


@pytest.mark.parametrize("window", ["2m", "", "<script>", "1h&x=1"])
def test_a_window_that_does_not_exist_is_as_good_as_none(console: Console, window: str) -> None:
    page = console.signed_in("ada").get(f"{PAGE}?window={window}").text
    assert "<script>" not in page.replace("<script src", "")
    assert ("1h" in window) == (f'data-poll="{PAGE}?window=1h"' in page)
    assert ("1h" in window) != (f'data-poll="{PAGE}"' in page)


def test_while_nothing_has_changed_the_hour_is_shown_and_no_change_is_offered(console: Console) -> None:
    browser = console.signed_in("ada")
    page = browser.get("/models/fraud-scorer/versions/2026-11-02").text
    assert '?window=1h#columns-title" aria-current="true">1 hour</a>' in page
    assert "since the change" not in page
    assert 'aria-label="Compare' not in browser.get("/models/churn/versions/7").text
    assert 'aria-label="Compare' not in browser.get("/models/churn/versions/7?window=abc").text
