"""Keep the picture of the fleet fresh, and keep the last one when the store is away."""

import logging
import threading
from collections.abc import Callable, Sequence

from service.gate.fleet import EMPTY, FleetView
from service.ports import Clock, ReadStore

logger = logging.getLogger(__name__)


class Fleet:
    """Holds the current ``FleetView``; readers take ``view`` once per question.

    Parameters
    ----------
    read
        The store.
    clock
        Dates the last good look at the store.
    """

    def __init__(self, read: ReadStore, clock: Clock) -> None:
        self._read = read
        self._clock = clock
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
                self.view = FleetView.of(revision, self._read.models(), self._read.versions())
                for listener in self._listeners:
                    listener()
            self.checked_us = asked_us


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
        self._failing: dict[int, str] = {}
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

    def round(self) -> None:
        """Call every task once; say in the log when one begins to fail and when it works again."""
        for number, task in enumerate(self._tasks):
            try:
                task()
            except Exception as error:  # noqa: BLE001 - whatever befalls the store, the last picture must go on being served
                self._note_failure(number, error)
            else:
                if self._failing.pop(number, None) is not None:
                    logger.info("%s works again", self._thread.name)

    def _note_failure(self, number: int, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if self._failing.get(number) != text:
            self._failing[number] = text
            logger.warning("%s goes on with what it knew last: %s", self._thread.name, text)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.round()
