"""The oddest requests on the page of a version."""

import json
from dataclasses import replace

from tests.service.api.test_requests import ODD, RULE, SEEN
from tests.service.console.conftest import Console
from tests.service.console.test_pages import HOSTILE, PAGE, text_of


def section(console: Console, seen: object) -> str:
    (digits,) = console.store.read.versions("digits")
    before = console.store.tables.snapshots[digits.id]
    status = json.loads(before.status) | {"requests": seen}
    console.store.tables.snapshots[digits.id] = replace(before, status=json.dumps(status))
    page = console.signed_in("reader").get(PAGE).text
    return page[page.index('data-live="requests"') : page.index('data-live="redteam"')]


def test_odd_requests_are_listed_with_their_reasons_and_broken_rules(console: Console) -> None:
    kept = RULE | {"rule": "kept", "broken": 0}
    text = text_of(section(console, SEEN | {"rules": [RULE, kept]}))
    assert "100 requests were looked at, 20 were not; scores: 6 of 0.95 or more, 2 of 0.99 or more" in text
    assert "Not judged: probabilities: 4." in text
    assert "Rules broken more often than in the reference: range of age (5)." in text
    assert "kept" not in text
    assert "age is 200, not from 18 to 90" in text
    assert "e1" in text
    assert "aaaaaaaaaaaa" in text
    assert "7, row 4" in text
    assert "not for an accusation" in text


def test_a_long_list_is_cut_and_says_so(console: Console) -> None:
    text = text_of(section(console, SEEN | {"oddest": [ODD] * 15}))
    assert "and 5 more" in text


def test_what_clients_send_is_only_text(console: Console) -> None:
    shown = section(console, SEEN | {"oddest": [ODD | {"event_id": HOSTILE, "reasons": [HOSTILE]}]})
    assert "<img" not in shown
    assert "<script" not in shown


def test_where_no_request_is_looked_at_there_is_no_such_section(console: Console) -> None:
    assert 'class="nothing" data-live="requests"' in console.signed_in("reader").get(PAGE).text
