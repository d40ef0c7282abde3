"""Bodies that are refused leave nothing behind in memory."""

import gzip
from functools import cache

import httpx
import psutil
import pytest
import zstandard

from tests.integration.http.conftest import Served, register

GROWTH_BYTES_MAX = 64 * 1024 * 1024
"""Far less than the 20 to 1,500 MB that any of the bodies would leave behind, were it kept or inflated even once."""
ROUNDS = 8
REFUSED = {400, 413, 422}


@cache
def bombs() -> dict[str, tuple[bytes, dict[str, str]]]:
    zeros = b"0" * (256 * 1024 * 1024)
    deep = b'{"events": ' + b"[" * 2_000_000
    return {
        "gzip": (gzip.compress(zeros, 1), {"content-encoding": "gzip"}),
        "zstd": (zstandard.compress(zeros), {"content-encoding": "zstd"}),
        "large": (b" " * (17 * 1024 * 1024), {}),
        "deep": (deep, {}),
        "many": (b'{"events": [' + b"{}," * 200_000 + b"{}]}", {}),
    }


@pytest.mark.parametrize("target", ["events", "labels", "cloudevents"])
def test_refused_bodies_leave_memory_as_it_was(served: Served, client: httpx.Client, target: str) -> None:
    model = f"bombed-{target}"
    path = f"{register(client, model)}/{target}" if target != "cloudevents" else "/v1/ingest/cloudevents"
    kind = "application/cloudevents+json" if target == "cloudevents" else "application/json"
    process = psutil.Process(served.process.pid)
    for name, (body, encoding) in bombs().items():
        headers = {"content-type": kind, **encoding}
        for _ in range(2):  # the allocator's own buffers and the threads come first
            assert status_of(client, path, body, headers) in REFUSED, name
        before = process.memory_info().rss
        for _ in range(ROUNDS):
            assert status_of(client, path, body, headers) in REFUSED, name
        grown = process.memory_info().rss - before
        assert grown < GROWTH_BYTES_MAX, f"{name}: {grown / 1e6:.0f} MB more"
    assert client.get("/v1/gate/nobody/1").status_code == 200


def status_of(client: httpx.Client, path: str, body: bytes, headers: dict[str, str]) -> int:
    """Post, and return the status; a body that is over the limit may be cut off while it is sent."""
    try:
        return client.post(path, content=body, headers=headers).status_code
    except (httpx.WriteError, httpx.RemoteProtocolError):
        return httpx.codes.REQUEST_ENTITY_TOO_LARGE
