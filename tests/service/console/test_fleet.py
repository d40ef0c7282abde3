"""The fleet: what is listed, in which order, and how its address chooses it."""

import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.console import lists
from service.console.fleet import SHOWS, TILES, Wanted, fleet_page
from service.console.roll import Entry, Roll
from service.console.words import exponent
from service.domain.ids import Micros
from service.domain.records import Scope
from service.domain.states import State
from tests.fakes.looking import InMemoryLooking, standing_of
from tests.service.console.conftest import Console
from tests.service.console.seeding import READER, Fleet, busy_fleet
from tests.service.console.test_pages import HOSTILE, text_of
from tests.service.console.test_read_models import ADA

NAMES = ["digits 1", "fraud-scorer 2026-11-09", "fraud-scorer 2026-11-02", "churn 7", "fraud-scorer 2026-08-01"]


def entries_of(fleet: Fleet) -> list[Entry]:
    return Roll(lambda: standing_of(fleet.store, fleet.clock), InMemoryLooking(fleet.store)).entries(ADA)


def listed(page: str) -> list[str]:
    table = page[page.index('<table class="rows">') :] if '<table class="rows">' in page else ""
    found = re.findall(r'<th scope="row"><a href="/models/([^/]+)/versions/([^"]+)"', table)
    return [f"{model} {version}" for model, version in found]


def test_every_version_is_listed_the_most_urgent_first(console: Console) -> None:
    page = console.signed_in("ada").get("/fleet").text
    assert listed(page) == NAMES
    text = text_of(page)
    assert re.search(r"digits 1 Quarantined 2 minutes ago 10\^\d+\.\d of 10\^6\.4 sharpness 10\^\d+\.\d 1 open", text)
    assert "5 versions" in text
    assert '<a href="/fleet" aria-current="page">Fleet</a>' in page


def test_the_figures_are_those_of_the_store(console: Console) -> None:
    rows = {row.id: row for row in fleet_page(entries_of(console.fleet), Wanted(), Micros(0), 300.0).rows}
    for version_id, snapshot in console.store.tables.snapshots.items():
        columns = msgspec.json.decode(snapshot.status)["columns"]
        worst = max(columns, key=lambda column: column["log_evidence"])
        row = rows[version_id]
        assert row.evidence == exponent(snapshot.evidence_log)
        assert (row.worst, row.worst_evidence) == (worst["name"], exponent(worst["log_evidence"]))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("show=quarantined", NAMES[:1]),
        ("show=attention", NAMES[:2]),
        ("show=incidents", NAMES[:1]),
        ("show=unwatched", ["churn 7"]),
        ("show=silent", []),
        ("show=nonsense", NAMES),
        ("q=FRAUD", [NAMES[1], NAMES[2], NAMES[4]]),
        ("q=fraud&show=retired", [NAMES[4]]),
        ("q=sharpness", NAMES[:3]),
        ("owner=imaging", NAMES),
        ("owner=nobody", []),
        ("sort=name", sorted(NAMES)),
        ("sort=name&order=desc", sorted(NAMES, reverse=True)),
        ("sort=urgency&order=desc", NAMES[::-1]),
        ("page=99", NAMES),
        ("page=-1&sort=x&order=y", NAMES),
    ],
)
def test_the_address_says_what_is_listed(console: Console, query: str, names: list[str]) -> None:
    page = console.signed_in("ada").get(f"/fleet?{query}").text
    assert listed(page) == names
    if not names:
        assert "No version is like that." in page


def test_what_is_chosen_stays_chosen_in_every_link(console: Console) -> None:
    page = console.signed_in("ada").get("/fleet?show=retired&q=fraud&owner=imaging").text
    heads = re.findall(r'<th scope="col"[^>]*><a href="([^"]+)"', page)
    assert len(heads) == 6
    assert all("show=retired&amp;owner=imaging&amp;q=fraud" in address for address in heads)
    assert '<option value="retired" selected>' in page
    assert 'value="fraud"' in page
    assert 'data-poll="/fleet?show=retired&amp;owner=imaging&amp;q=fraud"' in page


def test_a_sorted_head_turns_the_order(console: Console) -> None:
    browser = console.signed_in("ada")
    page = browser.get("/fleet?sort=evidence").text
    (turned,) = re.findall(r'aria-sort="descending"><a href="([^"]+)"', page)
    assert turned == "/fleet?sort=evidence&amp;order=asc"
    again = browser.get("/fleet?sort=evidence&order=asc").text
    assert 'aria-sort="ascending"' in again
    assert listed(again)[-1] == listed(page)[0] == "digits 1"


def big_fleet(console: Console, models: int) -> None:
    fleet = Fleet.new()
    console.fleet.store.tables = fleet.store.tables
    for number in range(models):
        fleet.add_version(f"model-{number:04d}", "2026-11-02", State.QUARANTINED if number % 100 == 7 else State.ACTIVE)


def test_a_large_fleet_comes_in_parts_of_bounded_size(console: Console) -> None:
    big_fleet(console, 1_000)
    browser = console.signed_in("ada")
    seen: list[str] = []
    address = "/fleet"
    for _ in range(20):
        answer = browser.get(address)
        assert len(answer.content) < 100_000
        seen += listed(answer.text)
        following = re.search(r'rel="next" href="([^"]+)"', answer.text)
        address = following[1].replace("&amp;", "&") if following else ""
    assert address == ""
    assert len(seen) == len(set(seen)) == 1_000
    assert [name.split()[0] for name in seen[:10]] == [f"model-{number:04d}" for number in range(7, 1_000, 100)]
    assert "951 to 1,000 of 1,000 versions" in text_of(browser.get("/fleet?page=20").text)
    first = browser.get("/")
    assert len(first.content) < 100_000
    assert "and 988 more in the fleet" in text_of(first.text)


def test_the_numbers_above_the_list_lead_to_what_they_count(console: Console) -> None:
    browser = console.signed_in("ada")
    page = browser.get("/fleet").text
    tiles = re.findall(r'<a class="tile [^"]*" href="([^"]+)"[^>]*><b[^>]*>([\d,]+)</b> ([^<]+)</a>', page)
    assert [text for _, _, text in tiles] == [*(SHOWS[name] for name, _ in TILES), "All versions"]
    for address, number, text in tiles:
        assert len(listed(browser.get(address.replace("&amp;", "&")).text)) == int(number), text


def test_silence_is_counted_and_said(console: Console) -> None:
    console.fleet.clock.advance(301)
    text = text_of(console.signed_in("ada").get("/fleet?show=silent").text)
    assert "fraud-scorer 2026-11-02 Active silent" in text
    assert "digits 1" not in text, "who is held is not silent"


def test_a_key_for_other_models_sees_and_counts_only_its_own(console: Console) -> None:
    browser = console.signed_in("fred", models=frozenset({"churn"}))
    page = browser.get("/fleet").text
    assert listed(page) == ["churn 7"]
    assert "digits" not in page
    assert browser.get("/models/digits").status_code == 404
    assert browser.get("/models/churn").status_code == 200


def test_the_page_of_a_model_has_its_versions_and_its_policy_in_words(console: Console) -> None:
    page = console.signed_in("ada").get("/models/fraud-scorer").text
    assert listed(page) == [name for name in NAMES if name.startswith("fraud")]
    text = text_of(page)
    assert "At most one false alarm in 30 days, all columns together" in text
    assert "A release needs 2 different people, and never the deployer alone." in text
    assert console.signed_in("grace").get("/models/nothing").status_code == 404


def test_an_unchanged_list_is_not_sent_again(console: Console) -> None:
    browser = console.signed_in("ada")
    tag = {"if-none-match": browser.get("/fleet").headers["etag"]}
    assert browser.get("/fleet", headers=tag).status_code == 304
    assert browser.get("/fleet?show=retired", headers=tag).status_code == 200
    console.store.tables.revision += 1
    assert browser.get("/fleet", headers=tag).status_code == 200


def test_hostile_names_are_text_in_lists_too(console: Console) -> None:
    fleet = Fleet.new()
    console.fleet.store.tables = fleet.store.tables
    version = fleet.add_version(HOSTILE, HOSTILE)
    fleet.add_evidence(version, [0.0, 0.5], (HOSTILE, "b", "c", "d", "e"))
    tables = fleet.store.tables
    model = tables.model(HOSTILE)
    assert model is not None
    tables.models[model.id] = replace(model, owner=HOSTILE)
    browser = console.signed_in("ada", READER | {Scope.OPERATE})
    for address in ("/fleet", f"/fleet?q={HOSTILE.replace('&', '%26').replace(';', '%3b')}", "/fleet?owner=%3Cimg%20x"):
        page = browser.get(address).text
        assert "<img" not in page
        assert page.count("<script") == page.count('<script src="/static/')


def test_without_any_version_the_list_says_how_to_begin(console: Console) -> None:
    console.store.tables.versions.clear()
    assert "Register one with POST /v1/models/{model}/versions" in console.signed_in("ada").get("/fleet").text


def test_the_roll_is_kept_as_long_as_nothing_has_changed() -> None:
    fleet = busy_fleet()
    standing = standing_of(fleet.store, fleet.clock)
    asked = []

    class Counting(InMemoryLooking):
        def unresolved(self) -> Any:
            asked.append(1)
            return super().unresolved()

    known = [standing]
    roll = Roll(lambda: known[0], Counting(fleet.store))
    first = roll.entries(ADA)
    assert all(a is b for a, b in zip(first, roll.entries(ADA), strict=True))
    known[0] = replace(standing, read_us=Micros(1))
    assert roll.entries(ADA) == first
    assert len(asked) == 1, "the same revision has the same incidents"
    known[0] = replace(standing, revision=standing.revision + 1)
    roll.entries(ADA)
    assert len(asked) == 2


@given(st.integers(-3, 10**7), st.integers(0, 5_000), st.integers(1, 200))
def test_a_part_of_a_list_is_always_inside_it(number: int, total: int, size: int) -> None:
    part = lists.pager("/x", {"q": "a b"}, number, total, size)
    assert part.last - part.first < size
    assert (part.first, part.last) == (0, 0) if not total else 1 <= part.first <= part.last <= total
    assert (part.before is None) == (part.first <= 1)
    assert (part.after is None) == (part.last == total)


@given(st.dictionaries(st.sampled_from(["show", "owner", "q", "sort", "order", "page"]), st.text(max_size=200)))
def test_no_query_breaks_the_page_and_what_it_means_survives_its_own_address(query: dict[str, str]) -> None:
    wanted = Wanted.of(query)
    page = fleet_page([], wanted, Micros(0), 300.0)
    assert page.pager.total == 0
    assert len(wanted.text) <= 100
    assert wanted.sort in {"urgency", "name", "evidence", "incidents", "last", "owner"}
