"""The blind spots on the page of a version."""

import msgspec
import pytest

from service.console.redteam import schedule_line
from service.domain.ids import Actor, Micros
from service.domain.redteam import RedTeamRun, RedTeamSummary
from service.domain.schedule import Outcome, Schedule
from tests.service.api.test_redteam import ATTACK, BENIGN, SUMMARY
from tests.service.console.conftest import Console

PAGE = "/models/fraud-scorer/versions/2026-11-02"
SEEN = ATTACK | {"title": "Seen", "blind": False}
ODD = ATTACK | {"title": "<b>Square</b>"}


def _section(page: str) -> str:
    return page[page.index('data-live="redteam"') : page.index('data-live="promise"')]


def _file(console: Console) -> str:
    store = console.store
    version = store.read.version("fraud-scorer", "2026-11-02")
    assert version is not None
    summary = msgspec.convert(SUMMARY | {"attacks": [ATTACK, ODD, SEEN], "benign": [BENIGN]}, RedTeamSummary)
    wronged = msgspec.structs.replace(
        summary.benign[0], alarmed=msgspec.structs.replace(summary.benign[0].alarmed, low=0.5)
    )
    summary = msgspec.structs.replace(summary, benign=(wronged,))
    with store.control.write() as tx:
        tx.save_redteam_run(RedTeamRun(version_id=version.id, at_us=Micros(1), actor=Actor("ada"), summary=summary))
    return _section(console.signed_in("reader").get(PAGE).text)


def test_attacks_seen_too_seldom_are_listed_with_their_techniques(console: Console) -> None:
    section = _file(console)
    assert "Zeroth-order optimisation" in section
    assert "AML.T0015 Evade AI Model" in section
    assert '<span class="badge bad">1 of 4 (0-80 %)</span>' in section
    assert "2 of 3 attacks" in section
    assert "Seen</th>" not in section
    assert "wronged: independent inputs" in section


def test_names_of_attacks_are_only_text(console: Console) -> None:
    section = _file(console)
    assert "<b>Square" not in section
    assert "&lt;b&gt;Square" in section


def test_defences_of_the_service_are_shown_with_what_broke_them(console: Console) -> None:
    section = _file(console)
    assert "Events from another time" in section
    assert '<span class="badge bad">broken</span>' in section
    assert "the past: 4 points" in section
    assert "the future" not in section, "what held is not evidence of what broke"
    assert "CWE-20 Improper Input Validation" in section


@pytest.mark.parametrize(
    ("schedule", "words", "bad"),
    [
        (Schedule(outcome=Outcome.RUNNING, done=3), "A run is on; so far 3 ended well", False),
        (Schedule(outcome=Outcome.DONE, next_us=Micros(10)), "ended well. Of all", False),
        (Schedule(outcome=Outcome.TIMED_OUT, next_us=Micros(10), detail="not over"), "took too long (not over)", True),
        (Schedule(outcome=Outcome.DONE, next_us=Micros(-(10**9))), "the next one is overdue", True),
    ],
)
def test_scheduled_runs_are_told_in_a_sentence(schedule: Schedule, words: str, bad: bool) -> None:
    line = schedule_line(schedule, Micros(5))
    assert line is not None
    assert words in line.text
    assert line.bad is bad
    assert schedule_line(Schedule(), Micros(5)) is None


def test_without_a_run_there_is_no_such_section(console: Console) -> None:
    page = console.signed_in("reader").get(PAGE).text
    assert 'class="nothing" data-live="redteam"' in page
