"""The forest that comes with the package."""

from base64 import b85decode
from functools import cache

from detectors.principals.forest import Forest
from detectors.principals.forest_data import CONTENT

INTENT = 5.0
"""From which log-odds on intent is told of."""


@cache
def grown() -> Forest:
    """Return the forest that tells attacks from benign near-duplicates; read once in a process."""
    return Forest.from_bytes(b85decode(CONTENT))
