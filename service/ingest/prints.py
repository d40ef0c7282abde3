"""Input fingerprints as model servers send them, to the 256 bytes that a frame keeps.

A fingerprint that is none refuses nothing: it is kept as unreadable, and the worker counts it.
"""

import binascii
from struct import Struct

from service.domain.errors import TooLarge
from service.frames import PRINT_BYTES, UNREADABLE, pack_prints
from service.ingest.limits import FINGERPRINT_MAX
from service.ingest.values import Values

WORDS = PRINT_BYTES // 8
_TEXT_MAX = 4 * (PRINT_BYTES // 3 + 1)
"""Characters of base64."""
_WORD_MASK = (1 << 64) - 1
_words = Struct(f"<{WORDS}Q")


def pack_fingerprints(values: Values) -> bytes:
    """Return fingerprints as a frame keeps them.

    Each is base64 of its bytes, the bytes themselves, or a list of 32 integers of 64 bits, little-endian, with or
    without sign.

    Raises
    ------
    TooLarge
        For a fingerprint of far too many values.
    """
    return pack_prints([None if value is None else _fingerprint(value) for value in values])


def _fingerprint(value: object) -> object:
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, bytes):
        return value if len(value) == PRINT_BYTES else UNREADABLE
    if isinstance(value, list):
        if len(value) > FINGERPRINT_MAX:
            raise TooLarge(f"a fingerprint of {len(value)} values; at most {FINGERPRINT_MAX}")
        return _of_words(value)
    return UNREADABLE


def _of_text(text: str) -> object:
    if len(text) > _TEXT_MAX or not text.isascii():
        return UNREADABLE
    try:
        raw = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        return UNREADABLE
    return raw if len(raw) == PRINT_BYTES else UNREADABLE


def _of_words(words: list[object]) -> object:
    if len(words) != WORDS:
        return UNREADABLE
    numbers = [word for word in words if isinstance(word, int) and not isinstance(word, bool)]
    if len(numbers) != WORDS or min(numbers) < -(1 << 63) or max(numbers) > _WORD_MASK:
        return UNREADABLE
    return _words.pack(*[number & _WORD_MASK for number in numbers])
