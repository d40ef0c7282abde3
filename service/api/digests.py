"""``Content-Digest`` (RFC 9530): who sends a body may say what it hashes to, and another body is refused."""

import base64
import binascii
import hashlib
import hmac
from pathlib import Path

from service.domain.errors import BadRequest, Place, Unprocessable

ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}
AT = "content-digest"
LENGTH_MAX = 512


def wanted_digests(text: str) -> dict[str, bytes]:
    """Return the digests that a header names, by the algorithm; those of other algorithms are left out.

    Raises
    ------
    BadRequest
        When it is malformed, or names no algorithm that is known here: a check that nobody makes protects nobody.
    """
    found: dict[str, bytes] = {}
    for part in text[: LENGTH_MAX + 1].split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or len(value) < len("::") or value[0] != ":" or value[-1] != ":" or len(text) > LENGTH_MAX:
            raise BadRequest("Content-Digest is malformed; it reads sha-256=:BASE64:", places=[Place(AT, "malformed")])
        if name.lower() in ALGORITHMS:
            found[name.lower()] = _decoded(value[1:-1])
    if not found:
        known = ", ".join(ALGORITHMS)
        raise BadRequest(f"Content-Digest names no known algorithm; known: {known}", places=[Place(AT, "not known")])
    return found


def check_digest(text: str, path: Path) -> None:
    """Check a body on disk against the header; blocks while it is read.

    Raises
    ------
    BadRequest
        As ``wanted_digests``.
    Unprocessable
        When the body is another one than was meant.
    """
    for name, wanted in wanted_digests(text).items():
        with path.open("rb") as body:
            real = hashlib.file_digest(body, ALGORITHMS[name]).digest()
        if not hmac.compare_digest(real, wanted):
            reason = f"the body has {name} {real.hex()[:16]}..., not {wanted.hex()[:16]}...: it was changed on its way"
            raise Unprocessable(f"Content-Digest: {reason}", places=[Place(AT, reason)])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        reason = "is not base64"
        raise BadRequest(f"Content-Digest: the value {reason}", places=[Place(AT, reason)]) from None
