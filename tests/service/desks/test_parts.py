"""Long lists have parts: nothing that a page leaves out is out of reach."""

from typing import Any

import numpy as np
import pytest

from detectors.baseline import compile_baseline
from detectors.columns import ColumnKind, ColumnSpec
from service.console.compare import compared_columns, compared_names
from service.console.facts import TIMELINE_SHOWN
from service.console.lists import ROWS, pager, rows_of
from service.detect.baselines import describe
from service.domain.ids import Actor, Micros
from service.domain.keys import hash_secret, new_key
from service.domain.records import ApiKey, TimelineItem
from service.domain.states import State
from tests.proposals import proposal
from tests.service.console.naming import lost_names
from tests.service.desks.desk import ADMIN, PEPPER, READER, Desk


def test_a_part_is_bounded_and_the_parts_are_the_whole() -> None:
    rows = list(range(103))
    parts = [pager("/x", {"q": "a"}, number, len(rows), name="held") for number in (1, 2, 3)]
    assert max(len(rows_of(rows, part)) for part in parts) <= ROWS
    assert [row for part in parts for row in rows_of(rows, part)] == rows
    part = parts[-1]
    assert part.before == "/x?q=a&held=2#held"
    assert part.after is None
    assert rows_of(rows, pager("/x", {}, 99, len(rows))) == rows[100:]
    assert rows_of([], pager("/x", {}, 1, 0)) == []


def test_of_a_long_timeline_the_newest_stands_on_the_page_and_the_oldest_on_the_last_part(desk: Desk) -> None:
    incident = desk.incident(desk.version("digits"), "age")
    now = desk.clock.now_us()
    with desk.store.incidents.write() as tx:
        for number in range(2 * TIMELINE_SHOWN):
            item = TimelineItem(
                at_us=Micros(now + number), actor=Actor("ada"), kind="comment", body=f"note {number:03}."
            )
            tx.note(incident.id, item)
    ada = desk.visitor("ada")
    page = ada.page(f"/incidents/{incident.id}")
    assert f"note {2 * TIMELINE_SHOWN - 1:03}." in page
    assert "note 000." not in page
    assert f'href="/incidents/{incident.id}?entries=2#entries"' in page
    last = ada.page(f"/incidents/{incident.id}?entries=3")
    assert "note 000." in ada.page(f"/incidents/{incident.id}?entries=2") + last
    assert f"note {2 * TIMELINE_SHOWN - 1:03}." not in last
    assert f'data-poll="/incidents/{incident.id}?entries=3"' in last, "a part stays the part that it is"


def test_keys_have_parts(desk: Desk) -> None:
    with desk.store.control.write() as tx:
        for number in range(ROWS + 5):
            parts = new_key()
            made = Micros(desk.clock.now_us() - 1_000_000 * number)
            secret = hash_secret(PEPPER, parts.secret)
            tx.add_key(
                ApiKey(
                    id=parts.id, name=f"k{number:03}", scopes=READER, models=None, secret_hash=secret, created_us=made
                )
            )
    ada = desk.visitor("ada", ADMIN)
    both = [ada.page("/settings"), ada.page("/settings?keys=2")]
    for number in range(ROWS + 5):
        assert sum(f"k{number:03}<" in page for page in both) == 1
    assert f"1 to {ROWS} of {ROWS + 6} keys" in both[0]


def test_every_column_of_a_proposed_baseline_is_in_some_part() -> None:
    rng = np.random.default_rng(3)
    specs: list[tuple[ColumnSpec, Any]] = [
        (ColumnSpec(name=f"c{number:02}", kind=ColumnKind.NUMERIC), rng.normal(size=500)) for number in range(60)
    ]
    view = describe(compile_baseline(specs).baseline.to_bytes())
    names = compared_names(view, view, {"c59": "moved"})
    assert names[0] == "c59"
    shown = [one.name for number in (1, 2) for one in _part(view, names, number)]
    assert sorted(shown) == [f"c{number:02}" for number in range(60)]


def _part(view: Any, names: Any, number: int) -> Any:
    part = pager("", {}, number, len(names), name="columns")
    return compared_columns(view, view, {"c59": "moved"}, rows_of(names, part))


@pytest.mark.parametrize("filled", [False, True])
def test_every_part_of_a_list_is_named_by_a_heading_that_is_there(desk: Desk, filled: bool) -> None:
    version = desk.version("digits", state=State.UNDER_REVIEW)
    pages = [
        "/models/digits/versions/1",
        "/models/digits",
        "/reviews",
        "/quality",
        "/red-team",
        "/settings",
        "/maintenance",
    ]
    if filled:
        pages.append(f"/incidents/{desk.incident(version).id}")
        with desk.store.reviews.write() as tx:
            tx.add_proposal(proposal(version, "p1"))
        pages.append("/reviews/baselines/p1")
    ada = desk.visitor("ada", ADMIN)
    assert {path: lost for path in pages if (lost := lost_names(ada.page(path)))} == {}
