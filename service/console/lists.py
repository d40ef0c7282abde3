"""Lists of a page by its address: which part, in which order, of what; every value is bounded before it is used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.console.addresses import address as address  # noqa: PLC0414 - whoever lists needs it too

ROWS = 50
"""Rows of a page, unless a page has its own number."""
TEXT_MAX = 100
"""Letters of a search that are read."""
NUMBER_DIGITS_MAX = 6
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column that the table can be sorted by."""

    text: str
    address: str
    order: str | None
    """``ascending`` or ``descending`` when the table is sorted by it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a select."""

    value: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Pager:
    """Which rows of how many are shown, and the addresses of the parts before and after."""

    first: int
    last: int
    total: int
    before: str | None
    after: str | None


NO_PARTS = Pager(first=0, last=0, total=0, before=None, after=None)
"""Of an empty list."""


def one_of(query: Mapping[str, str], name: str, allowed: Sequence[str], otherwise: str = "") -> str:
    """Return a value of a query if it is allowed; anything else is as good as none."""
    value = query.get(name, "")
    return value if value in allowed else otherwise


def text_of(query: Mapping[str, str], name: str) -> str:
    """Return a search of a query, without what cannot be seen and not too long."""
    return "".join(letter for letter in query.get(name, "") if letter.isprintable())[:TEXT_MAX].strip()


def number_of(query: Mapping[str, str], name: str = "page") -> int:
    """Return a number from 1 on; anything else is as good as 1."""
    text = query.get(name, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX else 1


def pager(
    path: str, query: Mapping[str, object], number: int, total: int, size: int = ROWS, name: str = "page"
) -> Pager:
    """Return the part ``number`` of a list, or the last one when there are fewer.

    A list that is not the whole page has a ``name`` of its own, which is also the id of its place on the page.
    """
    parts, at = max(1, -(-total // size)), "" if name == "page" else f"#{name}"
    number = min(max(1, number), parts)
    return Pager(
        first=(number - 1) * size + 1 if total else 0,
        last=min(number * size, total),
        total=total,
        before=address(path, {**query, name: number - 1 if number > 2 else None}) + at if number > 1 else None,  # noqa: PLR2004 - the first part needs no number
        after=address(path, {**query, name: number + 1}) + at if number < parts else None,
    )


def rows_of(rows: Sequence[T], part: Pager) -> Sequence[T]:
    """Return the rows of a part."""
    return rows[max(0, part.first - 1) : part.last]
