"""The caller's side: a gateway that asks the gate before each request, and sends it on only when allowed."""

from dataclasses import dataclass

import httpx
import msgspec

from service.demo.world import SIDE, Pictures

GATE_TIMEOUT_SECONDS = 0.5
MODEL_TIMEOUT_SECONDS = 10.0
ALLOWED, DENIED = 200, 403


class _Output(msgspec.Struct):
    data: list[str]


class _Answer(msgspec.Struct):
    outputs: list[_Output]


_decode = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True, slots=True)
class Passed:
    """What the gate said, and the model's answers when the request was let through."""

    gate_status: int
    gate_state: str
    digits: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Asks the gate with the same path that it would send to the model server."""

    gate: httpx.AsyncClient
    """With the monitor's address and a key in its headers."""
    model_server: httpx.AsyncClient
    path: str
    """``/v2/models/{model}/versions/{version}/infer``."""

    async def ask(self) -> httpx.Response:
        """Ask the gate; 200 allows and 403 denies, and nothing else is ever answered."""
        return await self.gate.post(f"/v1/gate{self.path}", timeout=GATE_TIMEOUT_SECONDS)

    async def predict(self, pictures: Pictures) -> Passed:
        """Ask the gate, then the model.

        When the gate does not answer in time, the request is let through: this gateway fails open, which is the
        default of a model's policy too.
        """
        try:
            verdict = await self.ask()
        except httpx.TransportError:
            status, state = ALLOWED, "unknown"
        else:
            status, state = verdict.status_code, verdict.headers.get("x-gate-state", "")
        if status == DENIED:
            return Passed(status, state, [])
        tensor = {"name": "picture", "shape": [len(pictures), SIDE, SIDE], "datatype": "UINT8"}
        body = msgspec.json.encode({"inputs": [tensor | {"data": pictures.ravel().tolist()}]})
        headers = {"content-type": "application/json"}
        answer = await self.model_server.post(self.path, content=body, headers=headers, timeout=MODEL_TIMEOUT_SECONDS)
        answer.raise_for_status()
        return Passed(status, state, _decode(answer.content).outputs[0].data)
