"""The gateway asks first, and fails open."""

import asyncio

import httpx
import numpy as np
import pytest

from service.demo.gateway import Gateway, Passed

PATH = "/v2/models/digits/versions/1/infer"
PICTURES = np.arange(2 * 256, dtype=np.uint32).astype(np.uint8).reshape(2, 16, 16)


class Servers:
    """A gate and a model server."""

    def __init__(self, gate: int | type[httpx.TransportError]) -> None:
        self.gate = gate
        self.seen: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request.url.path)
        if request.url.path.startswith("/v1/gate"):
            if isinstance(self.gate, int):
                return httpx.Response(self.gate, headers={"x-gate-state": "told"})
            raise self.gate("told to")
        assert b'"shape":[2,16,16]' in request.content
        return httpx.Response(200, json={"outputs": [{"data": ["3", "4"]}]})

    def predict(self) -> Passed:
        async def run() -> Passed:
            transport = httpx.MockTransport(self.answer)
            async with httpx.AsyncClient(transport=transport, base_url="http://demo.test") as http:
                return await Gateway(gate=http, model_server=http, path=PATH).predict(PICTURES)

        return asyncio.run(run())


def test_an_allowed_request_reaches_the_model() -> None:
    servers = Servers(200)
    assert servers.predict() == Passed(200, "told", ["3", "4"])
    assert servers.seen == [f"/v1/gate{PATH}", PATH]


def test_a_denied_request_never_reaches_the_model() -> None:
    servers = Servers(403)
    assert servers.predict() == Passed(403, "told", [])
    assert servers.seen == [f"/v1/gate{PATH}"]


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout])
def test_a_gate_that_does_not_answer_lets_the_request_through(failure: type[httpx.TransportError]) -> None:
    assert Servers(failure).predict() == Passed(200, "unknown", ["3", "4"])
