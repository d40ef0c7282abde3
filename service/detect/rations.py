"""How many requests of a version, and of one principal, are looked at in a second."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from service.domain.adversarial import Following
from service.domain.ids import Micros
from service.frames import MISSING, Coded

SECOND_US = 1_000_000
SPARE = 3.0
"""Standard errors by which fewer are drawn than may be: else the last ones of a second would often find no room."""
_ODD, _MORE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


class Ration:
    """Chooses requests of each second, whoever sends more than its part being left out.

    Where all fit, all are chosen. Where more came in the second before, a share of them that would have fitted, and
    nobody without the key knows which: whoever fills the beginning of every second hides nothing behind it.
    Which ones depends on the log alone, not on how it was cut into batches or passes.

    Parameters
    ----------
    following
        Says how many.
    key
        Chooses them.
    """

    def __init__(self, following: Following, key: bytes) -> None:
        self._most = following.requests_per_second
        self._drawn_most = max(1, int(self._most - SPARE * self._most**0.5))
        self._own = max(1, round(self._most * following.share_of_one))
        self._key = int.from_bytes(hashlib.sha256(b"ration" + key).digest()[:8], "little")
        self.second, self.taken = -1, 0
        self.came = self.before = 0
        """Requests of this second so far, and those of the one before."""
        self.taken_of: dict[str, int] = {}

    def is_left(self, at_us: Micros) -> bool:
        """Tell whether any request may still be looked at in the second of a time, which is never an earlier one."""
        second = at_us // SECOND_US
        if second != self.second:
            self.before = self.came if second == self.second + 1 else 0
            self.second, self.taken, self.taken_of, self.came = second, 0, {}, 0
        return self.taken < self._most

    def pass_over(self, rows: int) -> None:
        """Count requests of which none is looked at."""
        self.came += rows

    def choose(self, principals: Coded, at_us: Micros) -> tuple[NDArray[np.int64], list[str]]:
        """Return the rows that may be looked at, in order, and whose they are."""
        rows: list[int] = []
        names: list[str] = []
        for row in self._drawn(principals.codes).tolist() if self.is_left(at_us) else ():
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
        self.pass_over(len(principals.codes))
        return np.array(rows, np.int64), names

    def _drawn(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the rows with a principal; of too many, those that are drawn."""
        there = codes > MISSING
        if self.before > self._most:
            places = np.arange(self.came, self.came + len(codes), dtype=np.uint64)
            words = (places + np.uint64((self._key ^ self.second) & 0xFFFFFFFFFFFFFFFF)) * _ODD
            words = (words ^ (words >> np.uint64(31))) * _MORE
            words ^= words >> np.uint64(29)
            there &= (words >> np.uint64(32)) * np.uint64(self.before) < np.uint64(self._drawn_most << 32)
        return np.flatnonzero(there)

    def adopt(self, second: int, taken: int, taken_of: dict[str, int], came: int, before: int) -> None:
        """Go on where a second was left off."""
        self.second, self.taken, self.taken_of, self.came, self.before = second, taken, taken_of, came, before
