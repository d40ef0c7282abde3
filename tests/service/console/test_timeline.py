"""The timeline: what is drawn beside the evidence, over which span, and what happened in words."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.console import timeline
from service.console.facts import Chosen, Facts, Sources, gather
from service.console.history import SPANS
from service.console.lanes import BARS_MAX, BLOCKS_MAX, Beside, Count, Stretch, lanes_of
from service.console.read_models import version_page
from service.console.scale import NARROW, WIDE, Scale
from service.console.timeline import charts_of, marks_of, spans_of
from service.domain.ids import Actor, Micros
from service.domain.records import IncidentStatus, Verdict
from tests.fakes.looking import InMemoryLooking
from tests.service.console.conftest import Console
from tests.service.console.seeding import MINUTE_US, Fleet, busy_fleet
from tests.service.console.test_pages import PAGE, text_of
from tests.service.console.test_read_models import ADA

HOUR = 60 * MINUTE_US


def facts_over(fleet: Fleet, span: str, model: str = "digits", version: str = "1") -> Facts:
    read = fleet.store.read
    found, owner = read.version(model, version), read.model(model)
    assert found is not None
    assert owner is not None
    sources = Sources(read, InMemoryLooking(fleet.store), read.versions)
    return gather(sources, owner, found, fleet.clock.now_us(), 300.0, Chosen(span=SPANS[span]))


def test_deploys_baselines_states_and_the_change_are_marks_on_one_axis() -> None:
    facts = facts_over(busy_fleet(), "3h")
    texts = [mark.text for mark in marks_of(facts)]
    assert {"deployed", "baseline", "quarantined", "change began"} <= set(texts)
    assert [mark.at_us for mark in marks_of(facts)] == sorted(mark.at_us for mark in marks_of(facts))
    other = facts_over(busy_fleet(), "3h", "fraud-scorer", "2026-11-09")
    assert "2026-11-02 deployed" in [mark.text for mark in marks_of(other)]


def test_states_follow_one_another_without_a_gap_up_to_now() -> None:
    fleet = busy_fleet()
    facts = facts_over(fleet, "3h")
    for chart in charts_of(facts):
        states = chart.lanes.states
        assert [block.tone for block in states][-1] == "bad"
        assert all(a.x + a.width == pytest.approx(b.x, abs=3.1) for a, b in pairwise(states))
        assert states[-1].x + states[-1].width == pytest.approx(chart.size.width - chart.size.right, abs=0.2)
        assert "Quarantined 2026-11-23 09:58:45 to 2026-11-23 10:00:45 UTC, lazaretto: " in states[-1].text


def test_what_was_before_the_changes_that_were_read_is_not_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_over(busy_fleet(), "3h")
    changes = facts.history.transitions
    assert len(timeline._states(facts)) == len(changes) + 1
    monkeypatch.setattr(timeline, "TRANSITIONS_READ", len(changes))
    assert [one.first_us for one in timeline._states(facts)] == [one.at_us for one in changes]


def test_an_incident_is_a_stretch_that_leads_to_its_page() -> None:
    fleet = busy_fleet()
    (block,) = charts_of(facts_over(fleet, "3h"))[0].lanes.incidents
    assert block.address == "/incidents/01jd9"
    assert block.text.startswith("Data drift in digits 1, medium severity, open 2026-11-23 09:58:45 to ")
    tables = fleet.store.tables
    tables.incidents["01jd9"] = replace(
        tables.incidents["01jd9"],
        status=IncidentStatus.RESOLVED,
        verdict=Verdict.BENIGN,
        resolved_us=Micros(fleet.clock.now_us() - MINUTE_US),
    )
    (block,) = charts_of(facts_over(fleet, "3h"))[0].lanes.incidents
    assert (block.tone, "benign" in block.text) == ("off", True)


def test_traffic_is_drawn_from_the_same_minutes_as_the_evidence() -> None:
    facts = facts_over(busy_fleet(), "3h")
    lanes = charts_of(facts)[0].lanes
    assert len(lanes.bars) == len(facts.history.course) == 45
    told = [bar.text.split(": ")[1].split(" events")[0] for bar in lanes.bars]
    assert sum(int(number.replace(",", "")) for number in told) == 13_500
    assert lanes.most is not None


@pytest.mark.parametrize(("span", "points", "note"), [("1d", 45, "minute"), ("7d", 2, "hour"), ("30d", 2, "hour")])
def test_a_longer_span_is_read_by_the_hour(span: str, points: int, note: str) -> None:
    facts = facts_over(busy_fleet(), span)
    assert len(facts.history.course) == points
    page = version_page(facts, ADA)
    assert page.chart_note == f"the highest of each {note}"
    assert page.span == span
    assert [choice.name for choice in spans_of(facts) if choice.chosen] == [span]
    assert spans_of(facts_over(busy_fleet(), span, "churn", "7")) == ()


def test_the_span_is_chosen_by_a_link_that_keeps_what_else_is_chosen(console: Console) -> None:
    browser = console.signed_in("ada")
    page = browser.get(f"{PAGE}?window=5m&span=7d&column=country").text
    assert f'data-poll="{PAGE}?window=5m&amp;span=7d&amp;column=country"' in page
    for kind in ("#columns-title", "#evidence-title"):
        links = re.findall(rf'href="(/models/[^"]+){kind}"', page)
        assert len(links) >= 4
        assert all("column=country" in link for link in links)
    first = re.search(r'<article class="column([^"]*)"( id="chosen-column")?>\s*<h3>([a-z]+)', page)
    assert first is not None
    assert (first[3], bool(first[2])) == ("country", True)
    plain = browser.get(f"{PAGE}?span=99y&column=nothing").text
    assert f'data-poll="{PAGE}"' in plain
    assert 'id="chosen-column"' not in plain


def test_what_happened_is_told_in_words_newest_first(console: Console) -> None:
    text = text_of(console.signed_in("ada").get(PAGE).text)
    told = text[text.index("What happened here") : text.index("About this version")]
    order = ["Active → Quarantined", "Data drift in digits 1, open", "5,000 rows, digest", "this version"]
    assert all(part in told for part in order)
    assert told.index("5,000 rows") < told.index("Quarantined"), "the baseline came last"
    assert "mira: 5,000 rows, digest" in told


@given(
    st.lists(st.tuples(st.integers(-HOUR, 4 * HOUR), st.integers(0, 4 * HOUR)), max_size=80),
    st.lists(st.integers(0, 3 * HOUR - 1), max_size=400, unique=True),
)
def test_nothing_is_drawn_outside_and_no_event_is_lost(spans: list[tuple[int, int]], starts: list[int]) -> None:
    stretches = [Stretch(first, first + length, "A label", "text", "warn") for first, length in sorted(spans)]
    counts = [Count(start, start + 1, 7) for start in sorted(starts)]
    for size in (WIDE, NARROW):
        scale = Scale.over(size, 0, 3 * HOUR, 6.0, 3.0)
        lanes = lanes_of(Beside(states=stretches, incidents=stretches, counts=counts), scale)
        blocks = [*lanes.states, *lanes.incidents]
        places = [(block.x, block.width) for block in blocks]
        for x, width in [*places, *((bar.x, bar.width) for bar in lanes.bars)]:
            assert size.left <= x
            assert x + width <= size.width - size.right + 0.6
        assert len(lanes.states) <= BLOCKS_MAX
        assert len(lanes.bars) <= BARS_MAX
        said = sum(int(bar.text.split(": ")[1].split(" ")[0].replace(",", "")) for bar in lanes.bars)
        assert said == 7 * len(counts)


@given(st.lists(st.tuples(st.integers(0, 3 * HOUR), st.integers(0, 3 * HOUR)), max_size=30))
def test_no_label_of_a_block_lies_under_another_block(spans: list[tuple[int, int]]) -> None:
    stretches = [Stretch(first, first + length, "Quarantined", "text", "bad") for first, length in sorted(spans)]
    blocks = lanes_of(Beside(incidents=stretches), Scale.over(WIDE, 0, 3 * HOUR, 6.0, 3.0)).incidents
    for place, block in enumerate(blocks):
        if block.label:
            end = block.x + 8 + 6.6 * len(block.label)
            assert end <= block.x + block.width + 0.01
            assert all(other.x < block.x or other.x >= end - 0.01 for other in blocks[place + 1 :])


def test_who_did_it_is_a_person_or_the_service(console: Console) -> None:
    facts = facts_over(console.fleet, "3h")
    assert {change.actor for change in version_page(facts, ADA).changes} <= {Actor("mira"), Actor("lazaretto")}
