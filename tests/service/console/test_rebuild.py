"""Whether a change lasts, as people read it: on the page, in the API's answer and on the command line."""

import json
from dataclasses import replace

import msgspec
import pytest

from service.api.status import Moment, status_of
from service.cli.models import rebuild_line
from service.console.facts import Facts, StatusRebuild
from service.console.rebuild import rebuild_of
from service.console.words import LN10
from service.domain.records import Snapshot
from tests.fakes.clock import NOVEMBER
from tests.service.console.conftest import Console
from tests.service.console.seeding import Fleet, busy_fleet
from tests.service.console.test_pages import PAGE, text_of
from tests.service.console.test_read_models import facts_of

MINUTE_US = 60_000_000
ALARM_US = NOVEMBER - 57 * MINUTE_US
SINCE = "Evidence started again from zero at the alarm (09:03)"
BACK = " and came back "
HELD = {
    "since_us": ALARM_US,
    "times": 14,
    "last_us": ALARM_US + 38 * MINUTE_US,
    "ticks": 300,
    "log_evidence": 0.3 * LN10,
}


def with_rebuild(fleet: Fleet, rebuild: object) -> Snapshot:
    """Let the worker have written one of the version ``digits 1``."""
    (digits,) = fleet.store.read.versions("digits")
    before = fleet.store.tables.snapshots[digits.id]
    status = json.loads(before.status) | {"rebuild": rebuild}
    fleet.store.tables.snapshots[digits.id] = replace(before, status=json.dumps(status))
    return fleet.store.tables.snapshots[digits.id]


def facts_with(rebuild: object) -> Facts:
    fleet = busy_fleet()
    with_rebuild(fleet, rebuild)
    return replace(facts_of(fleet, "digits", "1"), now_us=NOVEMBER)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"times": 0, "last_us": None}, ": 10^0.3 in 300 ticks, so nothing like it has come back so far."),
        (
            {"times": 0, "last_us": None, "ticks": 1, "log_evidence": None},
            ": 10^0.0 in 1 tick, so nothing like it has come back so far.",
        ),
        ({"times": 0, "last_us": None, "ticks": 0}, ", and no events have come since."),
        (
            {"times": 9, "ticks": 9},
            BACK + "9 times, last at 09:41: the change lasted until then at least. Since then: 10^0.3 in 9 ticks.",
        ),
        (
            {"times": 1, "ticks": 0},
            BACK + "once, at 09:41: the change lasted until then at least. No events have come since then.",
        ),
    ],
)
def test_it_is_one_calm_sentence(said: dict[str, object], words: str) -> None:
    assert rebuild_of(facts_with(HELD | said)) == SINCE + words


def test_an_alarm_of_another_day_has_its_date() -> None:
    rebuild = StatusRebuild(since_us=ALARM_US - 86_400_000_000)
    facts = facts_with(None)
    sentence = rebuild_of(replace(facts, status=msgspec.structs.replace(facts.status, rebuild=rebuild)))
    assert sentence == (
        "Evidence started again from zero at the alarm (2026-11-22 09:03:00 UTC), and no events have come since."
    )


def test_without_one_nothing_is_said() -> None:
    assert rebuild_of(facts_with(None)) is None


def test_the_page_says_it_beside_the_evidence(console: Console) -> None:
    before = text_of(console.signed_in("ada").get(PAGE).text)
    assert "Does it last" not in before
    with_rebuild(console.fleet, HELD)
    after = text_of(console.signed_in("ada").get(PAGE).text)
    assert "Does it last Evidence started again from zero at the alarm (" in after
    assert "came back 14 times" in after


def test_the_api_and_the_command_line_say_it_too() -> None:
    fleet = busy_fleet()
    facts = facts_of(fleet, "digits", "1")
    moment = Moment(now_us=NOVEMBER, stale_seconds=300.0, lag_seconds=0.0)
    answers = [
        status_of(facts.version, facts.model.policy, with_rebuild(fleet, said), moment).rebuild
        for said in (None, HELD, HELD | {"times": 0, "last_us": None, "ticks": 0, "log_evidence": None})
    ]
    none, back, fresh = answers
    assert none is None
    assert back is not None
    assert fresh is not None
    assert (back.since, back.last) == ("2026-11-23T09:03:00.000000Z", "2026-11-23T09:41:00.000000Z")
    assert (back.times, back.ticks) == (14, 300)
    assert back.evidence == pytest.approx(10**0.3)
    assert back.evidence_log10 == pytest.approx(0.3)
    assert (fresh.times, fresh.last, fresh.evidence, fresh.evidence_log10) == (0, None, 0.0, None)
    assert rebuild_line(back) == (
        "from zero at the alarm 2026-11-23T09:03:00.000000Z: back 14 times, last 2026-11-23T09:41:00.000000Z;"
        " since then 10^0.30 in 300 ticks"
    )
    assert rebuild_line(fresh).endswith("09:03:00.000000Z: not back so far; since then none yet in 0 ticks")
