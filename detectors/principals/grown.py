"""The forest of this release, and from which log-odds on it speaks of intent."""

from functools import cache

from detectors.principals.forest import Forest
from detectors.principals.forest_data import CONTENT, DIGEST

INTENT = 3.0
"""Above the thresholds that the benchmark of adversarial use sets from benign sessions, whichever the victim."""


@cache
def grown() -> Forest:
    """Return the forest.

    Returns
    -------
    Forest
        The same object every time: not to be changed.

    Raises
    ------
    DetectorError
        If the package's data was tampered with.
    """
    return Forest.from_text(CONTENT, DIGEST)
