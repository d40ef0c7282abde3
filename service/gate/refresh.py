"""Keep the picture of the fleet fresh, and keep the last one when the store is away."""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence

from service.domain.errors import LazarettoError
from service.domain.reviews import Glass
from service.gate.fleet import EMPTY, FleetView
from service.ports import Clock, ReadStore

logger = logging.getLogger(__name__)

LOOK_AGAIN_US = 50_000
CONTAINED_MAX = 100_000
"""Contained principals of all versions that the gate keeps in memory, the newest ones: about 15 MB."""
PAUSE_AFTER_BUG_SECONDS = 1.0
"""So that one that repeats does not flood the log."""


class Fleet:
    """Holds the current ``FleetView``; readers take ``view`` once per question.

    Parameters
    ----------
    read
        The store.
    clock
        Dates the last good look at the store.
    glasses
        Returns the glasses that are broken.
    """

    def __init__(self, read: ReadStore, clock: Clock, glasses: Callable[[], Sequence[Glass]] = tuple) -> None:
        self._read = read
        self._clock = clock
        self._glasses = glasses
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self.view: FleetView = EMPTY
        self.checked_us = 0
        """When the store last confirmed that the picture is current; 0 before the first time."""

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each new picture, in the thread that read it."""
        self._listeners.append(listener)

    def refresh(self) -> None:
        """Read the store if its control revision has moved; raise what the store raises and keep the picture."""
        with self._lock:
            asked_us = self._clock.now_us()
            revision = self._read.revision()
            if revision != self.view.revision:
                # The revision is read first: a change in between makes the next look read once more.
                held = self._read.containments(version_id=None, holding_us=asked_us, limit=CONTAINED_MAX)
                models, versions = self._read.models(), self._read.versions()
                # After the versions: the glass of a quarantine before the one in the picture has ended by then.
                broken = self._glasses()
                self.view = FleetView.of(revision, models, versions, held, broken, self._clock.now_us)
                for listener in self._listeners:
                    listener()
            self.checked_us = asked_us

    @property
    def may_be_late(self) -> bool:
        """Whether another look may show something new: guessing names must not load the store."""
        return self._clock.now_us() - self.checked_us >= LOOK_AGAIN_US

    def look_again(self) -> None:
        """Refresh for somebody who asked for what is not in the picture: another replica may have it since."""
        with contextlib.suppress(LazarettoError):  # the store is away: the picture stays as it is
            self.refresh()


class Poller:
    """Calls a few functions again and again in one background thread, and outlives whatever they raise.

    Parameters
    ----------
    name
        Of the thread, and in the log.
    interval_seconds
        Pause between two rounds.
    tasks
        Called in order; each may block for as long as the store's timeout.
    """

    def __init__(self, name: str, interval_seconds: float, tasks: Sequence[Callable[[], None]]) -> None:
        self._interval = interval_seconds
        self._tasks = tuple(tasks)
        self._away: dict[int, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Ask the thread to end and wait for it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def round(self) -> bool:
        """Call every task once; whatever befalls the store, the last picture goes on being served.

        Returns whether all went as foreseen: a store that is away is, an exception that nobody named is not.
        """
        foreseen = True
        for number, task in enumerate(self._tasks):
            try:
                task()
            except LazarettoError as error:
                self._note_outage(number, error)
            except Exception:
                logger.exception("%s goes on with what it knew last", self._thread.name)
                foreseen = False
            else:
                if self._away.pop(number, None) is not None:
                    logger.info("%s works again", self._thread.name)
        return foreseen

    def _note_outage(self, number: int, error: LazarettoError) -> None:
        """Log an outage when it begins, not in every round."""
        if self._away.get(number) != error.detail:
            self._away[number] = error.detail
            logger.warning("%s goes on with what it knew last: %s", self._thread.name, error.detail)

    def _run(self) -> None:
        pause = self._interval
        while not self._stop.wait(pause):
            pause = self._interval if self.round() else max(self._interval, PAUSE_AFTER_BUG_SECONDS)
