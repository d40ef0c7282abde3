"""What an event must have to be one: everything but the values that are watched.

A bad value is signal and is kept; a bad envelope is refused, and the answer names each place.
"""

from dataclasses import dataclass, field
from datetime import datetime

from service.domain.errors import Place, TooLarge, Unprocessable
from service.ingest.layout import Layout
from service.ingest.limits import Limits
from service.ingest.values import BadTimestamp, parse_timestamp, storable


@dataclass(slots=True)
class Refusals:
    """Events that were refused, and why: at most ``most`` places are named, all rows are counted."""

    most: int
    rows: set[int] = field(default_factory=set)
    places: list[Place] = field(default_factory=list)

    def add(self, row: int, at: str, reason: str) -> None:
        """Note that an event has a bad place."""
        self.rows.add(row)
        if len(self.places) < self.most:
            self.places.append(Place(at, reason))


def check_rows(rows: int, layout: Layout) -> None:
    """Refuse a batch without rows, or with more than the limit."""
    if not rows:
        if layout.limits.rows_setting != "rows_max":
            raise Unprocessable("the reference data has no rows", places=[Place("rows", "is empty")])
        raise Unprocessable("the batch has no events", places=[Place("events", "is empty")])
    if rows > layout.rows_max:
        reason = f"{rows} events; limit {layout.limits.rows_setting}: {layout.limits.rows_max}"
        if layout.rows_max < layout.limits.rows_max:
            reason += f", {layout.rows_max} for a schema of {layout.width} values per event"
        raise TooLarge(reason, places=[Place("events", reason)])


def type_name(value: object) -> str:
    """Name a value's type in JSON's words."""
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return names[type(value)]


def bad_name(value: object, limits: Limits) -> str | None:
    """Say what is wrong with an event id or a principal, if anything is."""
    if value is None:
        return None
    if not isinstance(value, str):
        return f"must be text, not {type_name(value)}"
    if not value:
        return "is empty"
    return bad_text(value, limits)


def bad_text(value: str, limits: Limits) -> str | None:
    """Say what is wrong with a text, if anything is."""
    if not storable(value):
        return "has half a surrogate pair"
    if 4 * len(value) > limits.string_bytes_max and len(value.encode()) > limits.string_bytes_max:
        return f"has {len(value.encode())} bytes; limit string_bytes_max: {limits.string_bytes_max}"
    return None


def bad_segment(value: object, limits: Limits) -> str | None:
    """Say what is wrong with the value of a segment key, if anything is."""
    if isinstance(value, dict | list):
        return f"must be text, a number or a boolean, not {type_name(value)}"
    return bad_text(value, limits) if isinstance(value, str) else None


def check_text(row: int, at: str, value: object, limits: Limits, refused: Refusals) -> None:
    """Refuse the event if its id or its principal is bad."""
    reason = bad_name(value, limits)
    if reason:
        refused.add(row, at, reason)


def check_time(row: int, at: str, value: object, refused: Refusals) -> datetime | None:
    """Return the event's time, and refuse the event if that is bad."""
    if value is None:
        return None
    try:
        return parse_timestamp(value)
    except BadTimestamp as error:
        refused.add(row, at, str(error))
        return None
