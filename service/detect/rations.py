"""How many requests of a version, and of one principal, are looked at in a second."""

import hashlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.domain.adversarial import Following
from service.domain.ids import Micros
from service.frames import MISSING, Coded

SECOND_US = 1_000_000
SPARE = 3.0
"""Standard errors by which fewer are drawn than may be: else the last ones of a second would often find no room."""
FADED = 15
"""Of 16 requests that came, so many are still known a second later."""
FORGOTTEN = 600
"""After so many seconds nothing is known."""
NAMES_PART = 4
"""Of so many principals for each request that may be looked at, it is known how much they sent in a second."""
_ODD, _MORE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


class Turn(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What is known of a second, and of those before it: as much as it takes to go on where it was left off."""

    second: int = -1
    rows: int = 0
    """That were looked through."""
    taken: int = 0
    came: int = 0
    """Of principals within their part."""
    before: int = 0
    """The same of earlier seconds, the last ones best."""
    came_of: dict[str, int] = {}
    """By principal, whether within its part or not."""
    before_of: dict[str, int] = {}
    """The same of earlier seconds, where it was more than their part."""
    within_of: dict[str, int] = {}
    """How many requests of these were within their part."""


class _Part:
    """So many that may be taken of those that come: half of them as they come, the others drawn where more came before.

    The first half shows who is alone in a second, whatever came in the last one; the second half shows who comes late.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.first = most // 2
        rest = most - self.first
        self._drawn = max(1, int(rest - SPARE * rest**0.5))

    def bar(self, before: int) -> int:
        """Return below which of 2^32 numbers one is drawn that comes after the first half."""
        return 1 << 32 if before <= self.most else (self._drawn << 32) // (before - self.first)


class Ration:
    """Chooses requests of each second, whoever sends more than its part being left out.

    Where all fit, all are chosen. Where more came in the seconds before, half of those that may be are the first ones,
    and the others are drawn, and nobody without the key knows which: whoever fills the beginning of every second hides
    nothing behind it. The same holds for the requests of one principal, and what it sends beyond its part counts for
    nobody else. Which ones depends on the log alone, not on how it was cut into batches or passes.

    Parameters
    ----------
    following
        Says how many.
    key
        Chooses them.
    """

    def __init__(self, following: Following, key: bytes) -> None:
        most = following.requests_per_second
        self._all, self._own = _Part(most), _Part(max(1, round(most * following.share_of_one)))
        self._names_max = NAMES_PART * most
        self._key = int.from_bytes(hashlib.sha256(b"ration" + key).digest()[:8], "little")
        self.turn = Turn()

    def is_left(self, at_us: Micros) -> bool:
        """Tell whether any request may still be looked at in the second of a time, which is never an earlier one."""
        second = at_us // SECOND_US
        if second != self.turn.second:
            self._begin(second)
        return self.turn.taken < self._all.most

    def pass_over(self, rows: int) -> None:
        """Count requests that come when none may be looked at any more; whose they are, nobody asks."""
        self.turn.came += rows

    def choose(self, principals: Coded, at_us: Micros) -> tuple[NDArray[np.int64], list[str]]:
        """Return the rows that may be looked at, in order, and whose they are."""
        if not self.is_left(at_us):
            self.pass_over(len(principals.codes))
            return np.zeros(0, np.int64), []
        turn, words = self.turn, self._words(len(principals.codes))
        within = self._within(principals, words >> _HALF)
        places = np.arange(turn.came, turn.came + len(within))
        drawn = (places < self._all.first) | ((words[within] & _LOW).astype(np.int64) < self._all.bar(turn.before))
        chosen = within[drawn][: self._all.most - turn.taken]
        turn.taken += len(chosen)
        turn.came += len(within)
        if turn.taken == self._all.most:
            last = int(chosen[-1])
            turn.came -= int((within > last).sum())
            self._forget(principals, last + 1)
        return chosen, [principals.labels[code] for code in principals.codes[chosen].tolist()]

    def _begin(self, second: int) -> None:
        last, gone = self.turn, min(second - self.turn.second, FORGOTTEN)
        often = {
            name: max(_faded(last.came_of.get(name, 0), gone - 1), _faded(last.before_of.get(name, 0), gone))
            for name in {name for name, count in last.came_of.items() if count > self._own.most} | last.before_of.keys()
        }
        more = sorted((-count, name) for name, count in often.items() if count > self._own.most)
        self.turn = Turn(
            second=second,
            before=max(_faded(last.came, gone - 1), _faded(last.before, gone)),
            before_of={name: -count for count, name in more[: self._names_max]},
        )

    def _within(self, principals: Coded, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the rows of principals within their part; count what every one has sent."""
        there = np.flatnonzero(principals.codes > MISSING)
        codes = principals.codes[there]
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(principals.labels))
        starts = np.cumsum(counts) - counts
        turn, sent = self.turn, np.zeros(len(counts), np.int64)
        present = np.flatnonzero(counts)
        # Whoever comes first is counted first: there is room for so many only.
        for code in present[np.argsort(order[starts[present]])].tolist():
            name = principals.labels[code]
            before = sent[code] = turn.came_of.get(name, 0)
            if before or len(turn.came_of) < self._names_max:
                turn.came_of[name] = int(before + counts[code])
        nth = np.empty(len(codes), np.int64)
        nth[order] = np.arange(len(codes)) - np.repeat(starts - sent, counts)
        inside = nth < self._own.most
        for code in present.tolist() if turn.before_of else ():
            name = principals.labels[code]
            if name in turn.before_of:
                own = order[starts[code] : starts[code] + counts[code]]
                bar = self._own.bar(turn.before_of[name])
                drawn = (nth[own] < self._own.first) | (words[there[own]].astype(np.int64) < bar)
                drawn &= np.cumsum(drawn) <= self._own.most - turn.within_of.get(name, 0)
                turn.within_of[name] = turn.within_of.get(name, 0) + int(drawn.sum())
                inside[own] = drawn
        return there[inside]

    def _forget(self, principals: Coded, start: int) -> None:
        """Take back what was counted of rows that come after the last one that may be looked at."""
        codes = principals.codes[start:]
        counts = np.bincount(codes[codes > MISSING], minlength=len(principals.labels))
        came_of = self.turn.came_of
        for code in np.flatnonzero(counts).tolist():
            name = principals.labels[code]
            if name in came_of:
                came_of[name] -= int(counts[code])
        self.pass_over(len(codes))

    def _words(self, rows: int) -> NDArray[np.uint64]:
        """Return a number for each of the next rows: the same however they are cut."""
        turn = self.turn
        places = np.arange(turn.rows, turn.rows + rows, dtype=np.uint64)
        turn.rows += rows
        words = (places + np.uint64((self._key ^ (turn.second << 20)) & 0xFFFFFFFFFFFFFFFF)) * _ODD
        words = (words ^ (words >> np.uint64(31))) * _MORE
        return words ^ (words >> np.uint64(29))

    def adopt(self, turn: Turn) -> None:
        """Go on where a second was left off."""
        self.turn = turn


def _faded(count: int, seconds: int) -> int:
    kept: int = count * FADED**seconds // (FADED + 1) ** seconds
    return kept
