"""How a command asks a running service, with a key, and says why nothing came of it."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import httpx

URL = "http://127.0.0.1:8080"
TIMEOUT_SECONDS = 30.0
UNAVAILABLE = 503
AGAIN_SECONDS_MAX = 5
"""Whoever says that it takes longer is not asked again."""
TIMES = 4
"""How often a question is asked while the service says that nothing was done and that it takes a moment."""


def ask(
    method: str,
    url: str,
    path: str,
    key: str,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_SECONDS,
    **content: Any,
) -> dict[str, Any]:
    """Return the answer.

    Parameters
    ----------
    method, url, path
        ``url`` is the one that the person gave.
    key
        The person's.
    headers
        Beside the key.
    timeout
        Seconds.
    content
        ``json`` or ``content``, as httpx takes it; of a file it is read from the beginning each time it is sent.

    Raises
    ------
    Failure
        When nobody answers, or something else than the service, or it refuses: in its own words.
    """
    import httpx

    from service.cli.failures import Failure

    sent = {**(headers or {}), "authorization": f"Bearer {key}"}

    def send() -> httpx.Response:
        rewind = getattr(content.get("content"), "seek", None)
        if rewind is not None:
            rewind(0)
        return httpx.request(method, url.rstrip("/") + path, headers=sent, timeout=timeout, **content)

    try:
        answer = _answered(send)
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise Failure(f"no answer from {url} (--url or LAZARETTO_URL): {str(error) or type(error).__name__}") from error
    try:
        told = msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        said = f"{url} answered {answer.status_code} with something else than JSON; is it Lazaretto?"
        raise Failure(said) from error
    if not answer.is_success:
        places = "".join(f"\n  {place['at']}: {place['reason']}" for place in told.get("errors", []))
        raise Failure(f"refused with {answer.status_code}: {told.get('detail')}{places}")
    return told


def _answered(send: Callable[[], "httpx.Response"]) -> "httpx.Response":
    """Return the answer, but for a service that is busy for a moment: then ask again."""
    for _ in range(TIMES - 1):
        answer = send()
        seconds = _again(answer)
        if seconds is None:
            return answer
        time.sleep(seconds)
    return send()


def _again(answer: "httpx.Response") -> int | None:
    """Return after how many seconds to ask again; ``None`` for an answer that counts."""
    after = answer.headers.get("retry-after", "")
    if answer.status_code != UNAVAILABLE or not (after.isascii() and after.isdigit()):
        return None
    return int(after) if int(after) <= AGAIN_SECONDS_MAX else None
