"""How many pages are kept current at once, and of which sessions."""

import asyncio
from dataclasses import dataclass, field

from service.domain.errors import Unavailable

STREAMS_MAX = 200
STREAMS_OF_ONE = 8
"""Of one session: a browser holds one for each page that is in sight."""


@dataclass(slots=True)
class Streams:
    """The streams that are open, by session."""

    most: int = STREAMS_MAX
    _open: dict[str, set[asyncio.Event]] = field(default_factory=dict)

    def begin(self, token: str) -> asyncio.Event:
        """Count one more and return what ends it.

        Raises
        ------
        Unavailable
            When there are too many, or too many of this session.
        """
        own = self._open.get(token, set())
        if sum(map(len, self._open.values())) >= self.most:
            raise Unavailable("too many pages are kept current: console_streams_max", retry_after_seconds=15)
        if len(own) >= STREAMS_OF_ONE:
            raise Unavailable("too many pages of this session are kept current", retry_after_seconds=15)
        ended = asyncio.Event()
        self._open.setdefault(token, own).add(ended)
        return ended

    def leave(self, token: str, ended: asyncio.Event) -> None:
        """Count one less."""
        own = self._open.get(token)
        if own is not None:
            own.discard(ended)
            if not own:
                del self._open[token]

    def end(self, token: str) -> None:
        """Let every stream of a session end."""
        for ended in self._open.get(token, ()):
            ended.set()

    @property
    def open(self) -> int:
        """How many there are."""
        return sum(map(len, self._open.values()))
