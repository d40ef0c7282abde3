"""A small forest of decision trees over the story of a cluster: how much it looks like an attack.

The trees were grown on recorded attacks and benign optimisers (``bench/adversarial/train.py``); they are data of this
package.
Each feature may only speak one way: more of what attacks do never makes a cluster look more harmless.
"""

from base64 import b85decode
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.cluster import FEATURES

DEPTH = 4
_INNER = (1 << DEPTH) - 1
_LEAVES = 1 << DEPTH


def _leaf_of_answers() -> NDArray[np.int64]:
    """Return the leaf for each of the ways in which 15 inner nodes answer, packed as bits with a 0 at the end."""
    codes = np.arange(1 << 16, dtype=">u2")
    right = np.unpackbits(codes.view(np.uint8)).reshape(-1, 16).astype(np.int64)
    node = np.zeros(len(codes), np.int64)
    for _ in range(DEPTH):
        node = 2 * node + 1 + right[np.arange(len(codes)), node]
    return node - _INNER


_LEAF = _leaf_of_answers()


@dataclass(frozen=True, eq=False)
class Forest:
    """Complete trees of the same depth, added up.

    Parameters
    ----------
    features : ndarray of shape (trees, 15)
        Which feature each inner node looks at, in breadth-first order.
    cuts : ndarray of shape (trees, 15)
        A value above goes to the right.
    values : ndarray of shape (trees, 16)
        What each leaf adds.
    start : float
        What the sum starts from.
    width : int
        How many features there are to look at: those of a cluster, or those of a story that is over.
    """

    features: NDArray[np.int8]
    cuts: NDArray[np.float32]
    values: NDArray[np.float32]
    start: float
    width: int = len(FEATURES)

    def __post_init__(self) -> None:
        trees = len(self.features)
        shapes = (self.features.shape, self.cuts.shape, self.values.shape)
        if shapes != ((trees, _INNER), (trees, _INNER), (trees, _LEAVES)):
            raise DetectorError(f"a forest of shapes {shapes}")
        if trees and not 0 <= int(self.features.min()) <= int(self.features.max()) < self.width:
            raise DetectorError(f"a forest that looks at other features than the {self.width} of a story")
        if np.isnan(self.cuts).any() or not (np.isfinite(self.values).all() and np.isfinite(self.start)):
            raise DetectorError("a forest has numbers that are none")

    def score(self, story: NDArray[np.float64]) -> float:
        """Return how much a story looks like an attack's.

        Parameters
        ----------
        story : ndarray of float64, shape (width,)
            As ``cluster.FEATURES`` names it, or ``stories.SUMMARY``.

        Returns
        -------
        float
            Natural log-odds that it is one, in the mixture that the forest was grown on.

        Notes
        -----
        Costs about 10 µs with 200 trees.
        """
        features, cuts, values, firsts = self._flat
        # All inner nodes of all trees are asked at once; their answers, 16 bits a tree, tell the leaf.
        answers = np.packbits(story.take(features) > cuts).view(">u2")
        return self.start + float(values.take(firsts + _LEAF.take(answers)).sum(dtype=np.float64))

    @cached_property
    def _flat(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float32], NDArray[np.int64]]:
        """Features and cuts with a sixteenth node that always answers no, the leaves, and the first leaf of each."""
        trees = len(self.features)
        features = np.zeros((trees, _LEAVES), np.int64)
        cuts = np.full((trees, _LEAVES), np.inf)
        features[:, :_INNER], cuts[:, :_INNER] = self.features, self.cuts
        return features.ravel(), cuts.ravel(), self.values.ravel(), _LEAVES * np.arange(trees)

    def to_bytes(self) -> bytes:
        """Return the forest as bytes.

        Returns
        -------
        bytes
            Little-endian: how many trees and the start, 8 bytes each, then features, cuts and values.
        """
        head = np.array([len(self.features), self.start], "<f8").tobytes()
        return head + self.features.tobytes() + self.cuts.astype("<f4").tobytes() + self.values.astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, content: bytes, width: int = len(FEATURES)) -> "Forest":
        """Return the forest that ``to_bytes`` wrote.

        Parameters
        ----------
        content : bytes
            What it wrote.
        width : int
            How many features there are to look at.

        Returns
        -------
        Forest
            The same.

        Raises
        ------
        DetectorError
            If the content is no forest.
        """
        if len(content) < 16:  # noqa: PLR2004 - two numbers of 8 bytes
            raise DetectorError(f"{len(content)} bytes are no forest")
        count, start = np.frombuffer(content, "<f8", 2).tolist()
        size = _INNER + 4 * _INNER + 4 * _LEAVES
        trees = (len(content) - 16) // size
        if count != trees or len(content) != 16 + trees * size:
            raise DetectorError(f"{len(content)} bytes do not hold {count:g} trees")
        at = 16
        features = np.frombuffer(content, np.int8, trees * _INNER, at).reshape(trees, _INNER)
        at += trees * _INNER
        cuts = np.frombuffer(content, "<f4", trees * _INNER, at).reshape(trees, _INNER)
        at += 4 * trees * _INNER
        values = np.frombuffer(content, "<f4", trees * _LEAVES, at).reshape(trees, _LEAVES)
        return cls(features, cuts, values, start, width)

    @classmethod
    def from_text(cls, content: str, digest: str, width: int = len(FEATURES)) -> "Forest":
        """Return a forest that is data of this package.

        Parameters
        ----------
        content : str
            What ``to_bytes`` wrote, in base 85.
        digest : str
            That it must have.
        width : int
            How many features there are to look at.

        Returns
        -------
        Forest
            The same.

        Raises
        ------
        DetectorError
            If it has another digest, or is no forest.
        """
        forest = cls.from_bytes(b85decode(content), width)
        if forest.digest != digest:
            raise DetectorError("the forest is not the one that was grown")
        return forest

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hexadecimal: what a benchmark run names before it looks at its results."""
        return sha256(self.to_bytes()).hexdigest()
