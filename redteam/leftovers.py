"""What runs left in a Lazaretto that were killed: models whose run must be over, and that nobody has retired.

A model of a run says in its description when the run is over at the latest; whoever comes later needs no other record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from redteam.leaving import Ask, leave

OWNER = "red team"
PREFIX = "redteam-"
ENDS = "; its run is over at "
GRACE = timedelta(minutes=30)
"""What a run may take beside its sessions: victims to train, the last session, and leaving."""
FORMAT = "%Y-%m-%dT%H:%M:%SZ"
LIST_MAX = 500
RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What became of leftovers, by the names of models."""

    retired: tuple[str, ...]
    failed: tuple[str, ...]
    """Something was refused: they stay as they are."""
    cut: bool = False
    """There may be more models than a list holds: what comes after it by name was not looked at."""


def end_of(begun: datetime, seconds_max: float) -> datetime:
    """Return when a run is over for certain."""
    return begun + timedelta(seconds=seconds_max) + GRACE


def described(what: str, ends: datetime | None) -> str:
    """Say in a description what a model is, and when its run is over."""
    return what if ends is None else f"{what}{ENDS}{ends.astimezone(UTC).strftime(FORMAT)}"


def leftovers(models: Sequence[Mapping[str, Any]], now: datetime, *, every: bool = False) -> list[str]:
    """Return the names of models that killed runs have left.

    Parameters
    ----------
    models : sequence of mapping
        As ``GET /v1/models`` lists them.
    now : datetime
        With a zone.
    every : bool
        Also those of runs that may be at work, and of earlier releases, which do not say when they are over.
    """
    return [one["name"] for one in models if _own(one) and _alive(one) and (every or _over(one["description"], now))]


def sweep(ask: Ask, now: datetime, *, every: bool = False) -> Swept:
    """Resolve what leftovers raised, and retire them; raises ``Stopped`` when models cannot be listed."""
    models = ask("GET", "/v1/models", params={"limit": LIST_MAX})["models"]
    done = {name: leave(ask, name, {}) for name in leftovers(models, now, every=every)}
    return Swept(
        retired=tuple(name for name, well in done.items() if well),
        failed=tuple(name for name, well in done.items() if not well),
        cut=len(models) >= LIST_MAX,
    )


def _own(model: Mapping[str, Any]) -> bool:
    return bool(model["owner"] == OWNER and model["name"].startswith(PREFIX))


def _alive(model: Mapping[str, Any]) -> bool:
    return any(version["state"] != RETIRED for version in model["versions"])


def _over(description: str, now: datetime) -> bool:
    _, found, text = description.rpartition(ENDS)
    try:
        return bool(found) and datetime.strptime(text, FORMAT).replace(tzinfo=UTC) < now
    except ValueError:
        return False
