"""What has changed since a person looked: an action that comes too late is told who was faster, and why."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from service.domain.errors import Conflict
from service.domain.records import TransitionRecord, Version
from service.ports import ReadStore

CHANGES_SHOWN = 5
REASON_SHOWN = 200
T = TypeVar("T")


def explained(read: ReadStore, model: str, version: str, seen: int | None, do: Callable[[], T]) -> T:
    """Act on a version; when its state does not allow it any more, say by whose doing.

    Parameters
    ----------
    read
        Asked only when the action is refused.
    model, version
        What the action is about.
    seen
        The number of the newest change that the person knows; ``None`` where they did not say.
    do
        The action.

    Raises
    ------
    LazarettoError
        What the action raises; a Conflict that names a state has the changes since, newest last, as ``changes``.
    """
    try:
        return do()
    except Conflict as refused:
        found = read.version(model, version) if "state" in refused.extra else None
        if found is None or not found.lock:
            raise
        told = _since(found, read.transitions(found.id, CHANGES_SHOWN), seen)
        if not told:
            raise
        words = "; ".join(f"{one['event']} by {one['by']} at {one['at']} ({one['reason']})" for one in told)
        extra = refused.extra | {"change": found.lock, "changes": told}
        raise Conflict(f"{refused.detail}. What happened: {words}", places=refused.places, extra=extra) from refused


def _since(version: Version, records: Sequence[TransitionRecord], seen: int | None) -> list[dict[str, object]]:
    """Return the changes after ``seen``, or the newest one; ``records`` are newest first, one for each change."""
    known = version.lock - 1 if seen is None or not 0 <= seen < version.lock else seen
    numbered = [(version.lock - place, record) for place, record in enumerate(records)]
    return [
        {
            "change": number,
            "event": str(record.event),
            "by": record.actor,
            "at": datetime.fromtimestamp(record.at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            "reason": record.reason[:REASON_SHOWN],
        }
        for number, record in reversed(numbered)
        if number > known
    ]
