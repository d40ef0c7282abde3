"""Maintenance: a bounded time in which drift of a model pages nobody. Pure: nothing is written here."""

from collections.abc import Iterable, Sequence

from service.domain.errors import Conflict, Place, Unprocessable
from service.domain.ids import Micros
from service.domain.incidents import Maintenance
from service.domain.policy import SECONDS_PER_DAY
from service.domain.texts import bad_text

DAYS_MAX = 7.0
AHEAD_DAYS_MAX = 90.0
WINDOWS_MAX = 20
"""Of one model that are not over."""
DAY_US = round(SECONDS_PER_DAY * 1e6)


def check_window(window: Maintenance, standing: Sequence[Maintenance], now_us: Micros) -> None:
    """Raise when a window must not be added.

    Raises
    ------
    Unprocessable
        When it is over already, too long or too far ahead, or says no reason.
    Conflict
        When the model has too many of them.
    """
    places = bad_text("reason", window.reason, least=1)
    if window.end_us <= window.start_us or window.end_us <= now_us:
        places.append(Place("end", "must lie after the start, and in the future"))
    elif window.end_us - window.start_us > DAYS_MAX * DAY_US:
        places.append(Place("end", f"must lie at most {DAYS_MAX:g} days after the start"))
    if window.start_us > now_us + AHEAD_DAYS_MAX * DAY_US:
        places.append(Place("start", f"must lie at most {AHEAD_DAYS_MAX:g} days ahead"))
    if places:
        raise Unprocessable("the maintenance cannot be planned", places=places)
    if len(standing) >= WINDOWS_MAX:
        raise Conflict(f"model '{window.model}' has {len(standing)} windows of maintenance that are not over")


def holding(windows: Iterable[Maintenance], model: str, at_us: Micros) -> Maintenance | None:
    """Return the window in which drift must not quarantine a model's versions at a time; ``None`` when it may."""
    held = [one for one in windows if one.model == model and not one.quarantine and one.covers(at_us)]
    return max(held, key=lambda one: (one.over_us, one.id), default=None)
