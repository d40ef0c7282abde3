"""Hours of the week in a time zone: whether a moment lies in them, and when they end. Pure."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from service.channel_settings import DAYS, Hours, Quiet
from service.domain.ids import Micros
from service.domain.records import Severity

DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ends_us(hours: Hours, now_us: Micros) -> Micros | None:
    """Return when the hours that a moment lies in are over; ``None`` when it lies in none.

    Hours that follow one another without a gap end where each of them ends. Computed in UTC from the local times of
    yesterday and today, so that a night in which the clocks change has its hour more or less.
    """
    now = EPOCH + timedelta(microseconds=now_us)
    today = now.astimezone(ZoneInfo(hours.zone)).date()
    for day in (today - DAY, today):
        if DAYS[day.weekday()] in hours.days:
            start, end = _span(hours, day)
            if start <= now < end:
                return Micros((end - EPOCH) // timedelta(microseconds=1))
    return None


DAYS_LOOKED_AT = 4
"""Hours that follow one another hold for so many days at most: after ``AGE_SECONDS_MAX``, five days, what waits is
given up, and an attempt must fit in before."""


def held_until(quiet: Quiet | None, severity: Severity, now_us: Micros) -> Micros:
    """Return when a message of a severity may go out: now, or when the quiet hours end. What is high never waits."""
    if quiet is None or severity is Severity.HIGH or severity.value not in quiet.severities:
        return now_us
    until = now_us
    for _ in range(DAYS_LOOKED_AT):  # one day's hours may end where the next day's begin
        end = ends_us(quiet, until)
        if end is None:
            break
        until = end
    return until


def _span(hours: Hours, day: date) -> tuple[datetime, datetime]:
    zone = ZoneInfo(hours.zone)
    start, end = hours.bounds
    last = day if end > start else day + DAY
    # Of a time that comes twice, hours begin with the first and end with the second: nobody is woken in between.
    first = datetime.combine(day, start, zone)
    return first.astimezone(UTC), datetime.combine(last, end, zone).replace(fold=1).astimezone(UTC)
