"""When people hear that a quarantine is not obeyed: only when events prove it."""

import pytest

from service.domain.enforcement import Enforcement
from service.domain.ids import Micros, VersionId
from service.quarantine.enforcement import judge

SECOND = 1_000_000
GRACE = 60 * SECOND
START = 1_000 * SECOND


def quarantine(
    *, enforced: float | None = None, overdue: float | None = None, ended: float | None = None
) -> Enforcement:
    """Return one that began at second 0, with the rest in seconds after it."""

    def at(seconds: float | None) -> Micros | None:
        return None if seconds is None else Micros(START + round(seconds * SECOND))

    return Enforcement(
        version_id=VersionId(1),
        lock=0,
        quarantined_us=Micros(START),
        incident_id=None,
        enforced_us=at(enforced),
        decision_id=None if enforced is None else "d",
        overdue_us=at(overdue),
        ended_us=at(ended),
    )


def found(one: Enforcement, last: float, now: float) -> str | None:
    finding = judge(one, Micros(START + round(last * SECOND)), Micros(START + round(now * SECOND)), GRACE)
    return None if finding is None else finding.kind


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        (-5, 3_600, None),  # no traffic at all: it proves nothing
        (10, 30, None),  # on its way while the gateways follow
        (60, 61, None),  # the very end of the deadline
        (60.001, 61, "not_enforced"),
        (500, 501, "not_enforced"),
        (70, 600, None),  # it came late, and has stopped
    ],
)
def test_an_event_after_the_deadline_is_told(last: float, now: float, expected: str | None) -> None:
    assert found(quarantine(), last, now) == expected
    # A gateway that obeys says nothing of another way to the model.
    assert found(quarantine(enforced=1), last, now) == expected


def test_the_words_say_whether_any_gateway_asked() -> None:
    late = Micros(START + 100 * SECOND)
    unasked = judge(quarantine(), late, late, GRACE)
    asked = judge(quarantine(enforced=1), late, late, GRACE)
    assert unasked is not None
    assert asked is not None
    assert "no gateway has asked" in unasked.text
    assert "another way to the model" in asked.text


@pytest.mark.parametrize(
    ("last", "now", "expected"), [(200, 210, None), (200, 259.9, None), (200, 260, "enforced_again")]
)
def test_it_is_told_once_and_ends_when_events_have_stopped(last: float, now: float, expected: str | None) -> None:
    assert found(quarantine(overdue=100), last, now) == expected


def test_it_ends_with_the_quarantine() -> None:
    assert found(quarantine(overdue=100, ended=150), 150, 150) == "enforced_again"
    assert found(quarantine(ended=150), 500, 500) is None


def test_seconds_are_those_from_the_quarantine_to_the_first_refusal() -> None:
    assert quarantine().seconds is None
    assert quarantine(enforced=0.25).seconds == 0.25
    assert quarantine(enforced=-1).seconds == 0, "clocks of two machines may differ"
