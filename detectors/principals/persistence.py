"""Evidence that a client goes on: bets on one input after the other, and whom they tell of among all clients.

One input proves little where an attack is as quiet as an explanation, or is given up before its evidence has grown. So
every story that is over, the first near-duplicates around one input, is a bet. What two detectors make of it is ranked
among the stories of calibration sessions, worst of all benign workloads: a conformal p value for a client of any of
them, and for one that goes from one to the other. Each becomes an e value, the mean of both is the bet, and bets on one
story after the other multiply. Nobody knows with which story an attack begins: so the evidence is a mean over all
beginnings, weighed by ``1 / (n (n + 1))``. Among clients the e-BH procedure chooses who is told of.

References
----------
.. [1] Vovk, V., Wang, R. (2021). E-values: calibration, combination and applications. Annals of Statistics 49(3).
.. [2] Shin, J., Ramdas, A., Rinaldo, A. (2024). E-detectors: a nonparametric framework for sequential change detection.
   New England Journal of Statistics in Data Science 2(2).
.. [3] Wang, R., Ramdas, A. (2022). False discovery rate control with e-values. JRSS B 84(3).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.cluster import Cluster
from detectors.principals.forest import Forest
from detectors.principals.stories import IDLE, PEAK, Story

KAPPA = 0.25
"""A p value p becomes ``KAPPA * p ** (KAPPA - 1)``, of mean one at most: small ones win much, others lose little by
little."""
WRONG = 0.05
"""Of those who are told of at any time, at most this share is expected to be wronged."""
LOG_MOST = 300.0
"""Natural logarithm of the evidence beyond which more is no news."""
_LOG_SLACK = 1e-9


class Judge(Protocol):
    """What is asked about a story that is over."""

    def log_bet(self, story: Story) -> float:
        """Return what a bet on a story wins.

        Parameters
        ----------
        story : Story
            That was told by one near-duplicate at least.

        Returns
        -------
        float
            Its natural logarithm.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Bets:
    """What stories are ranked among.

    Parameters
    ----------
    forest : Forest
        What tells stories that are over apart.
    ladders : ndarray of float64, shape (2, n)
        For the forest and for the largest evidence of intent: of the k-th largest of each of the benign workloads' n
        calibration sessions the largest one; falling. A session's is that of its strongest story.

    Raises
    ------
    DetectorError
        If ladders rise, are empty, or hold numbers that are none.
    """

    forest: Forest
    ladders: NDArray[np.float64]

    def __post_init__(self) -> None:
        two_ladders = self.ladders.ndim == 2 and len(self.ladders) == 2 and self.ladders.size > 0  # noqa: PLR2004 - two detectors
        if not two_ladders or np.isnan(self.ladders).any() or (np.diff(self.ladders, axis=1) > 0.0).any():
            raise DetectorError(f"ladders of shape {self.ladders.shape}: must be two that fall")

    def found(self, story: Story) -> tuple[float, float]:
        """Return what each detector makes of a story: log-odds of the forest, and the largest of intent.

        Parameters
        ----------
        story : Story
            That was told by one near-duplicate at least.

        Returns
        -------
        tuple of two floats
            In the order of the ladders.
        """
        summary = story.summary()
        return self.forest.score(summary), float(summary[PEAK])

    def ranks(self, found: tuple[float, float]) -> tuple[float, float]:
        """Return the p values of what the detectors found.

        Parameters
        ----------
        found : tuple of two floats
            As ``found`` returns them.

        Returns
        -------
        tuple of two floats
            In (0, 1]: the rank among the calibration sessions of the workload where it is largest.
        """
        sessions = self.ladders.shape[1]
        above = [int((ladder >= value).sum()) for ladder, value in zip(self.ladders, found, strict=True)]
        return (1 + above[0]) / (1 + sessions), (1 + above[1]) / (1 + sessions)

    def log_bet(self, story: Story) -> float:
        """Return what a story wins: the natural logarithm of the mean of both e values.

        Parameters
        ----------
        story : Story
            That was told by one near-duplicate at least.

        Returns
        -------
        float
            At least ``log(KAPPA)``.

        Notes
        -----
        Costs about 20 µs, once for each story.
        """
        first, second = self.ranks(self.found(story))
        return math.log((e_value(first) + e_value(second)) / 2.0)

    def raised(self, found: NDArray[np.float64]) -> "Bets":
        """Return the same with what the sessions of one more workload reached, where that is more.

        Parameters
        ----------
        found : ndarray of float64, shape (m, 2)
            What each detector made of a session's strongest story; minus infinity where none was told. Of fewer than n
            sessions, each one's rank stands for the ranks from there up to that of the next stronger one, and the
            strongest for all above: beyond what so few say, the ladder's own steps hold.

        Returns
        -------
        Bets
            Its ranks are the worst of both.

        Raises
        ------
        DetectorError
            If a number is none, or there is no session.
        """
        if found.ndim != 2 or found.shape[1] != 2 or not len(found):  # noqa: PLR2004 - two detectors
            raise DetectorError(f"what {found.shape} sessions reached: must be two numbers of one at least")
        sessions = self.ladders.shape[1]
        place = (np.arange(1, sessions + 1) * (len(found) + 1) // (sessions + 1)).clip(1, len(found)) - 1
        falling = -np.sort(-found, axis=0)
        return Bets(self.forest, np.maximum(self.ladders, falling[place].T))


def e_value(p: float) -> float:
    """Return the e value of a p value.

    Parameters
    ----------
    p : float
        In (0, 1].

    Returns
    -------
    float
        At least ``KAPPA``. Its mean is one at most when p is a p value.

    Examples
    --------
    >>> round(e_value(1 / 101), 2), e_value(1.0)
    (7.96, 0.25)
    """
    return KAPPA * float(p ** (KAPPA - 1.0))


class Persistence:
    """The bets on one client's stories.

    Attributes
    ----------
    stories : int
        That are over, each of which was a bet.
    log_evidence : float
        Natural logarithm of what the bets have won, of mean one at most under any benign workload, whenever one looks:
        at least minus the logarithm of one more than the stories.
    told : bool
        Whether the client was told of.

    Notes
    -----
    Costs about 2 µs for a near-duplicate and 20 µs for a story, and takes 1.5 kB while one is told.
    """

    __slots__ = ("_log_sum", "_number", "_story", "stories", "told")

    def __init__(self) -> None:
        self.stories = 0
        self.told = False
        self._log_sum = -math.inf
        self._story: Story | None = None
        self._number = 0
        """Stories that have begun."""

    @property
    def log_evidence(self) -> float:
        """What the bets have won, with what was never bet: the weight of beginnings to come."""
        return float(np.logaddexp(self._log_sum, -math.log1p(self.stories)))

    def take(self, cluster: Cluster, features: NDArray[np.float64], intent: float, at: int, bets: Judge) -> None:
        """Take a near-duplicate that tells a story.

        A cluster belongs to the story during which it first told something; it begins a new one when it began after the
        last near-duplicate of the story before. Whatever comes to it after that story is
        over says nothing: one input is one bet, however long it is asked about.

        Parameters
        ----------
        cluster : Cluster
            To which it belongs.
        features : ndarray of float64, shape (len(cluster.FEATURES),)
            What is known of that.
        intent : float
            What the forest of intent says of it.
        at : int
            Which of the client's requests it is, from 1 on; more than all before.
        bets : Judge
            What is asked about stories that are over.
        """
        if cluster.story == 0:
            story = self._story
            # The client has moved on when the first near-duplicate came after the last one that told something.
            if story is not None and (cluster.began >= story.at or at - story.at > IDLE):
                self.close(bets)
            if self._story is None:
                self._story = Story()
                self._number += 1
            cluster.story = self._number
        if self._story is None or cluster.story != self._number:
            return
        self._story.take(features, intent, at)
        if self._story.is_over:
            self.close(bets)

    def close(self, bets: Judge) -> None:
        """End the story that is being told, if there is one, and bet on it.

        Parameters
        ----------
        bets : Judge
            What is asked about stories that are over.
        """
        if self._story is None:
            return
        won, self._story = bets.log_bet(self._story), None
        self.stories += 1
        begins = -math.log(self.stories * (self.stories + 1.0))
        self._log_sum = min(won + float(np.logaddexp(self._log_sum, begins)), LOG_MOST)


def chosen(log_evidence: Mapping[str, float], among: int, wrong: float = WRONG) -> tuple[list[str], float]:
    """Choose the clients to tell of, with the e-BH procedure.

    Parameters
    ----------
    log_evidence : mapping of str to float
        Natural logarithm of the evidence; those without, of whom there may be any number, may be left out.
    among : int
        Among how many clients: all on whom there was a bet.
    wrong : float
        Expected share of those chosen that is chosen wrongly, between 0 and 1.

    Returns
    -------
    chosen : list of str
        Strongest first: the largest k whose evidence is at least ``among / (wrong * k)`` each.
    log_threshold : float
        Natural logarithm of what each of them reached; with nobody, of what one alone would have to reach.

    Examples
    --------
    >>> from math import log
    >>> chosen({"a": log(1100.0), "b": log(9.0), "c": log(1500.0)}, among=100)
    (['c', 'a'], 6.907755278982137)
    """
    ranked = sorted(log_evidence, key=lambda name: (-log_evidence[name], name))
    line = math.log(max(among, 1) / wrong)
    for count in range(len(ranked), 0, -1):
        if log_evidence[ranked[count - 1]] >= line - math.log(count) - _LOG_SLACK:
            return ranked[:count], line - math.log(count)
    return [], line
