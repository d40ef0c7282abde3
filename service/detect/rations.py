"""How many requests of a version, and of one principal, are looked at in a second."""

import numpy as np
from numpy.typing import NDArray

from service.domain.adversarial import Following
from service.domain.ids import Micros
from service.frames import MISSING, Coded

SECOND_US = 1_000_000


class Ration:
    """Chooses the first requests of each second, whoever sends more than its part being left out.

    Which ones depends on the log alone, not on how it was cut into batches or passes.
    """

    def __init__(self, following: Following) -> None:
        self._most = following.requests_per_second
        self._own = max(1, round(self._most * following.share_of_one))
        self.second, self.taken = -1, 0
        self.taken_of: dict[str, int] = {}

    def is_left(self, at_us: Micros) -> bool:
        """Tell whether any request may still be looked at in the second of a time, which is never an earlier one."""
        if at_us // SECOND_US != self.second:
            self.second, self.taken, self.taken_of = at_us // SECOND_US, 0, {}
        return self.taken < self._most

    def choose(self, principals: Coded, at_us: Micros) -> tuple[NDArray[np.int64], list[str]]:
        """Return the rows that may be looked at, in order, and whose they are."""
        rows: list[int] = []
        names: list[str] = []
        for row in np.flatnonzero(principals.codes > MISSING).tolist() if self.is_left(at_us) else ():
            name = principals.labels[principals.codes[row]]
            taken = self.taken_of.get(name, 0)
            if taken >= self._own:
                continue
            self.taken_of[name] = taken + 1
            self.taken += 1
            rows.append(row)
            names.append(name)
            if self.taken >= self._most:
                break
        return np.array(rows, np.int64), names

    def adopt(self, second: int, taken: int, taken_of: dict[str, int]) -> None:
        """Go on where a second was left off."""
        self.second, self.taken, self.taken_of = second, taken, taken_of
