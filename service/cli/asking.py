"""How a command asks a running service, with a key, and says why nothing came of it."""

from collections.abc import Mapping
from typing import Any

import msgspec

URL = "http://127.0.0.1:8080"
TIMEOUT_SECONDS = 30.0


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
        ``json`` or ``content``, as httpx takes it.

    Raises
    ------
    Failure
        When nobody answers, or something else than the service, or it refuses: in its own words.
    """
    import httpx

    from service.cli.failures import Failure

    sent = {**(headers or {}), "authorization": f"Bearer {key}"}
    try:
        answer = httpx.request(method, url.rstrip("/") + path, headers=sent, timeout=timeout, **content)
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
