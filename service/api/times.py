"""Times that people write."""

from datetime import UTC, datetime

from service.domain.errors import Place, Unprocessable
from service.domain.ids import Micros

TEXT_MAX = 64


def time_at(place: str, text: str) -> Micros:
    """Return a time of ISO 8601 with its offset from UTC.

    Raises
    ------
    Unprocessable
        When it is none; naming the place.
    """
    try:
        found = datetime.fromisoformat(text) if len(text) <= TEXT_MAX else None
        if found is not None and found.tzinfo is not None:
            return Micros(round(found.astimezone(UTC).timestamp() * 1e6))
    except (ValueError, OverflowError):
        pass
    reason = f"must be a time such as 2026-11-26T12:00:00Z, not '{text[:TEXT_MAX]}'"
    raise Unprocessable("a time cannot be read", places=[Place(place, reason)])
