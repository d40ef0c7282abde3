"""Requests of a few events, read now and made into columns later, together with others of the same make.

Making columns costs the same for one event as for hundreds, so requests that wait for the same commit share the work.
Only what is clean and plain is taken; whatever else a request may hold goes the way of every batch.
"""

from collections.abc import Hashable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from msgspec import UNSET, Struct

from service.frames import Frame
from service.ingest.layout import Layout
from service.ingest.lists import TYPED, to_frame
from service.ingest.typed import Parsed, TypedDecoder

BYTES_MAX = 8 * 1024
"""A larger body gains nothing from company."""
EVENTS_MAX = 16
BRACES_MAX = 1 + 3 * EVENTS_MAX
CELL_BYTES = 8
FIRST_YEAR = 1970
Make = Hashable
"""What events must have in common, so that a column of one is not taken for a missing value of the other."""


class Few(NamedTuple):
    """The events of one request."""

    events: Sequence[Struct]
    make: Make
    size: int
    """Bytes of memory, about."""


class FewDecoder:
    """Reads small JSON bodies of one layout."""

    def __init__(self, layout: Layout, typed: TypedDecoder) -> None:
        self._layout = layout
        self._typed = typed
        self._classes = frozenset(layout.classes or ())
        self._bytes_max = min(BYTES_MAX, layout.limits.body_bytes_max)

    def decode(self, body: bytes) -> Few | None:
        """Return the events of a body, or ``None`` if it is not small, clean and plain."""
        # Structs have room for every feature, sent or not, so events are counted before they are read: two braces each.
        if len(body) > self._bytes_max or body.count(b"{") > BRACES_MAX:
            return None
        parsed = self._typed.parse(body)
        if parsed is None or not 0 < len(parsed.events) <= EVENTS_MAX:
            return None
        events = parsed.events
        make = self._make(events[0])
        if make is None or (len(events) > 1 and any(self._make(event) != make for event in events)):
            return None
        return Few(events, make, len(body) + CELL_BYTES * self._layout.width * len(events))

    def join(self, requests: Sequence[Few]) -> Frame | None:
        """Return the frame of all the events, in order; ``None`` if their envelope is not clean after all."""
        events = list(chain.from_iterable([request.events for request in requests]))
        lists = self._typed.lists(Parsed(events, None))
        return None if lists is None else to_frame(self._layout, lists, TYPED)

    def _make(self, event: Any) -> Make | None:
        """Return which optional fields an event carries, or ``None`` for one that needs a closer look."""
        layout = self._layout
        if event.segment or event.attributions or event.fingerprint is not None:
            return None
        if event.embedding is None:
            if event.features is UNSET:
                return None
        elif layout.lone_embedding is None:
            return None
        when: datetime | None = event.timestamp
        # The zone of a time may put the first hours of the first year before it.
        if when is not None and when.year <= FIRST_YEAR:
            return None
        chances = event.probabilities
        if chances and (layout.classes is None or None in chances.values() or not self._classes.issuperset(chances)):
            return None
        return (
            event.prediction is None,
            event.latency_ms is None,
            event.principal is None,
            event.event_id is None,
            when is None,
            frozenset(chances) if chances else None,
        )
