"""A signed webhook: Standard Webhooks around the payload of Alertmanager's."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

import httpx

from service.domain.notices import payload_of
from service.domain.records import Message
from service.notify.http import client, post
from service.notify.texts import fit
from service.ports import Clock

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of a secret is none
BODY_BYTES_MAX = 20_000
KEYS_MAX = 4
KEY_BYTES_MIN = 8


class WebhookChannel:
    """Posts each message, signed as Standard Webhooks says: id, timestamp and body under HMAC-SHA256.

    Parameters
    ----------
    name
        Of the channel.
    url
        Where to post.
    keys
        Each of them signs; none at all leaves the signature out.
    clock
        Dates each attempt.
    transport
        Carries the request.
    secret_url
        Whether the address must not be told.
    """

    def __init__(
        self,
        name: str,
        url: str,
        keys: Sequence[bytes],
        clock: Clock,
        *,
        transport: httpx.AsyncBaseTransport,
        secret_url: bool = False,
    ) -> None:
        self.name = name
        self._url, self._keys, self._clock, self._secret_url = url, tuple(keys), clock, secret_url
        self._http = client(transport)

    async def deliver(self, message: Message) -> None:
        """Post the message; raise ``DeliveryFailed`` when it was not taken."""
        body = fit(payload_of(message), BODY_BYTES_MAX)
        headers = self._signed(message.id, body)
        await post(self._http, self._url, body, self._clock, secret=self._secret_url, headers=headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        """Return the headers that let the receiver check who sent this, and when."""
        seconds = str(self._clock.now_us() // 1_000_000)
        headers = {"webhook-id": message_id, "webhook-timestamp": seconds}
        content = f"{message_id}.{seconds}.".encode() + body
        signatures = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in self._keys]
        if signatures:
            headers["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
        return headers


def signing_keys(text: str) -> tuple[bytes, ...]:
    """Return the keys of a secret, one a line: the base64 after ``whsec_``, or the text itself.

    Raises
    ------
    ValueError
        When a line is no key; the message does not tell the line.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > KEYS_MAX:
        raise ValueError(f"has {len(lines)} keys, at most {KEYS_MAX} are possible")
    return tuple(_key(line, number) for number, line in enumerate(lines, 1))


def _key(line: str, number: int) -> bytes:
    key = line.encode()
    if line.startswith(SECRET_PREFIX):
        try:
            key = base64.b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"key {number}: what follows '{SECRET_PREFIX}' must be base64") from None
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(f"key {number}: has fewer than {KEY_BYTES_MIN} bytes")
    return key
