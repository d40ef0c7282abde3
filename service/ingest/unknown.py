"""Fields that came and that the schema does not know: they are ignored, and yet a sign that a sender has changed.

A request is judged as a whole: its events come from one sender. Names are kept, values never are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from service.domain.schema import UNKNOWN_FIELDS, UNKNOWN_SEPARATOR
from service.frames import Coded, Frame
from service.ingest.envelope import bad_text
from service.ingest.layout import Layout
from service.ingest.surprises import EMBEDDING, surprises
from service.ingest.typed import EVENT_FIELDS, TypedDecoder

NAMES_MAX = 5
"""Of one request."""
NAME_LENGTH_MAX = 60
REMEMBERED_MAX = 100
_EVENT = frozenset(EVENT_FIELDS)


class UnknownFields:
    """Finds what a layout does not know in bodies that are clean otherwise."""

    def __init__(self, layout: Layout, exact: TypedDecoder) -> None:
        self._layout = layout
        self._exact = exact
        self._known: dict[str, tuple[str, ...]] = {}
        """All names by the first one: the same senders send the same fields again and again."""

    def of(self, content: bytes, *, lines: bool) -> tuple[str, ...]:
        """Return the names in a body that the tolerant decoder took, but for what ``surprises`` tells of."""
        first = self._exact.unknown(content, lines=lines)
        if first is None:
            return ()
        names = self._known.get(first)
        if names is None:
            if len(self._known) >= REMEMBERED_MAX:
                return (first,)
            names = self._known[first] = (first, *self._others(content, first, lines=lines))
        return names

    def _others(self, content: bytes, first: str, *, lines: bool) -> Sequence[str]:
        if lines:
            found = _names_in(msgspec.json.Decoder().decode_lines(content), self._layout)
        else:
            body = msgspec.json.decode(content)
            found = (
                _names_in([body["columns"]], self._layout)
                if "columns" in body
                else _names_in(body["events"], self._layout)
            )
        return [name for name in found if name != first]


def unknown_in_rows(events: Sequence[Mapping[str, Any]], layout: Layout) -> tuple[str, ...]:
    """Return the fields of events, and of their parts, that nobody knows, in the order of the alphabet."""
    embedding = any(event.get(EMBEDDING) is not None for event in events)
    classes, attributed = (_keys(events, part) for part in ("probabilities", "attributions"))
    odd = surprises(layout, embedding=embedding, classes=classes, attributed=attributed)
    return tuple(sorted({*_names_in(events, layout), *odd}))


def unknown_in_columns(columns: Mapping[str, Any], layout: Layout) -> tuple[str, ...]:
    """Do the same for columns."""
    return unknown_in_rows([{**columns, EMBEDDING: _some(columns.get(EMBEDDING))}], layout)


def _some(column: object) -> object:
    """Return any vector of a column, ``None`` if it has none."""
    return next((each for each in column if each is not None), None) if isinstance(column, list) else column


def _names_in(events: Sequence[Mapping[str, Any]], layout: Layout) -> tuple[str, ...]:
    fields = set[str]().union(*events) - _EVENT
    features = set[str]().union(*[event.get("features") or () for event in events])
    return tuple(sorted(fields | features.difference(layout.stored, layout.dropped)))


def _keys(events: Sequence[Mapping[str, Any]], part: str) -> set[str]:
    parts = [event.get(part) for event in events]
    return set[str]().union(*[one for one in parts if isinstance(one, dict)])


def with_unknown(frame: Frame, names: Iterable[str], layout: Layout) -> Frame:
    """Return the frame with a column that says of every event what its request had that nobody knows."""
    kept = [name[:NAME_LENGTH_MAX] for name in names if name and bad_text(name, layout.limits) is None]
    if not kept:
        return frame
    column = Coded((UNKNOWN_SEPARATOR.join(kept[:NAMES_MAX]),), np.zeros(frame.rows, np.int32))
    return replace(
        frame,
        categorical_names=(*frame.categorical_names, UNKNOWN_FIELDS),
        categorical=(*frame.categorical, column),
    )
