"""What a model server tells of an input without giving it away: salted hashes of its windows, and a random projection.

Near-duplicates share hashes and lie near each other in the projection; whoever does not have the salt can make neither
collide. The monitor compares fingerprints and never sees inputs.

References
----------
Li et al., *Blacklight: Scalable Defense for Neural Networks against Query-Based Black-Box Attacks*, USENIX Security
2022.
Achlioptas, *Database-friendly random projections*, 2003.
"""

from hashlib import blake2b, shake_256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError

HASHES = 16
PROJECTED = 32
BYTES = HASHES * 8 + PROJECTED * 4
"""Of one fingerprint: 64-bit hashes, then 32-bit floats, little-endian."""
LEVELS = 255
STEP = 50
"""Levels that become one."""
SALT_BYTES_MIN = 16
_TAG_BITS = 16
_TAG_MASK = (1 << _TAG_BITS) - 1
_NONE = np.uint64(0)
"""Stands for a hash that a short input does not have."""


class Fingerprints(NamedTuple):
    """Fingerprints taken apart.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (n, HASHES)
        0 where an input has fewer windows.
    points : ndarray of float32, shape (n, PROJECTED)
        The projections.
    valid : ndarray of bool, shape (n,)
        Whether it was made with the salt that the tag names, and is finite.
    """

    hashes: NDArray[np.uint64]
    points: NDArray[np.float32]
    valid: NDArray[np.bool_]


def salt_tag(salt: bytes) -> int:
    """Return the 16 bits by which fingerprints of one salt are told from those of another.

    Parameters
    ----------
    salt : bytes
        The secret of a deployment.

    Returns
    -------
    int
        From 1 to 65,535. It reveals nothing of the salt; two salts have the same one with a chance of 1 in 65,535.

    Raises
    ------
    DetectorError
        If the salt has fewer than ``SALT_BYTES_MIN`` bytes.
    """
    if len(salt) < SALT_BYTES_MIN:
        raise DetectorError(f"the salt has {len(salt)} bytes; at least {SALT_BYTES_MIN} are needed")
    return int.from_bytes(blake2b(salt, digest_size=2, person=b"fingerprint-tag").digest(), "little") or 1


class Fingerprinter:
    """Makes fingerprints of inputs of one length.

    Parameters
    ----------
    salt : bytes
        The secret of a deployment, at least ``SALT_BYTES_MIN`` bytes.
    dimension : int
        Values of an input.
    low, high : float
        The range of a value; what lies outside counts as its end, for the hashes.
    window : int or None
        Neighbouring values that are hashed together; by default 20, and 50 from 256 values on, as short windows of
        large images are often all of one level.

    Notes
    -----
    An input costs O(dimension * (window + PROJECTED)), about 40 µs for 784 values; nothing is kept.

    Examples
    --------
    >>> maker = Fingerprinter(b"sixteen secret bytes", 64)
    >>> maker.of(np.zeros((2, 64))).shape
    (2, 256)
    """

    def __init__(
        self, salt: bytes, dimension: int, *, low: float = 0.0, high: float = 1.0, window: int | None = None
    ) -> None:
        if dimension < 1:
            raise DetectorError(f"an input of {dimension} values has no fingerprint")
        if not low < high:
            raise DetectorError(f"the range {low:g} to {high:g} is empty")
        self._tag = np.uint64(salt_tag(salt))
        self._low, self._high = low, high
        self._window = min(dimension, window or (20 if dimension < 256 else 50))  # noqa: PLR2004 - as documented
        stream = shake_256(b"windows" + salt).digest(8 * (self._window + dimension))
        words = np.frombuffer(stream, "<u8")
        self._multipliers = words[: self._window] | np.uint64(1)
        self._shift = (words[self._window :] % np.uint64(LEVELS + 1)).astype(np.int64)
        bits = np.frombuffer(shake_256(b"projection" + salt).digest((dimension * PROJECTED + 7) // 8), np.uint8)
        signs = np.unpackbits(bits)[: dimension * PROJECTED].reshape(dimension, PROJECTED)
        self._project = ((2.0 * signs - 1.0) / np.sqrt(PROJECTED)).astype(np.float64)

    def of(self, inputs: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return fingerprints.

        Parameters
        ----------
        inputs : ndarray of shape (n, dimension)
            Finite numbers.

        Returns
        -------
        ndarray of shape (n, BYTES)
            Each row one fingerprint, as bytes.

        Raises
        ------
        DetectorError
            If the inputs have another length or are not finite.
        """
        values = self._checked(inputs)
        out = np.empty((len(values), BYTES), np.uint8)
        out[:, : 8 * HASHES] = self._hashes(values).astype("<u8").view(np.uint8)
        out[:, 8 * HASHES :] = self._projected(values).astype("<f4").view(np.uint8)
        return out

    def points(self, inputs: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the points of fingerprints without their hashes, which take most of the time.

        Parameters
        ----------
        inputs : ndarray of shape (n, dimension)
            Finite numbers.

        Returns
        -------
        ndarray of shape (n, PROJECTED)
            As ``take_apart`` finds them in fingerprints, to the same bits.

        Raises
        ------
        DetectorError
            If the inputs have another length or are not finite.
        """
        return self._projected(self._checked(inputs)).astype(np.float32)

    def _checked(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        values = np.atleast_2d(np.asarray(inputs, np.float64))
        if values.ndim != 2 or values.shape[1] != len(self._shift):  # noqa: PLR2004 - a matrix
            raise DetectorError(f"inputs have shape {values.shape}, not (n, {len(self._shift)})")
        if not np.isfinite(values).all():
            raise DetectorError("inputs must be finite")
        return values

    def _projected(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        # Row by row, so that an input has the same bits in whatever batch it comes.
        return np.stack([row @ self._project for row in values]) if len(values) else np.empty((0, PROJECTED))

    def _hashes(self, values: NDArray[np.float64]) -> NDArray[np.uint64]:
        share = np.clip((values - self._low) / (self._high - self._low), 0.0, 1.0)
        raw = np.rint(LEVELS * share).astype(np.int64)
        levels = ((raw + self._shift) % (LEVELS + 1)) // STEP
        slide = np.lib.stride_tricks.sliding_window_view
        windows = slide(levels.astype(np.uint64), self._window, axis=1)
        # A window of one level, such as the margin of a scan, is everybody's: it tells nobody apart.
        changes = np.cumsum(np.diff(raw, axis=1, prepend=raw[:, :1]) != 0, axis=1)
        blank = changes[:, self._window - 1 :] == changes[:, : changes.shape[1] - self._window + 1]
        out = np.full((len(values), HASHES), _NONE)
        for row, window, plain in zip(out, windows, blank, strict=True):
            # What a window is hashed to depends on its place, too.
            mixed = _mixed((window @ self._multipliers) + np.arange(1, len(window) + 1, dtype=np.uint64))
            top = np.unique(mixed[~plain] >> np.uint64(_TAG_BITS))[-HASHES:]
            row[: len(top)] = (top[::-1] << np.uint64(_TAG_BITS)) | self._tag
        return out


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all (the finaliser of SplitMix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def take_apart(fingerprints: NDArray[np.uint8], tag: int) -> Fingerprints:
    """Return the parts of fingerprints.

    Parameters
    ----------
    fingerprints : ndarray of uint8, shape (n, BYTES)
        As ``Fingerprinter.of`` made them.
    tag : int
        Of the salt that they should be made with, see ``salt_tag``.

    Returns
    -------
    Fingerprints
        Those of another salt are not valid.

    Raises
    ------
    DetectorError
        If they have another length.

    Notes
    -----
    A blank input has no hashes, and so no tag: whose salt it was cannot be told, and it is no other's near-duplicate.
    """
    if fingerprints.ndim != 2 or fingerprints.shape[1] != BYTES:  # noqa: PLR2004 - a matrix
        raise DetectorError(f"fingerprints have shape {fingerprints.shape}, not (n, {BYTES})")
    packed = np.ascontiguousarray(fingerprints)
    hashes = packed[:, : 8 * HASHES].copy().view("<u8").astype(np.uint64)
    points = packed[:, 8 * HASHES :].copy().view("<f4").astype(np.float32)
    tags = hashes & np.uint64(_TAG_MASK)
    ours = (tags[:, 0] == np.uint64(tag)) | (hashes[:, 0] == _NONE)
    valid = ours & np.isfinite(points).all(axis=1)
    return Fingerprints(hashes, points, valid)
