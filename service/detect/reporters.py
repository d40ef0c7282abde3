"""Whose word evidence of wrong answers is: no reporter alone may take a model away."""

from collections import Counter
from collections.abc import Iterable

COUNTED_MAX = 256
"""Reporters that are counted; whoever has more than one in 257 of all labels is among them."""


class Reporters:
    """Counts labels by who reports them, in bounded memory (Misra and Gries, 1982).

    As long as there are at most ``COUNTED_MAX`` reporters, counts are exact. Beyond, those with the fewest labels give
    way, and every other count is too low by what was taken off: at most one in ``COUNTED_MAX + 1`` of what is missing.
    """

    def __init__(self, labels: int = 0, counts: dict[str, int] | None = None) -> None:
        self.labels = labels
        self.counts = {} if counts is None else counts

    def note(self, names: Iterable[str]) -> None:
        """Count labels; an empty name is nobody in particular: whoever operates the service."""
        told = Counter(names)
        self.labels += told.total()
        for name, number in sorted(told.items()):
            if name:
                self.counts[name] = self.counts.get(name, 0) + number
        if len(self.counts) > COUNTED_MAX:
            # What the first one beyond has is taken off all: of as many and one labels each.
            least = sorted(self.counts.values(), reverse=True)[COUNTED_MAX]
            self.counts = {name: number - least for name, number in self.counts.items() if number > least}

    def majority(self) -> tuple[str, float] | None:
        """Return who may have more than half of the labels, and at most which share; ``None`` when nobody has.

        Whoever has more than half is told. Among more than ``COUNTED_MAX`` reporters somebody who has nearly half, by
        0.4 %, may be told, too: who cannot be told from a majority takes no model away alone.
        """
        name, number = max(self.counts.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        number += (self.labels - sum(self.counts.values())) // (COUNTED_MAX + 1)
        return (name, number / self.labels) if name and 2 * number > self.labels else None
