"""The ways to tell people: the log, always, and a signed webhook."""

import base64
import binascii
import hashlib
import hmac
import logging

import httpx
import msgspec

from service.domain.records import Message
from service.notify.compose import LOG, WEBHOOK
from service.ports import Clock, DeliveryFailed

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of a secret is none
TIMEOUT_SECONDS = 15.0
TRY_AGAIN = frozenset({408, 425, 429})
"""Refusals that are about the moment, not about the message."""
SERVER_ERROR = 500

_logger = logging.getLogger("lazaretto.notify")


class LogChannel:
    """Writes each message as one structured log line."""

    name = LOG

    async def deliver(self, message: Message) -> None:
        """Log the message."""
        extra = {"message_id": message.id, "kind": message.kind, "payload": msgspec.json.decode(message.payload)}
        _logger.info("notification", extra=extra)


class WebhookChannel:
    """Posts each message, signed as Standard Webhooks says: id, timestamp and body under HMAC-SHA256."""

    name = WEBHOOK

    def __init__(
        self, url: str, secret: str | None, clock: Clock, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = url
        self._key = None if secret is None else _key(secret)
        self._clock = clock
        # No redirects and no proxy from the environment: the message goes where the operator said, or nowhere.
        self._client = httpx.AsyncClient(
            timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False, transport=transport
        )

    async def deliver(self, message: Message) -> None:
        """Post the message.

        Raises
        ------
        DeliveryFailed
            When the receiver cannot be reached or does not answer 2xx.
        """
        body = message.payload.encode()
        headers = {"content-type": "application/json", **self._signed(message.id, body)}
        try:
            async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error}", recoverable=True) from error
        if not httpx.codes.is_success(status):
            recoverable = status >= SERVER_ERROR or status in TRY_AGAIN
            raise DeliveryFailed(f"the receiver answered {status}", recoverable=recoverable)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        """Return the headers that let the receiver check who sent this, and when."""
        seconds = str(self._clock.now_us() // 1_000_000)
        headers = {"webhook-id": message_id, "webhook-timestamp": seconds}
        if self._key is not None:
            signed = hmac.digest(self._key, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256)
            headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
        return headers


def _key(secret: str) -> bytes:
    """Return the signing key: the base64 after ``whsec_``, or the text itself."""
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"webhook_secret: what follows '{SECRET_PREFIX}' must be base64") from error
