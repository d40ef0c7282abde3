"""The audit page: who, about what, what, when; part by part; and nothing of other people's models."""

import re

import pytest

from service.domain.ids import Actor
from service.domain.states import Event
from service.office import request_transition
from tests.service.desks.desk import ADMIN, Desk, Visitor, text_of


def links(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'<tr id="link-(\d+)">', page)]


def actions(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><code>(.*?)</code></th>', page)


def busy(desk: Desk) -> Visitor:
    ada = desk.visitor("ada", ADMIN)
    digits = desk.version("digits")
    desk.version("Digits")
    desk.incident(digits, "age")
    for who, model in (("ada", "digits"), ("grace", "Digits")):
        request_transition(desk.deps.office, Actor(who), model, "1", Event.QUARANTINE, "odd answers", None)
    return ada


def test_the_newest_comes_first_with_its_reason_and_digest(desk: Desk) -> None:
    page = busy(desk).page("/audit")
    newest = desk.store.read.audit(1)[0]
    assert links(page) == sorted(links(page), reverse=True)
    assert links(page)[0] == newest.seq
    assert newest.digest in page
    assert "reason odd answers" in text_of(page)
    assert 'href="/models/Digits/versions/1"' in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("action=transition", ["transition.quarantine", "transition.quarantine"]),
        ("action=transition.quarantine&actor=grace", ["transition.quarantine"]),
        ("actor=grace", ["transition.quarantine"]),
        ("actor=nobody", []),
        ("action=trans", []),
        ("since=2026-11-24", []),
        ("until=2026-11-22", []),
        ("model=Digits", ["transition.quarantine"]),
        ("model=digits", ["transition.quarantine", "incident.evidence", "incident.opened"]),
    ],
)
def test_the_address_says_what_is_shown(desk: Desk, query: str, expected: list[str]) -> None:
    assert actions(busy(desk).page(f"/audit?{query}")) == expected


def test_a_day_in_utc_is_a_whole_day(desk: Desk) -> None:
    ada = busy(desk)
    everything = links(ada.page("/audit"))
    assert links(ada.page("/audit?since=2026-11-23&until=2026-11-23")) == everything


def test_a_time_that_is_none_is_told_and_left_out(desk: Desk) -> None:
    ada = busy(desk)
    page = ada.page("/audit?since=yesterday")
    assert "From: &#39;yesterday&#39; is no day such as" in page
    assert links(page) == links(ada.page("/audit"))


def test_parts_follow_each_other_in_both_directions(desk: Desk) -> None:
    ada = busy(desk)
    with desk.store.control.write() as tx:
        for number in range(120):
            tx.audit(Actor("ada"), "drill.begin", "digits/1", str(number), desk.clock.now_us())
    page, seen = ada.page("/audit"), []
    newest = links(page)
    while True:
        seen += links(page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        if not older:
            break
        page = ada.page(older[1].replace("&amp;", "&"))
    whole = desk.store.read.audit(1_000)
    assert seen == [entry.seq for entry in whole]
    while True:
        newer = re.search(r'rel="prev" href="([^"]+)"', page)
        if not newer:
            break
        page = ada.page(newer[1].replace("&amp;", "&"))
    assert links(page) == newest


def test_a_key_of_some_models_sees_what_was_done_about_these_only(desk: Desk) -> None:
    busy(desk)
    with desk.store.control.write() as tx:
        # The id of a key is no name of a model.
        tx.audit(Actor("ada"), "key.issue", "digits", "a key of that id", desk.clock.now_us())
    page = desk.visitor("fred", models=frozenset({"digits"})).page("/audit")
    assert actions(page) == ["transition.quarantine", "incident.evidence", "incident.opened"]
    assert "grace" not in page
