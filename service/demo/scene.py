"""What the story has seen so far: drawn by the view, and summed up in the last line."""

from collections import deque
from dataclasses import dataclass, field

HISTORY_MAX = 600
LOG_MAX = 8


@dataclass(slots=True)
class Scene:
    """Figures of the story, all measured."""

    chapter: str = "setting the stage"
    wear: float = 0.0
    sent: int = 0
    """Pictures that the model answered."""
    right: int = 0
    """Of the latest answers, how many were right."""
    judged: int = 0
    denied: int = 0
    """Requests that the gate stopped."""
    gate: int | None = None
    state: str = "-"
    evidence: float | None = None
    """As exponent of ten."""
    threshold: float | None = None
    events: int = 0
    """Counted by the monitor."""
    columns: list[tuple[str, float]] = field(default_factory=list)
    history: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY_MAX))
    """Exponents of ten, one for each look."""
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_MAX))
    console: str | None = None
    """Address of the model's page."""

    def say(self, text: str) -> None:
        """Add a line to the story."""
        self.log.append(text)

    @property
    def accuracy(self) -> float | None:
        """Share of right answers lately."""
        return self.right / self.judged if self.judged else None
