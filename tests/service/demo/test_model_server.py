"""The model server: what it answers, what it reports, and what it refuses."""

import asyncio
from pathlib import Path

import httpx
import joblib
import msgspec
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from service.demo import model_server, telemetry, training
from service.demo.classifier import Classifier
from service.demo.world import CLASSES, FEATURES, SIDE, Camera, Digits, split_digits

PATH = "/v2/models/digits/versions/1/infer"
RIGHT_MIN = 0.8


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    digits = split_digits(1).training
    path = tmp_path_factory.mktemp("model") / "model.joblib"
    with pytest.MonkeyPatch.context() as fewer, threadpool_limits(1):
        fewer.setattr(training, "PICTURES_PER_IMAGE", 8)
        joblib.dump(training.train(digits, 1), path)
    return path


@pytest.fixture
def posted(trained: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    monkeypatch.setenv("MODEL_PATH", str(trained))
    monkeypatch.setenv("MONITOR_URL", "http://monitor.test")
    monkeypatch.setenv("MONITOR_KEY", "lzk_x")
    monkeypatch.setattr(telemetry, "WAIT_SECONDS", 0.0)
    bodies: list[bytes] = []

    async def post(_: httpx.AsyncClient, path: str, *, content: bytes, **__: object) -> httpx.Response:
        assert path == "/v1/models/digits/versions/1/events"
        bodies.append(content)
        return httpx.Response(202)

    monkeypatch.setattr(httpx.AsyncClient, "post", post)
    return bodies


def ask(*bodies: bytes) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(model_server.app)
        async with (
            model_server.lifespan(model_server.app),
            httpx.AsyncClient(transport=transport, base_url="http://model.test") as http,
        ):
            return [await http.request("POST", PATH, content=body) for body in bodies]

    return asyncio.run(run())


def request(pictures: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], **changes: object) -> bytes:
    tensor = {"name": "x", "shape": list(pictures.shape), "datatype": "UINT8", "data": pictures.ravel().tolist()}
    return msgspec.json.encode({"inputs": [tensor | changes]})


def test_digits_are_read_and_reported(posted: list[bytes]) -> None:
    live: Digits = split_digits(1).live
    pictures = Camera().photograph(live.images[:200], np.random.default_rng(2))
    (answer,) = ask(request(pictures))
    read = answer.json()["outputs"][0]["data"]
    truth = [CLASSES[label] for label in live.labels[:200]]
    assert np.mean([a == b for a, b in zip(read, truth, strict=True)]) > RIGHT_MIN
    columns = msgspec.json.decode(posted[0])["columns"]
    assert tuple(columns["features"]) == FEATURES
    assert columns["prediction"] == read
    assert np.allclose(np.sum([columns["probabilities"][name] for name in CLASSES], axis=0), 1.0, atol=1e-5)
    assert len(columns["latency_ms"]) == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"datatype": "FP32"}, "UINT8 of shape"),
        ({"shape": [1, 8, 8]}, "UINT8 of shape"),
        ({"shape": [0, SIDE, SIDE]}, "between 1 and"),
        ({"shape": [10**9, SIDE, SIDE]}, "between 1 and"),
        ({"data": [300] * SIDE * SIDE}, "between 0 and 255"),
        ({"data": [1, 2]}, "cannot reshape"),
        ({"data": "text"}, "Expected `array`"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(posted: list[bytes], change: dict[str, object], reason: str) -> None:
    bodies = [request(np.zeros((1, SIDE, SIDE), np.uint8), **change), b"{", b'{"inputs": []}']
    answers = ask(*bodies)
    assert [answer.status_code for answer in answers] == [422] * 3
    assert reason in answers[0].json()["error"]
    assert posted == []


def test_the_trained_classifier_survives_being_written_down(trained: Path) -> None:
    pictures = Camera().photograph(split_digits(1).live.images[:5], np.random.default_rng(2))
    loaded: Classifier = joblib.load(trained)
    probabilities = loaded.probabilities(pictures)
    assert probabilities.shape == (5, 10)
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
