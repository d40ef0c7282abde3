"""How many pages are kept current at once, of which sessions, and how quickly they are told that something is new."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from service.domain.errors import Unavailable

STREAMS_MAX = 200
STREAMS_OF_ONE = 8
"""Of one session: a browser holds one for each page that is in sight."""
LOOK_SECONDS = 0.25
TOLD_PER_SECOND = 40.0
"""Who is told asks for a page, which costs 5 to 40 ms of a processor: the gate and ingest come first."""


class Seen(NamedTuple):
    """What a look has found; one that differs is worth telling."""

    known: object
    """Differs when it is another object."""
    slot: int
    over: bool
    """The process ends: streams end by themselves, at once."""

    def differs(self, other: "Seen") -> bool:
        """Tell whether there is anything new."""
        return self.known is not other.known or self.slot != other.slot or self.over


@dataclass(slots=True)
class Streams:
    """The streams that are open, by session. One task looks for all of them whether there is something new."""

    most: int = STREAMS_MAX
    _open: dict[str, set[asyncio.Event]] = field(default_factory=dict)
    _woken: dict[asyncio.Event, asyncio.Event] = field(default_factory=dict)
    _checked: dict[str, float] = field(default_factory=dict)
    """When the key of a session was last found to be good."""
    _watching: "asyncio.Task[None] | None" = None

    def begin(self, token: str) -> asyncio.Event:
        """Count one more and return what ends it.

        Raises
        ------
        Unavailable
            When there are too many, or too many of this session.
        """
        own = self._open.get(token, set())
        if self.open >= self.most:
            raise Unavailable("too many pages are kept current: console_streams_max", retry_after_seconds=15)
        if len(own) >= STREAMS_OF_ONE:
            raise Unavailable("too many pages of this session are kept current", retry_after_seconds=15)
        ended = asyncio.Event()
        self._open.setdefault(token, own).add(ended)
        self._woken[ended] = asyncio.Event()
        return ended

    def leave(self, token: str, ended: asyncio.Event) -> None:
        """Count one less."""
        self._woken.pop(ended, None)
        own = self._open.get(token)
        if own is not None:
            own.discard(ended)
            if not own:
                del self._open[token]
                self._checked.pop(token, None)

    def end(self, token: str) -> None:
        """Let every stream of a session end."""
        for ended in self._open.get(token, ()):
            ended.set()
            self._woken[ended].set()

    def due(self, token: str, now: float, seconds: float) -> bool:
        """Tell whether a session is to be asked again whether it may read; if so, that counts as done."""
        last = self._checked.get(token)
        if last is not None and now - last < seconds:
            return False
        self._checked[token] = now
        return True

    def watch(self, look: Callable[[], Seen]) -> None:
        """Let somebody look for news as long as there are streams."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch(look))

    async def news(self, ended: asyncio.Event, seconds: float) -> bool:
        """Wait until a stream is told that there is something new, or for so long; tell which it was."""
        woken = self._woken[ended]
        try:
            async with asyncio.timeout(seconds):
                await woken.wait()
        except TimeoutError:
            return False
        woken.clear()
        return True

    async def _watch(self, look: Callable[[], Seen]) -> None:
        shown = look()
        while self._woken:
            await asyncio.sleep(LOOK_SECONDS)
            now = look()
            if now.differs(shown):
                shown = now
                await self._tell(look)

    async def _tell(self, look: Callable[[], Seen]) -> None:
        """Wake every stream, so many a second; once the process ends, the rest of them at once."""
        at_once = max(1, round(TOLD_PER_SECOND * LOOK_SECONDS))
        for number, woken in enumerate(list(self._woken.values()), 1):
            woken.set()
            if number % at_once == 0 and not look().over:
                await asyncio.sleep(LOOK_SECONDS)

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._woken)
