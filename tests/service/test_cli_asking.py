"""What a command says of an answer, and of none."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.cli.asking import ask
from service.cli.failures import Failure

URL = "http://lazaretto/"


def test_an_answer_is_returned_and_the_key_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def answer(method: str, url: str, **rest: Any) -> httpx.Response:
        asked.update(rest, method=method, url=url)
        return httpx.Response(200, json={"state": "active"})

    monkeypatch.setattr(httpx, "request", answer)
    assert ask("PUT", URL, "/v1/x", "lzk_x", headers={"a": "b"}, timeout=2.0, json={"c": 1}) == {"state": "active"}
    assert asked == {
        "method": "PUT",
        "url": "http://lazaretto/v1/x",
        "headers": {"a": "b", "authorization": "Bearer lzk_x"},
        "timeout": 2.0,
        "json": {"c": 1},
    }


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(502, text="<html>"), f"{URL} answered 502 with something else than JSON; is it Lazaretto?"),
        (httpx.Response(200, json=[1]), f"{URL} answered 200 with something else than JSON; is it Lazaretto?"),
        (httpx.Response(409, json={"detail": "is active"}), "refused with 409: is active"),
        (
            httpx.Response(422, json={"detail": "bad", "errors": [{"at": "reason", "reason": "is empty"}]}),
            "refused with 422: bad\n  reason: is empty",
        ),
    ],
)
def test_what_is_no_answer_or_a_refusal_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, told: str
) -> None:
    monkeypatch.setattr(httpx, "request", lambda *_, **__: answer)
    with pytest.raises(Failure) as failed:
        ask("POST", URL, "/v1/x", "lzk_x", json={})
    assert str(failed.value) == told


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.InvalidURL("refused")])
def test_where_nobody_answers_the_address_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def nobody(*_: object, **__: object) -> httpx.Response:
        raise error

    monkeypatch.setattr(httpx, "request", nobody)
    with pytest.raises(Failure) as failed:
        ask("POST", URL, "/v1/x", "lzk_x", json={})
    assert str(failed.value) == f"no answer from {URL} (--url or LAZARETTO_URL): refused"


@pytest.mark.parametrize(("after", "away", "asked"), [("1", 2, 3), ("1", 9, 4), ("30", 9, 1), ("soon", 9, 1)])
def test_who_is_busy_for_a_moment_is_asked_again_and_nobody_for_ever(
    monkeypatch: pytest.MonkeyPatch, after: str, away: int, asked: int
) -> None:
    times, slept = list[str](), list[float]()

    def busy(method: str, *_: object, **__: object) -> httpx.Response:
        times.append(method)
        if len(times) > away:
            return httpx.Response(200, json={"state": "active"})
        return httpx.Response(503, json={"detail": "locked"}, headers={"retry-after": after})

    monkeypatch.setattr(httpx, "request", busy)
    monkeypatch.setattr("service.cli.asking.time.sleep", slept.append)
    if away < asked:
        assert ask("POST", URL, "/v1/x", "lzk_x", json={}) == {"state": "active"}
    else:
        with pytest.raises(Failure, match="refused with 503: locked"):
            ask("POST", URL, "/v1/x", "lzk_x", json={})
    assert len(times) == asked
    assert slept == [1] * (asked - 1)


def test_a_file_is_sent_whole_again_to_who_was_busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, sent = tmp_path / "reference.csv", list[bytes]()
    file.write_bytes(b"age\n40\n")

    def busy_once(*_: object, content: Any, **__: object) -> httpx.Response:
        sent.append(content.read())
        if len(sent) > 1:
            return httpx.Response(200, json={"rows": 1})
        return httpx.Response(503, json={"detail": "locked"}, headers={"retry-after": "1"})

    monkeypatch.setattr(httpx, "request", busy_once)
    monkeypatch.setattr("service.cli.asking.time.sleep", lambda _: None)
    with file.open("rb") as content:
        assert ask("PUT", URL, "/v1/x", "lzk_x", content=content) == {"rows": 1}
    assert sent == [b"age\n40\n"] * 2
