"""Where those who ask for all flags, and those who wait for a change of them, meet: one works them out for all."""

import asyncio

import anyio.to_thread

from service.gate.board import Board, Mark, Sheet, mark_of
from service.gate.refresh import Fleet


class FlagDesk:
    """Lives with the application.

    Parameters
    ----------
    fleet
        The last known picture.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._board = Board(fleet)
        self._turn = asyncio.Lock()
        self.streams: set[object] = set()
        """Those that are open."""

    @property
    def mark(self) -> Mark:
        """What tells whether flags may have changed: a look at memory."""
        return mark_of(self._fleet.view)

    async def sheet(self) -> Sheet:
        """Return all flags as they are now. The gate is answered from this loop: a large fleet is drawn in a thread."""
        found = self._board.current()
        if found is None:
            async with self._turn:  # of all who wait, one takes a thread
                found = self._board.current()
                if found is None:
                    found = await anyio.to_thread.run_sync(self._board.sheet)
        return found
