"""Near-duplicates over all principals: an attack that is split over many accounts is one campaign.

Every request leaves its hashes in one table of fixed size. A request that shares enough of them with an earlier one
belongs to the same cluster, whoever sent it. Small steps of every value change most hashes, so a crowd compares the
points of the last requests, too, and tells the story of near-duplicates that several principals have sent.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.cluster import Cluster
from detectors.principals.forest import Forest
from detectors.principals.monitor import NEAR_MIN
from detectors.principals.population import Population
from detectors.principals.trail import Trail

CROWD_WINDOW = 1_024
"""Requests of all principals together that are compared with the next one."""
TOGETHER_MIN = 2
"""Principals that near-duplicates must come from to be a story of a crowd: that of one is its own."""
SHARED_MIN = 5
"""Hashes that near-duplicates have in common, at least."""
PROBES = 8
"""Places of the table in which a hash may lie."""
MEMBERS_MAX = 100
"""Principals that a cluster names."""
CLUSTERS_MAX = 16_384
NO_CLUSTER = -1
_OWN = np.iinfo(np.int64).min
_FREE = _OWN + 1


@dataclass(slots=True)
class Campaign:
    """Near-duplicates, and who sent them.

    Parameters
    ----------
    id : int
        Of the cluster, never used again.
    size : int
        Requests.
    members : set of int
        Principals by number, at most ``MEMBERS_MAX``.
    since_us, until_us : int
        When the first and the last request came.
    joined_us : list of int
        When each member was first seen, in order.
    """

    id: int
    size: int
    members: set[int] = field(default_factory=set)
    since_us: int = 0
    until_us: int = 0
    joined_us: list[int] = field(default_factory=list)


class Index:
    """The table of hashes, and the clusters of at least two requests.

    Parameters
    ----------
    entries : int
        Places in the table, a power of two; each takes 28 bytes, and a request uses up to 16 in each way.
    ttl_us : int
        After so many microseconds a hash is forgotten.
    clusters_max : int
        Clusters that are remembered, those that grew last; at least 1.

    Notes
    -----
    A request costs about 20 µs. When the table is full the oldest of the ``PROBES`` places is overwritten: memory never
    grows, and what is lost is the oldest request's place in its cluster.
    """

    def __init__(self, entries: int, ttl_us: int, clusters_max: int = CLUSTERS_MAX) -> None:
        if entries < PROBES or entries & (entries - 1):
            raise DetectorError(f"a table of {entries} entries: must be a power of two, at least {PROBES}")
        self._mask = np.uint64(entries - 1)
        self._keys = np.zeros(entries, np.uint64)
        self._clusters = np.full(entries, NO_CLUSTER, np.int64)
        self._owners = np.zeros(entries, np.int32)
        self._seen = np.full(entries, np.iinfo(np.int64).min // 2)
        self._ttl = ttl_us
        self._clusters_max = clusters_max
        self._next = 0
        self.campaigns: OrderedDict[int, Campaign] = OrderedDict()
        """By id, the one that grew last at the end; at most ``clusters_max``."""

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self._keys.nbytes + self._clusters.nbytes + self._owners.nbytes + self._seen.nbytes

    def add(self, hashes: NDArray[np.uint64], principal: int, at_us: int) -> Campaign | None:
        """Take one request.

        Parameters
        ----------
        hashes : ndarray of shape (HASHES,) or (ways, HASHES)
            Of its fingerprint, each once; 0 stands for none. In several ways, such as of fingerprint and point, the
            first one in which it is near something says where it belongs.
        principal : int
            Who sent it: a number of 31 bits.
        at_us : int
            When; never earlier than the request before.

        Returns
        -------
        Campaign or None
            The cluster of near-duplicates that it belongs to; ``None`` when it is like no other.
        """
        rows = hashes if hashes.ndim > 1 else hashes[None]
        there = rows != 0
        keys = rows[there]
        if not len(keys):
            return None
        # The lowest bits of a hash are the tag of its salt, the same in all.
        places = (((keys >> np.uint64(16))[:, None] + np.arange(PROBES, dtype=np.uint64)) & self._mask).astype(np.int64)
        alive = self._seen[places] > at_us - self._ttl
        match = alive & (self._keys[places] == keys[:, None])
        ends = np.cumsum(there.sum(axis=1)).tolist()
        parts = (slice(begin, end) for begin, end in pairwise((0, *ends)))
        found = next((one for part in parts if (one := self._joined(places[part][match[part]])) is not None), None)
        if found is None:
            cluster, self._next = self._next, self._next + 1
        else:
            cluster = found[0]
        # The own place if there is one, else a free one, else the oldest.
        age = np.where(match, _OWN, np.where(alive, self._seen[places], _FREE))
        chosen = places[np.arange(len(keys)), age.argmin(axis=1)]
        self._keys[chosen], self._clusters[chosen] = keys, cluster
        self._owners[chosen], self._seen[chosen] = principal, at_us
        return None if found is None else self._grow(found, principal, at_us)

    def _joined(self, found: NDArray[np.int64]) -> tuple[int, int, int] | None:
        """Tell which cluster a request belongs to, and who sent the one before it and when."""
        if len(found) < SHARED_MIN:
            return None
        clusters, counts = np.unique(self._clusters[found], return_counts=True)
        best = int(counts.argmax())
        if counts[best] < SHARED_MIN:
            return None
        place = found[self._clusters[found] == clusters[best]][0]
        return int(clusters[best]), int(self._owners[place]), int(self._seen[place])

    def _grow(self, found: tuple[int, int, int], principal: int, at_us: int) -> Campaign:
        cluster, owner, before_us = found
        campaign = self.campaigns.pop(cluster, None)
        if campaign is None:
            campaign = Campaign(cluster, 1, {owner}, before_us, before_us, [before_us])
            while len(self.campaigns) >= self._clusters_max:
                self.campaigns.popitem(last=False)
        campaign.size += 1
        campaign.until_us = at_us
        if principal not in campaign.members and len(campaign.members) < MEMBERS_MAX:
            campaign.members.add(principal)
            campaign.joined_us.append(at_us)
        self.campaigns[cluster] = campaign
        return campaign


class Joint(NamedTuple):
    """The story of near-duplicates that several principals have sent.

    Parameters
    ----------
    evidence : float
        Log-odds of the forest after this request.
    members : tuple of int
        The principals that sent near-duplicates, first come first, at most ``MEMBERS_MAX``.
    cluster : Cluster
        The near-duplicates.
    """

    evidence: float
    members: tuple[int, ...]
    cluster: Cluster


class Crowd:
    """All principals of a model version, watched as if they were one.

    An attack that is split over accounts leaves each of them next to no story; together they leave the whole one.

    Parameters
    ----------
    population : Population
        What is usual.
    dimension : int
        Of the points.
    forest : Forest
        What tells stories apart.
    window : int
        How many of the last requests are remembered, whoever sent them; at least 1.

    Raises
    ------
    DetectorError
        If the window is empty.

    Notes
    -----
    A request costs about 15 µs, a near-duplicate 60 µs with 600 to 1,024 requests of 32 dimensions; these take 200 kB,
    and each cluster among them 3 kB. An input that another principal has sent before is a duplicate, and says nothing.
    Ordinary requests push others out of the window: an attack between ``n`` times as many of them is seen if it sends
    its next near-duplicate within ``window / n`` requests of its own.
    """

    def __init__(self, population: Population, dimension: int, forest: Forest, window: int = CROWD_WINDOW) -> None:
        if window < 1:
            raise DetectorError(f"a window of {window} requests; at least 1 is needed")
        self._trail = Trail(population, dimension, window)
        self._forest = forest

    def take(
        self, point: NDArray[np.float32], label: int, probabilities: NDArray[np.floating], principal: int
    ) -> Joint | None:
        """Take one request.

        Parameters
        ----------
        point : ndarray of float32, shape (dimension,)
            Where it lies; finite.
        label : int
            The predicted class.
        probabilities : ndarray of shape (classes,)
            The model's answer.
        principal : int
            Who sent it.

        Returns
        -------
        Joint or None
            The story that it continues; ``None`` if it is near nothing, or fewer than ``TOGETHER_MIN`` principals have
            sent near-duplicates.
        """
        step = self._trail.step(point, label, probabilities)
        if step.cluster is None or step.features is None:
            return None
        members = step.cluster.members
        if principal not in members and len(members) < MEMBERS_MAX:
            members[principal] = None
        if len(members) < TOGETHER_MIN or step.cluster.size <= NEAR_MIN:
            return None
        return Joint(self._forest.score(step.features), tuple(members), step.cluster)
