"""Figures and names as a tired person can read them."""

import math
from datetime import UTC, datetime

from service.domain.ids import Micros
from service.domain.policy import SECONDS_PER_DAY, Budget, Cause
from service.domain.states import Event, State

LN10 = math.log(10.0)
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400

STATE_NAMES = {
    State.ACTIVE: "Active",
    State.SUSPECT: "Suspect",
    State.QUARANTINED: "Quarantined",
    State.UNDER_REVIEW: "Under review",
    State.ROLLED_BACK: "Rolled back",
    State.RETIRED: "Retired",
}
STATE_MEANINGS = {
    State.ACTIVE: "The gate lets traffic through.",
    State.SUSPECT: "The gate still lets traffic through, but something has changed and someone should look.",
    State.QUARANTINED: "The gate denies all traffic to this version until someone has reviewed it.",
    State.UNDER_REVIEW: "The gate denies all traffic to this version while it is being reviewed.",
    State.ROLLED_BACK: "Taken out of service after review. The gate denies all traffic to it.",
    State.RETIRED: "Out of service for good. The gate denies all traffic to it.",
}
EVENT_NAMES = {
    Event.SUSPECT: "Mark as suspect",
    Event.CLEAR: "Clear: back to active",
    Event.QUARANTINE: "Quarantine by hand",
    Event.START_REVIEW: "Start the review",
    Event.RELEASE: "Release",
    Event.ROLL_BACK: "Roll back",
    Event.RETIRE: "Retire",
}
EVENT_DONE = {
    Event.SUSPECT: "marked as suspect",
    Event.CLEAR: "cleared",
    Event.QUARANTINE: "quarantined",
    Event.START_REVIEW: "review started",
    Event.RELEASE: "released",
    Event.ROLL_BACK: "rolled back",
    Event.RETIRE: "retired",
}
TIMELINE = {
    "rebuilt": "saw the evidence come back",
    "snooze_over": "ended the snooze",
    "evidence": "kept the evidence",
    "regressed": "saw an earlier cause come back",
    "returned": "saw the cause come back",
    "told": "told people again",
    "merge": "merged this",
    "merged": "took in another incident",
    "reached": "saw the attacker get further",
    "spared": "saw that the evidence rests on one principal",
    "dry_run": "would have acted, but for the dry run",
    "held_back": "was held back by the blast-radius cap",
    "enforced": "saw a gateway obey",
    "not_enforced": "saw the model serve in quarantine",
    "enforced_again": "saw it obeyed again",
    "break_glass": "broke the glass",
    "glass_over": "closed the gate again",
}
CAUSE_NAMES = {
    Cause.DATA_DRIFT: "Data drift",
    Cause.PREDICTION_DRIFT: "Prediction drift",
    Cause.DATA_QUALITY: "Data quality",
    Cause.LATENCY: "Latency",
    Cause.PERFORMANCE: "Lost performance",
    Cause.TRAFFIC: "Traffic",
    Cause.STALE: "Silence",
    Cause.ADVERSARIAL: "Adversarial use",
}


def done(kind: str) -> str:
    """Write what happened to an incident, where the kind of its timeline's entry is no plain word."""
    return TIMELINE.get(kind, kind)


def number(value: float, digits: int = 3) -> str:
    """Write a number with ``digits`` significant digits and no exponent where that is readable."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    if abs(value) >= 1e6 or abs(value) < 1e-4:  # noqa: PLR2004 - where plain digits stop being readable
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_interval(value: float, limits: tuple[float, float] | None) -> str:
    """Write a number with the limits between which it truly lies, to two significant digits as far as these go."""
    if limits is None:
        return number(value)
    return f"{number(value, 2)} ({number(limits[0], 2)} to {number(limits[1], 2)})"


def interval(low: float, high: float, width: float) -> str:
    """Write an interval with just the digits that matter for intervals of a usual width."""
    if low == high:
        return number(low)
    plain = max(abs(low), abs(high)) < 1e6 and 1e-4 <= width < math.inf  # noqa: PLR2004 - where plain digits are readable
    if not plain:
        return f"{number(low)} … {number(high)}"
    decimals = max(0, 1 - math.floor(math.log10(width)))
    return f"{_decimal(low, decimals)} … {_decimal(high, decimals)}"


def _decimal(value: float, decimals: int) -> str:
    """Write a number without a sign before nothing."""
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"


def exponent(natural_log: float | None) -> str | None:
    """Write a natural logarithm as the exponent of ten; ``None`` when there is nothing yet."""
    if natural_log is None or math.isnan(natural_log) or natural_log == -math.inf:
        return None
    return "∞" if natural_log == math.inf else f"{round(natural_log / LN10, 1) + 0.0:.1f}"


def moment(at_us: Micros | int) -> str:
    """Write a time with its date, in UTC."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def hour_minute(at_us: Micros | int) -> str:
    """Write the time of day, in UTC."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%H:%M")


def machine_time(at_us: Micros | int) -> str:
    """Write a time for the ``datetime`` attribute."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")


def duration(seconds: float) -> str:
    """Write a length of time in its largest sensible unit."""
    for size, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return _count(round(seconds / size), name)
    return _count(max(0, round(seconds)), "second")


def ago(at_us: Micros | int, now_us: Micros | int) -> str:
    """Write how long ago something was."""
    seconds = (now_us - at_us) / 1e6
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def budget_sentence(budget: Budget) -> str:
    """Write a budget as what it promises."""
    alarms = "one false alarm" if budget.false_alarms == 1 else f"{number(budget.false_alarms)} false alarms"
    return f"{alarms} in {duration(budget.per_days * SECONDS_PER_DAY)}"


def _count(amount: int, name: str) -> str:
    return f"{amount:,} {name}" if amount == 1 else f"{amount:,} {name}s"


def duration_exact(seconds: float) -> str:
    """Write a length of time that somebody chose, in the largest unit that says it with few digits."""
    for size, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= size:
            amount = number(seconds / size)
            return f"{amount} {name}" if amount == "1" else f"{amount} {name}s"
    amount = number(seconds)
    return f"{amount} second" if amount == "1" else f"{amount} seconds"
