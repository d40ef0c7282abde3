"""Marks of what is replaced as a whole: whoever replaces it may say which one they saw.

A mark follows from the content alone, so that it is the same in every process and after every restart.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from service.domain.errors import Conflict, Place

PLACE = "If-Match"
"""Where a request says what its sender saw."""
MARK_DIGITS = 32
Marks = frozenset[str]


class Replaced(Conflict):
    """What was to be replaced is not what the person saw."""


def mark_of(content: msgspec.Struct | None) -> str:
    """Return the mark of something; nothing has one as well."""
    text = msgspec.json.encode(content, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:MARK_DIGITS]


def check_mark(seen: Marks | None, content: msgspec.Struct | None, what: str) -> None:
    """Raise Replaced when a person saw something else; ``None`` checks nothing.

    Parameters
    ----------
    seen
        Marks of which one must be that of the content.
    content
        What is there now.
    what
        It, in words.
    """
    mark = mark_of(content)
    if seen is None or mark in seen:
        return
    place = Place(PLACE, f'names another one than "{mark}", which is there now')
    raise Replaced(f"{what} has changed since you looked; read it again", places=[place], extra={"etag": f'"{mark}"'})


def changed_members(before: Mapping[str, Any], after: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Yield the dotted names of the members in which two JSON objects differ, in order."""
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from changed_members(was, now, f"{at}{name}.")
        elif was != now:
            yield f"{at}{name}"
