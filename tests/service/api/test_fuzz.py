"""Hostile requests: never a traceback, never a 500, and from the gate only 200 or 403."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.api.asgi import Message
from tests.service.api.conftest import World

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["events", "columns", "features", "age", "labels", "event_id", "name"]), inner
        )
    ),
    max_leaves=10,
)
BODIES = st.one_of(st.binary(max_size=300), JSON.map(msgspec.json.encode))
TYPES = st.sampled_from(
    ["application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream", "text/csv", "", "a/b; c=\xff"]
)
ENCODINGS = st.sampled_from([None, None, "gzip", "zstd", "identity", "br", ""])
ENDS = ["events", "labels", "transitions", "baseline", "status", "history"]
FAST = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def ready(world: World) -> tuple[World, dict[str, str]]:
    world.model("fuzz")
    return world, world.everything


async def ask(app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[int, bytes]:
    """Ask without a client in between that would refuse or mend what is hostile."""
    sent: list[Message] = []
    pending = [{"type": "http.request", "body": body, "more_body": False}]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "state": {},
    }

    async def receive() -> Message:
        return pending.pop() if pending else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def asked(world: World, *question: Any) -> tuple[int, bytes]:
    answer: tuple[int, bytes] = world.client.portal.call(ask, world.app, *question)
    return answer


@FAST
@given(body=BODIES, kind=TYPES, encoding=ENCODINGS, end=st.sampled_from(ENDS))
def test_no_body_makes_a_500(ready: Any, body: bytes, kind: str, encoding: str | None, end: str) -> None:
    world, key = ready
    headers = [(b"authorization", key["authorization"].encode()), (b"content-type", kind.encode("latin-1"))]
    if encoding is not None:
        headers.append((b"content-encoding", encoding.encode()))
    status, text = asked(world, "POST", f"/v1/models/fuzz/versions/1/{end}", headers, body)
    assert status < 500, text
    assert b"Traceback" not in text


NAMES = st.sampled_from(
    [b"authorization", b"x-api-key", b"content-length", b"content-type", b"idempotency-key", b"x-request-id", b"range"]
)


@FAST
@given(
    path=st.one_of(
        st.text(max_size=40).map(lambda text: "/" + text),
        st.sampled_from(
            ["/v1/models/fuzz/versions/1/events", "/v1/models//versions//events", "/v1/models/a/b/c/events"]
        ),
    ),
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "TRACE", "X"]),
    headers=st.lists(st.tuples(NAMES, st.binary(max_size=60)), max_size=4),
)
@example(path="/v1/models/\ud800", method="GET", headers=[])
@example(path="/\udfff", method="POST", headers=[])
def test_no_path_or_header_makes_a_500(ready: Any, path: str, method: str, headers: list[tuple[bytes, bytes]]) -> None:
    world, _ = ready
    status, text = asked(world, method, path, headers, b"{}")
    assert status < 500, text
    assert b"Traceback" not in text


@FAST
@given(
    tail=st.one_of(st.text(max_size=60), st.sampled_from(["", "/fuzz/1", "/v2/models/fuzz/infer", "/fuzz/\r\nx: y"])),
    method=st.sampled_from(["GET", "POST", "OPTIONS", "X"]),
    headers=st.lists(
        st.tuples(st.sampled_from([b"x-forwarded-uri", b"x-original-uri", b"x-request-id"]), st.binary(max_size=80)),
        max_size=4,
    ),
)
def test_the_gate_answers_200_or_403_whatever_it_is_asked(
    ready: Any, tail: str, method: str, headers: list[tuple[bytes, bytes]]
) -> None:
    world, _ = ready
    path = "/v1/gate/" + tail
    status, _ = asked(world, method, path, headers, b"")
    assert status in {200, 403}
