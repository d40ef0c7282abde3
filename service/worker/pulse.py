"""A sign of life that another process can look at without asking anybody: a file that is touched."""

import logging
import time
from pathlib import Path

PULSE_SECONDS = 1.0

_logger = logging.getLogger("lazaretto.worker")


class Pulse:
    """Touches a file, once a second at most.

    The first touch fails loudly: a folder that cannot be written is a mistake of whoever set it up. Later ones must not
    end a worker that works; whoever looks at the file's age then sees what there is to see.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0.0
        self._fails = False

    def __call__(self) -> None:
        """Touch the file, if it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        is_first = self._next == 0.0
        self._next = now + PULSE_SECONDS
        try:
            self._path.touch()
        except OSError as error:
            if is_first:
                raise
            if not self._fails:
                _logger.warning("no pulse", extra={"path": str(self._path), "reason": error.strerror or str(error)})
            self._fails = True
        else:
            self._fails = False
