"""One POST to a receiver, with the difference between now and never."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from service.notify.texts import one_line
from service.ports import Clock
from service.ports_notify import DeliveryFailed

TIMEOUT_SECONDS = 15.0
TRY_AGAIN = frozenset({408, 425, 429})
"""Refusals that are about the moment, not about the message."""
CHANNEL_FAULTS = frozenset({401, 402, 403, 404, 405, 410})
"""Refusals that every other message would get as well: a key that is void, an address that is gone. Somebody may mend
that, and then nothing shall be lost."""
SERVER_ERROR = 500
ANSWER_BYTES_MAX = 4_096
"""Read of an answer, and no more."""
DETAIL_MAX = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said."""

    status: int
    text: str


def client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """Return a client that goes where it is told, or nowhere: no redirects, no proxy, nothing from the environment."""
    return httpx.AsyncClient(
        timeout=TIMEOUT_SECONDS,
        follow_redirects=False,
        trust_env=False,
        transport=transport,
        headers={"user-agent": "lazaretto", "accept-encoding": "identity"},
    )


async def post(
    http: httpx.AsyncClient,
    url: str,
    body: bytes,
    clock: Clock,
    *,
    secret: bool,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Post JSON and return the answer of a receiver that took it.

    Parameters
    ----------
    http
        From ``client``.
    url
        Where to.
    body
        JSON.
    clock
        For answers that name a time to come back.
    secret
        Whether the address is a secret: then errors do not tell it.
    headers
        More of them.

    Raises
    ------
    DeliveryFailed
        When the receiver cannot be reached or does not answer 2xx.
    """
    sent = {"content-type": "application/json", **(headers or {})}
    try:
        async with http.stream("POST", url, content=body, headers=sent) as response:
            text = await _beginning(response)
            status, later = response.status_code, response.headers.get("retry-after")
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        said = type(error).__name__ if secret else f"{type(error).__name__}: {error}"
        raise DeliveryFailed(one_line(said, DETAIL_MAX), recoverable=True) from (None if secret else error)
    if httpx.codes.is_success(status):
        return Answer(status, text)
    recoverable = status >= SERVER_ERROR or status in TRY_AGAIN | CHANNEL_FAULTS or httpx.codes.is_redirect(status)
    # Many a receiver repeats the path, and of a secret address that is the secret.
    said = "" if secret else one_line(text.replace(url, "..."), DETAIL_MAX)
    raise DeliveryFailed(
        f"the receiver answered {status}" + (f": {said}" if said else ""),
        recoverable=recoverable,
        retry_after_seconds=_seconds(later, clock),
    )


async def _beginning(response: httpx.Response) -> str:
    """Read the beginning of an answer; however long it is, no more is taken."""
    content = b""
    async for chunk in response.aiter_raw(ANSWER_BYTES_MAX):
        content += chunk
        if len(content) >= ANSWER_BYTES_MAX:
            break
    return content[:ANSWER_BYTES_MAX].decode(errors="replace")


def _seconds(text: str | None, clock: Clock) -> float | None:
    """Read ``Retry-After``: seconds, or a date."""
    if text is None or len(text) > DETAIL_MAX:
        return None
    if text.strip().isdigit():
        return float(text.strip())
    try:
        at = parsedate_to_datetime(text)
        return max(0.0, at.timestamp() - clock.now_us() / 1e6)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
