"""A model server with monitoring, in a process and on a port of its own.

It answers inference requests in the Open Inference Protocol (v2) and posts telemetry of what it saw and answered in
the background. It knows nothing of quarantine: that is asked at the gate, before a request gets here.

Settings come from the environment: ``MODEL_PATH``, ``MODEL_NAME``, ``MODEL_VERSION``, ``MONITOR_URL``, ``MONITOR_KEY``.
"""

import argparse
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import joblib
import msgspec
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response

from service.demo.classifier import Classifier
from service.demo.telemetry import Events, TelemetryClient
from service.demo.world import CLASSES, FEATURES, SIDE, Pictures, measure

MODEL_NAME = os.environ.get("MODEL_NAME", "digits")
MODEL_VERSION = os.environ.get("MODEL_VERSION", "1")
PICTURES_MAX = 4_096
UNPROCESSABLE = 422


class Tensor(msgspec.Struct):
    """One tensor of the protocol, flat."""

    name: str
    shape: list[int]
    datatype: str
    data: list[int]


class InferenceRequest(msgspec.Struct):
    """``POST /v2/models/{model}/versions/{version}/infer``."""

    inputs: list[Tensor]


_decode = msgspec.json.Decoder(InferenceRequest).decode


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the model and keep the telemetry client running while the server runs."""
    app.state.classifier = joblib.load(os.environ["MODEL_PATH"])
    headers = {"authorization": f"Bearer {os.environ['MONITOR_KEY']}"}
    path = f"/v1/models/{MODEL_NAME}/versions/{MODEL_VERSION}/events"
    async with (
        httpx.AsyncClient(base_url=os.environ["MONITOR_URL"], headers=headers) as http,
        TelemetryClient(http, path) as telemetry,
    ):
        app.state.telemetry = telemetry
        yield


app = FastAPI(title="digits", lifespan=lifespan)


@app.get("/v2/health/ready")
def ready() -> Response:
    """Say that the model is loaded."""
    return Response()


@app.get("/telemetry")
def telemetry_figures(request: Request) -> dict[str, int]:
    """Say what became of the telemetry."""
    client: TelemetryClient = request.app.state.telemetry
    return {name: getattr(client.sent, name) for name in ("acknowledged", "refused", "dropped", "waiting")}


@app.post(f"/v2/models/{MODEL_NAME}/versions/{MODEL_VERSION}/infer")
async def infer(request: Request) -> Response:
    """Read pictures, answer with digits, and report both."""
    try:
        pictures = _pictures(_decode(await request.body()))
    except (msgspec.DecodeError, ValueError) as error:
        body = msgspec.json.encode({"error": str(error)})
        return Response(body, status_code=UNPROCESSABLE, media_type="application/json")
    started = time.perf_counter()
    classifier: Classifier = request.app.state.classifier
    probabilities = classifier.probabilities(pictures)
    answers = [CLASSES[place] for place in probabilities.argmax(axis=1).tolist()]
    latency_ms = (time.perf_counter() - started) * 1_000.0
    features = measure(pictures)
    request.app.state.telemetry.record(
        Events(
            rows=len(pictures),
            features={name: features[:, place].tolist() for place, name in enumerate(FEATURES)},
            prediction=answers,
            probabilities={name: probabilities[:, place].tolist() for place, name in enumerate(CLASSES)},
            latency_ms=[latency_ms] * len(pictures),
        )
    )
    output = {"name": "digit", "shape": [len(answers)], "datatype": "BYTES", "data": answers}
    body = msgspec.json.encode({"model_name": MODEL_NAME, "model_version": MODEL_VERSION, "outputs": [output]})
    return Response(body, media_type="application/json")


def _pictures(request: InferenceRequest) -> Pictures:
    if len(request.inputs) != 1:
        raise ValueError(f"inputs: one tensor is expected, not {len(request.inputs)}")
    tensor = request.inputs[0]
    if tensor.datatype != "UINT8" or len(tensor.shape) != 3 or tensor.shape[1:] != [SIDE, SIDE]:  # noqa: PLR2004 - a stack of pictures has three dimensions
        raise ValueError(f"inputs[0]: UINT8 of shape [n, {SIDE}, {SIDE}] is expected")
    if not 1 <= tensor.shape[0] <= PICTURES_MAX:
        raise ValueError(f"inputs[0].shape[0]: between 1 and {PICTURES_MAX} pictures, not {tensor.shape[0]}")
    values = np.asarray(tensor.data, dtype=np.int64)
    if len(values) and (values.min() < 0 or values.max() > np.iinfo(np.uint8).max):
        raise ValueError("inputs[0].data: every value must be between 0 and 255")
    return values.astype(np.uint8).reshape(tensor.shape)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="Serve the demo's classifier.")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    if not Path(os.environ["MODEL_PATH"]).is_file():
        parser.error(f"MODEL_PATH: no file at {os.environ['MODEL_PATH']}")
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
