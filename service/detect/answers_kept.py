"""The latest answers of one version by event id, in bounded memory: what later labels are about.

Answers have numbers, in the order of the log. Of the latest ``capacity`` all is known; of as many before them only that
they were there, so that a label for one of them is told as too late. They lie in blocks of ``BLOCK``, which go to the
store when they have changed: a block that is full never changes again, but for who has a label, which is kept apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError
from service.detect.event_keys import NO_KEY
from service.domain.records import AnswerBlock

BLOCK = 1024
UNKNOWN, LATE, REPEATED = -1, -2, -3
"""Places of answers that are not there: nobody knows the event, its answer is forgotten, or it has a label already."""


def record_of(width: int, *, numbers: bool) -> np.dtype[np.void]:
    """Return how an answer is packed: 20 bytes and four for each of ``width`` probabilities, four more for numbers."""
    answer = "<f8" if numbers else "<u4"
    return np.dtype([("key", "<u8"), ("at", "<i8"), ("answer", answer), ("told", "<f4", (width,))])


@dataclass(slots=True)
class Block:
    """Neighbouring answers."""

    rows: NDArray[np.void]
    labelled: NDArray[np.bool_]
    used: int = 0
    order: NDArray[np.int64] | None = None
    """Places by key, earlier ones of the same key first; made when somebody asks."""
    known: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """The keys in that order."""
    changed: bool = False
    marks: bytes | None = b""
    """Which have a label, in bits; nothing where none has. ``None``: to be made anew."""

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the place of the latest answer for each key; -1 for none."""
        if self.order is None:
            self.order = np.argsort(self.rows["key"][: self.used], kind="stable")
            self.known = self.rows["key"][self.order]
        at = np.maximum(self.known.searchsorted(keys, side="right") - 1, 0)
        return np.where(self.known[at] == keys, self.order[at], -1)

    def note_label(self, place: int) -> bool:
        """Note that an answer has a label; False when it had one."""
        if self.labelled[place]:
            return False
        self.labelled[place], self.marks = True, None
        return True

    def packed(self) -> bytes:
        """Return which have a label."""
        if self.marks is None:
            self.marks = np.packbits(self.labelled).tobytes()
        return self.marks


class AnswersKept:
    """The latest answers of one version.

    Attributes
    ----------
    taken : int
        Answers so far; the number of the next one.
    oldest : int
        The number of the oldest that is remembered.
    first : int
        The oldest block of which anything is known.
    labelled : int
        How many of those that are remembered have a label.
    """

    def __init__(self, capacity: int, width: int, *, numbers: bool) -> None:
        self.capacity, self.taken, self.oldest, self.first, self.labelled = capacity, 0, 0, 0, 0
        self._record = record_of(width, numbers=numbers)
        self._blocks: dict[int, Block] = {}
        """By number, oldest first."""
        self._gone: dict[int, NDArray[np.uint64]] = {}
        """Keys of blocks that are forgotten, in order."""

    def __len__(self) -> int:
        return self.taken - self.oldest

    def note(
        self, keys: NDArray[np.uint64], at_us: int, answers: NDArray[np.generic], told: NDArray[np.float32]
    ) -> None:
        """Remember answers, the latest last."""
        start = 0
        while start < len(keys):
            number, place = divmod(self.taken, BLOCK)
            block = self._blocks.get(number) or self._new(number)
            size = min(BLOCK - place, len(keys) - start)
            here, there = slice(place, place + size), slice(start, start + size)
            block.rows["key"][here], block.rows["at"][here] = keys[there], at_us
            block.rows["answer"][here], block.rows["told"][here] = answers[there], told[there]
            block.used, block.order, block.changed = place + size, None, True
            self.taken += size
            start += size
        self.forget(self.capacity)

    def forget(self, capacity: int) -> None:
        """Keep no more than so many answers; what was forgotten does not come back."""
        self.capacity = capacity
        oldest = max(self.oldest, self.taken - capacity)
        self.labelled -= self._labelled(self.oldest, oldest)
        self.oldest = oldest
        for number in [n for n in self._blocks if (n + 1) * BLOCK <= self.oldest]:
            self._gone[number] = np.sort(self._blocks.pop(number).rows["key"])
        self.first = max(self.first, (self.oldest - capacity) // BLOCK)
        for number in [n for n in self._gone if n < self.first]:
            del self._gone[number]

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the number of the latest answer for each key, or why there is none; of equal keys the first counts.

        Those that are found count as labelled from now on.
        """
        found = np.full(len(keys), UNKNOWN, np.int64)
        for number, block in reversed(self._blocks.items()):
            left = np.flatnonzero(found == UNKNOWN)
            if not len(left):
                break
            places = block.find(keys[left])
            hit = places >= 0
            found[left[hit]] = number * BLOCK + places[hit]
        late = (found >= 0) & (found < self.oldest)
        found[late] = LATE
        for known in self._gone.values():
            left = np.flatnonzero(found == UNKNOWN)
            at = np.minimum(np.searchsorted(known, keys[left]), len(known) - 1)
            found[left[known[at] == keys[left]]] = LATE
        found[keys == NO_KEY] = UNKNOWN
        self._label(found)
        return found

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.void]:
        """Return remembered answers by their numbers."""
        found = np.empty(len(numbers), self._record)
        blocks = numbers // BLOCK
        for number in np.unique(blocks).tolist():
            own = blocks == number
            found[own] = self._blocks[number].rows[numbers[own] % BLOCK]
        return found

    def _label(self, found: NDArray[np.int64]) -> None:
        for i in np.flatnonzero(found >= 0).tolist():
            number, place = divmod(int(found[i]), BLOCK)
            if self._blocks[number].note_label(place):
                self.labelled += 1
            else:
                found[i] = REPEATED

    def _new(self, number: int) -> Block:
        block = Block(np.zeros(BLOCK, self._record), np.zeros(BLOCK, np.bool_))
        self._blocks[number] = block
        return block

    def _labelled(self, start: int, stop: int) -> int:
        """Return how many of some answers have a label."""
        found = 0
        for number in range(start // BLOCK, -(-stop // BLOCK)):
            if number in self._blocks:
                begin = number * BLOCK
                found += int(self._blocks[number].labelled[max(0, start - begin) : max(0, stop - begin)].sum())
        return found

    # -- in the store ---------------------------------------------------------------------------------------------

    def take_blocks(self) -> tuple[AnswerBlock, ...]:
        """Return the blocks that have to be written since the last call."""
        found = []
        for number, block in self._blocks.items():
            if block.changed:
                block.changed = False
                found.append(AnswerBlock(number=number, content=block.rows[: block.used].tobytes()))
        return tuple(found)

    def marks(self) -> list[tuple[int, bytes]]:
        """Return which answers have a label, by block, where any has."""
        return [(number, bits) for number, block in self._blocks.items() if (bits := block.packed())]

    def adopt(
        self, taken: int, oldest: int, first: int, marks: Iterable[tuple[int, bytes]], stored: Iterable[AnswerBlock]
    ) -> None:
        """Go on with what was kept.

        Raises
        ------
        StateError
            When blocks are missing, or of another form.
        """
        self.taken, self.oldest, self.first = taken, oldest, first
        contents = {block.number: block.content for block in stored}
        for number in range(first, -(-taken // BLOCK)):
            content = contents.get(number)
            used = min(BLOCK, taken - number * BLOCK)
            if content is None or len(content) != used * self._record.itemsize:
                raise StateError(f"block {number} of the remembered answers is not what was kept")
            rows = np.frombuffer(content, self._record)
            if (number + 1) * BLOCK <= oldest:
                self._gone[number] = np.sort(rows["key"])
                continue
            block = self._new(number)
            block.rows[:used], block.used = rows, used
        for number, bits in marks:
            if number not in self._blocks or len(bits) != BLOCK // 8:
                raise StateError("the labelled answers are not those that are remembered")
            block = self._blocks[number]
            block.labelled, block.marks = np.unpackbits(np.frombuffer(bits, np.uint8)).astype(np.bool_), None
        self.labelled = self._labelled(oldest, taken)
