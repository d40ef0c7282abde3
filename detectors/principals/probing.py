"""Evidence that a client feels its way: requests close to its own earlier ones, and answers that lead somewhere.

Closeness alone proves little, because explainers, robustness tests and films send such requests by their nature. What
it may add is bounded, and only the stories that near-duplicates tell take the evidence beyond that bound.
"""

import math

from detectors.principals.population import Population
from detectors.principals.trail import Step

CLOSE = 0.6
"""Share of the ratio of near-duplicates below which a request is close; clients that ask about one class come near."""
CLOSE_LEAST, CLOSE_MOST = -0.5, 2.0
"""What the closeness of one request takes or gives."""
CLOSENESS_MAX = 5.0
"""What closeness comes to at most, however many requests are close."""
LIKELY = 2.0
"""Log-odds of a story that neither give nor take: benign clients near a boundary come to it, and stay."""
STORY_LEAST, STORY_MOST = -1.0, 3.0
"""What the story after one near-duplicate takes or gives."""
STORIES_MAX = 40.0
"""What stories come to at most."""
FADING = 0.02
"""What a request that tells no story takes: whoever stops is forgotten after 2,000 requests, and cover takes little."""


class Probing:
    """What one client's requests say about feeling its way.

    Parameters
    ----------
    population : Population
        What is usual.

    Notes
    -----
    A request costs about 1 µs, and a client takes two numbers. This is a score, no e-detector: clients differ from each
    other, and their requests depend on each other, so that no bet on single ranks kept its promise. Its threshold comes
    from the largest evidence of whole sessions.
    """

    __slots__ = ("_close", "_closeness", "_stories")

    def __init__(self, population: Population) -> None:
        self._close = CLOSE * population.near
        self._closeness = 0.0
        self._stories = 0.0

    @property
    def evidence(self) -> float:
        """What closeness and stories come to together, 0 to ``CLOSENESS_MAX + STORIES_MAX``."""
        return self._closeness + self._stories

    def take(self, step: Step, story: float | None) -> None:
        """Take one request that is no duplicate.

        Parameters
        ----------
        step : Step
            Where it lies among the client's earlier ones.
        story : float or None
            Log-odds that the near-duplicates around it are an attack; ``None`` where they tell no story.
        """
        closeness = CLOSE_LEAST
        if step.ratio < self._close * math.exp(-CLOSE_LEAST):
            closeness = min(math.log(self._close / max(step.ratio, 1e-9)), CLOSE_MOST) if self._close > 0.0 else 0.0
        self._closeness = _within(self._closeness + closeness, CLOSENESS_MAX)
        told = -FADING if story is None else min(max(story - LIKELY, STORY_LEAST), STORY_MOST)
        self._stories = _within(self._stories + told, STORIES_MAX)


def _within(value: float, most: float) -> float:
    return min(max(value, 0.0), most)
