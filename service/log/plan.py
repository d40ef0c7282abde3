"""Which entries of a group are new, and what each of them is answered: the rules of idempotency, for every storage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from service.domain.errors import Conflict, Place
from service.domain.ids import Micros, Position, VersionId
from service.ports import Appended, NewEntry

Name = tuple[VersionId, str]
"""What makes a keyed entry unique: the version and the idempotency key."""


@dataclass(frozen=True, slots=True)
class Known:
    """What stands in the log under a name."""

    appended: Appended
    digest: bytes


@dataclass(frozen=True, slots=True)
class Placed:
    """A new entry and its position."""

    position: Position
    entry: NewEntry


@dataclass(frozen=True, slots=True)
class Plan:
    """What to insert, and one answer per entry of the group."""

    arrival_us: Micros
    placed: Sequence[Placed]
    answers: list[Appended | Conflict]


def name_of(entry: NewEntry) -> Name | None:
    """Return what makes the entry unique, or None when it may be repeated."""
    return None if entry.idempotency_key is None else (entry.version_id, entry.idempotency_key)


def plan(
    group: Sequence[NewEntry], *, last: Position, arrival_us: Micros, find: Callable[[Name], Known | None]
) -> Plan:
    """Give positions after ``last`` to the entries that are new; ``find`` looks a name up in the log."""
    placed: list[Placed] = []
    answers: list[Appended | Conflict] = []
    known_here: dict[Name, Known] = {}
    for entry in group:
        name = name_of(entry)
        known = None if name is None else known_here.get(name) or find(name)
        if known is not None:
            answers.append(_repeat(entry, known))
            continue
        position = Position(last + len(placed) + 1)
        appended = Appended(
            position=position,
            arrival_us=arrival_us,
            repeated=False,
            receipt=entry.receipt,
            batch_id=entry.batch_id,
        )
        placed.append(Placed(position, entry))
        answers.append(appended)
        if name is not None:
            known_here[name] = Known(appended, entry.digest)
    return Plan(arrival_us, placed, answers)


def _repeat(entry: NewEntry, known: Known) -> Appended | Conflict:
    if known.digest != entry.digest:
        reason = "was used before with another body"
        place = Place("header Idempotency-Key", reason)
        return Conflict(f"idempotency key '{entry.idempotency_key}' {reason}", places=[place])
    return replace(known.appended, repeated=True)
