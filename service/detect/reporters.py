"""Whose word evidence of wrong answers is: no reporter alone may take a model away."""

from collections import Counter
from collections.abc import Iterable

COUNTED_MAX = 32
"""Reporters that are counted; whoever has more than one in 33 of all labels is among them."""


class Reporters:
    """Counts labels by who reports them, in bounded memory (Misra and Gries, 1982)."""

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
        while len(self.counts) > COUNTED_MAX:
            least = min(self.counts.values())
            self.counts = {name: number - least for name, number in self.counts.items() if number > least}

    def majority(self) -> tuple[str, float] | None:
        """Return who has more than half of the labels, and which share; ``None`` when nobody has."""
        name, number = max(self.counts.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        return (name, number / self.labels) if 2 * number > self.labels else None
