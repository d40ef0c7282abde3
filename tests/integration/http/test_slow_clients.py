"""Hundreds of clients that trickle or say nothing: the others do not notice, and the slow ones are shown out."""

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.integration.http.conftest import PATIENCE_SECONDS, Served, eventually, make_key, register, serving

EACH = 100
DEADLINE_SECONDS = 2
HEAD = b"POST /v1/models/slow/versions/1/events HTTP/1.1\r\nhost: lazaretto\r\n"


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose deadlines are short."""
    limits = {"header_seconds_max": str(DEADLINE_SECONDS), "body_seconds_max": str(DEADLINE_SECONDS)}
    with serving(tmp_path_factory.mktemp("hurried"), **limits) as running:
        yield running


def open_sockets(served: Served, held: ExitStack, number: int) -> list[socket.socket]:
    host, port = served.url.removeprefix("http://").split(":")
    opened = []
    for _ in range(number):
        one = held.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS))
        one.setblocking(False)
        opened.append(one)
    return opened


def trickle(slow: list[socket.socket], piece: bytes) -> None:
    for one in slow:
        try:
            one.send(piece)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            continue


def collect(slow: list[socket.socket]) -> list[bytes]:
    """Return what each was told before it was closed."""
    heard = dict.fromkeys(slow, b"")
    deadline = time.monotonic() + PATIENCE_SECONDS
    with selectors.DefaultSelector() as selector:
        for one in slow:
            selector.register(one, selectors.EVENT_READ, one)
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} are still open"
            for ready, _ in selector.select(1):
                one = ready.data
                try:
                    data = one.recv(65_536)
                except ConnectionResetError:
                    data = b""
                heard[one] += data
                if not data:
                    selector.unregister(one)
    return list(heard.values())


def refused(served: Served) -> dict[str, float]:
    lines = httpx.get(f"{served.url}/metrics").text.splitlines()
    name = 'lazaretto_connections_refused_total{reason="'
    found = (line.removeprefix(name).split('"} ') for line in lines if line.startswith(name))
    return {reason: float(value) for reason, value in found}


def test_three_hundred_slow_clients_disturb_nobody_and_are_closed(hurried: Served) -> None:
    headers = make_key(hurried.data_dir, "ingest", "read", "operate", "admin")
    with ExitStack() as held, httpx.Client(base_url=hurried.url, headers=headers, timeout=PATIENCE_SECONDS) as client:
        path = register(client, "slow")
        register(client, "closed")
        asked = {"event": "quarantine", "reason": "looks wrong to me"}
        assert client.post("/v1/models/closed/versions/1/transitions", json=asked).status_code == 200
        before = refused(hurried)

        silent = open_sockets(hurried, held, EACH)
        trickling = open_sockets(hurried, held, EACH)
        trickle(trickling, HEAD)
        bodies = open_sockets(hurried, held, EACH)
        key = headers["authorization"].encode()
        declared = b"authorization: %s\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n" % key
        trickle(bodies, HEAD + declared)

        event = {"events": [{"features": {"age": 1, "country": "DE"}}]}
        ends = time.monotonic() + 2 * DEADLINE_SECONDS
        sent = 0
        while time.monotonic() < ends:
            trickle(trickling, b"x: y\r\n")
            trickle(bodies, b" ")
            assert client.get("/v1/gate/slow/1").status_code == 200
            assert client.get("/v1/gate/closed/1").status_code == 403
            answer = client.post(f"{path}/events", json=event)
            assert answer.status_code == 202
            sent += 1
            time.sleep(0.05)

        told = collect(trickling + bodies)
        assert {answer[:12] for answer in told if answer} == {b"HTTP/1.1 408"}
        assert set(collect(silent)) == {b""}, "there is nothing to answer"
        now = refused(hurried)
        assert now["slow_head"] - before["slow_head"] == EACH
        assert now["slow_body"] - before["slow_body"] == EACH
        assert now["too_many"] == before["too_many"]
        eventually(lambda: client.get(f"{path}/status").json()["events_total"] == sent, "only whole batches count")
