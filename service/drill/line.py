"""How a drill asks Lazaretto: again for a while when nobody answers, because what it has begun it must end."""

import time
from typing import Any, cast

import httpx

CONFLICT = 409
UNAVAILABLE = 503
PATIENCE_SECONDS = 10.0
AGAIN_SECONDS = 0.1


class DrillFailed(Exception):
    """The drill could not begin, or the chain did not hold; the text says where."""


class Line:
    """One person's way to Lazaretto.

    Parameters
    ----------
    client
        With the person's key.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.patience_seconds = PATIENCE_SECONDS
        """How long a question is asked again that nobody answers."""

    def ask(self, method: str, path: str, **rest: Any) -> httpx.Response:
        """Return the answer, whatever it says, but for a service or a store that is away: then ask again.

        Raises
        ------
        DrillFailed
            When the patience is over.
        """
        ends = time.monotonic() + self.patience_seconds
        while True:
            try:
                answer = self._client.request(method, path, **rest)
            except httpx.TransportError as error:
                trouble = f"{method} {path} was not answered: {str(error) or type(error).__name__}"
            else:
                if answer.status_code != UNAVAILABLE:
                    return answer
                trouble = refusal(answer)
            if time.monotonic() >= ends:
                raise DrillFailed(trouble)
            time.sleep(AGAIN_SECONDS)

    def get(self, path: str, **rest: Any) -> dict[str, Any]:
        """Return what is there; raise DrillFailed when it is refused."""
        return read(self.ask("GET", path, **rest))

    def post(self, path: str, body: object) -> dict[str, Any]:
        """Return what came of it; raise DrillFailed when it is refused."""
        return read(self.ask("POST", path, json=body))


def read(answer: httpx.Response) -> dict[str, Any]:
    """Return the content of an answer; raise DrillFailed, with its words, when it is a refusal."""
    if not answer.is_success:
        raise DrillFailed(refusal(answer))
    return cast("dict[str, Any]", answer.json())


def refusal(answer: httpx.Response) -> str:
    """Return what was refused, and why."""
    request = answer.request
    try:
        problem = answer.json()
        places = "; ".join(f"{one['at']}: {one['reason']}" for one in problem.get("errors", ()))
        detail = f"{problem.get('detail', '')} {places}".strip()
    except (ValueError, AttributeError):
        detail = answer.text[:500]
    return f"{request.method} {request.url.path} was answered {answer.status_code}: {detail}"
