"""Hours of the week: nights, weekends, and the two nights a year in which the clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.channel_settings import DAYS, Hours, Quiet
from service.domain.ids import Micros
from service.domain.records import Severity
from service.notify.hours import ends_us, held_until
from service.notify.retry import AGE_SECONDS_MAX


def us(text: str) -> Micros:
    return Micros(round(datetime.fromisoformat(text).timestamp() * 1e6))


NIGHT = Hours.model_validate({"from": "22:00", "to": "07:00", "zone": "Europe/Berlin"})
FRIDAY_NIGHT = Hours.model_validate({"from": "22:00", "to": "07:00", "zone": "Europe/Berlin", "days": ["fri"]})


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-24T21:59:59+01:00", None),
        ("2026-11-24T22:00:00+01:00", "2026-11-25T07:00:00+01:00"),
        ("2026-11-25T06:59:59+01:00", "2026-11-25T07:00:00+01:00"),
        ("2026-11-25T07:00:00+01:00", None),
        # The night of 25 October 2026 has an hour more, that of 29 March one less.
        ("2026-10-25T02:30:00+02:00", "2026-10-25T07:00:00+01:00"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T07:00:00+01:00"),
        ("2026-03-29T01:30:00+01:00", "2026-03-29T07:00:00+02:00"),
    ],
)
def test_a_night_ends_in_the_morning_of_its_zone(now: str, end: str | None) -> None:
    assert ends_us(NIGHT, us(now)) == (None if end is None else us(end))


def test_a_night_belongs_to_the_day_it_begins_on() -> None:
    assert ends_us(FRIDAY_NIGHT, us("2026-11-28T03:00:00+01:00")) is not None  # Saturday
    assert ends_us(FRIDAY_NIGHT, us("2026-11-27T03:00:00+01:00")) is None  # Friday morning


def test_the_same_time_twice_means_a_whole_day() -> None:
    weekend = Hours.model_validate({"days": ["sat", "sun"]})
    assert ends_us(weekend, us("2026-11-28T12:00:00Z")) == us("2026-11-29T00:00:00Z")
    assert ends_us(weekend, us("2026-11-27T12:00:00Z")) is None


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 - made aware below
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_hours_end_later_than_now_and_within_a_day_and_an_hour(
    moment: datetime, start: int, end: int, days: set[str], zone: str
) -> None:
    hours = Hours.model_validate(
        {
            "from": f"{start // 60:02}:{start % 60:02}",
            "to": f"{end // 60:02}:{end % 60:02}",
            "days": sorted(days),
            "zone": zone,
        }
    )
    aware = moment.replace(tzinfo=UTC)
    now = us(aware.isoformat())
    over = ends_us(hours, now)
    if over is not None:
        assert 0 < over - now <= 26 * 3_600_000_000
        local = aware.astimezone(ZoneInfo(zone))
        assert {DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]} & days


@given(st.sampled_from(Severity), st.integers(0, 10**15))
def test_what_is_high_is_never_held(severity: Severity, now: int) -> None:
    always = Quiet.model_validate({"severities": ["low", "medium"]})
    held = held_until(always, severity, Micros(now))
    assert (held == now) == (severity is Severity.HIGH)


@given(st.integers(0, 10**15))
def test_what_is_held_goes_out_a_day_before_it_would_be_given_up(now: int) -> None:
    always = Quiet.model_validate({"severities": ["low", "medium"]})
    held = held_until(always, Severity.LOW, Micros(now))
    assert 3 * 86_400 <= (held - now) / 1e6 <= AGE_SECONDS_MAX - 86_400
