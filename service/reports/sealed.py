"""Rows and reports at rest: compressed, encrypted, and bound to what they are of. The keys are those of transcripts."""

import os
from collections.abc import Sequence

from service.domain.errors import Conflict
from service.transcripts import NONCE_BYTES, id_of

PLAIN_BYTES_MAX = 64 * 1024 * 1024
LEVEL = 3


def seal(key: bytes, context: str, plain: bytes) -> bytes:
    """Encrypt; ``context`` says what it is, and nothing else can stand in for it."""
    import zstandard
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(NONCE_BYTES)
    packed = zstandard.ZstdCompressor(level=LEVEL).compress(plain)
    return nonce + AESGCM(key).encrypt(nonce, packed, _bound(context))


def unseal(keys: Sequence[bytes], key_id: str | None, context: str, sealed: bytes) -> bytes:
    """Decrypt what ``seal`` made.

    Raises
    ------
    Conflict
        When the service does not have the key, or the content is not what was encrypted in this place.
    """
    import zstandard
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = next((key for key in keys if id_of(key) == key_id), None)
    if key is None:
        raise Conflict(f"it is encrypted with the key '{key_id}', which this service does not have")
    nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        packed = AESGCM(key).decrypt(nonce, rest, _bound(context))
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=PLAIN_BYTES_MAX)
    except (InvalidTag, ValueError, zstandard.ZstdError):
        raise Conflict(f"it is damaged or out of place: key '{key_id}' does not fit it") from None


def _bound(context: str) -> bytes:
    return b"lazaretto report 1\0" + context.encode()
