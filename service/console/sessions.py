"""Sessions without a table: a signed, expiring token that names a key, never holds it.

The cookie holds ``kind.subject.expires.nonce.signature``. Forms carry a token derived from the cookie, so that a
page of another origin, which cannot read the cookie, cannot make one up.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from service.domain.ids import Micros

SESSION_SECONDS = 8 * 3_600
FORM_SECONDS = 3_600
TOKEN_LENGTH_MAX = 256
"""Longer cookies are not looked at."""
_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Session:
    """Whose browser this is."""

    key_id: str
    token: str
    """As the cookie holds it."""


class Signer:
    """Makes and checks the tokens.

    Parameters
    ----------
    key
        At least 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < hashlib.sha256().digest_size:
            raise ValueError(f"the session key must have at least 32 bytes, not {len(key)}")
        self._key = hmac.digest(key, b"lazaretto console", "sha256")

    def session(self, key_id: str, now_us: Micros) -> str:
        """Return a session token for a key."""
        return self._token("s", key_id, now_us, SESSION_SECONDS)

    def read_session(self, token: str | None, now_us: Micros) -> Session | None:
        """Return the session, or ``None`` when the token is absent, forged or expired."""
        subject = self._read("s", token, now_us)
        return Session(subject, token) if subject is not None and token is not None else None

    def visitor(self, now_us: Micros) -> str:
        """Return a token for a browser that has not logged in yet, so that the login form has something to bind to."""
        return self._token("v", "-", now_us, FORM_SECONDS)

    def is_visitor(self, token: str | None, now_us: Micros) -> bool:
        """Tell whether the token is one of ``visitor`` that has not expired."""
        return self._read("v", token, now_us) is not None

    def form_token(self, token: str) -> str:
        """Return what each form on the pages of this cookie carries."""
        return self._sign(f"form:{token}")

    def form_matches(self, token: str, form_token: str) -> bool:
        """Tell whether a form belongs to this cookie."""
        return hmac.compare_digest(self.form_token(token).encode(), form_token.encode())

    def _token(self, kind: str, subject: str, now_us: Micros, seconds: int) -> str:
        expires = now_us // 1_000_000 + seconds
        body = f"{kind}.{subject}.{expires}.{secrets.token_urlsafe(12)}"
        return f"{body}.{self._sign(body)}"

    def _read(self, kind: str, token: str | None, now_us: Micros) -> str | None:
        if token is None or len(token) > TOKEN_LENGTH_MAX or token.count(".") != _FIELDS - 1:
            return None
        body, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._sign(body).encode(), signature.encode()):
            return None
        found, subject, expires, _ = body.split(".")
        return subject if found == kind and now_us // 1_000_000 < int(expires) else None

    def _sign(self, text: str) -> str:
        digest = hmac.digest(self._key, text.encode(), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
