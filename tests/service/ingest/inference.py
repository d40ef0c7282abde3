"""Schemas, attributes and payloads that the tests of inference events share."""

import json
from typing import Any

from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.ingest.cloudevents import HalfKind, InferenceEvent
from service.ingest.halves import frame_of
from tests.service.ingest.support import LIMITS

IRIS = Schema(
    features=tuple(Feature(name=name, kind=FeatureKind.NUMERIC) for name in ("sl", "sw", "pl", "pw")),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("setosa", "versicolor", "virginica")),
)
MIXED = Schema(
    features=(Feature(name="age", kind=FeatureKind.NUMERIC), Feature(name="country", kind=FeatureKind.CATEGORICAL)),
    prediction=Prediction(kind=PredictionKind.NUMBER),
)
IMAGE = Schema(
    features=(Feature(name="image", kind=FeatureKind.EMBEDDING, dimension=4),),
    prediction=Prediction(kind=PredictionKind.CLASS),
)
ATTRIBUTES = {
    "specversion": "1.0",
    "type": "org.kubeflow.serving.inference.request",
    "source": "http://localhost:9081/",
    "id": "0009174a",
    "time": "2021-04-10T00:23:26.0789529Z",
    "inferenceservicename": "sklearn-iris",
    "endpoint": "",
}
BODY = b'{"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]}'


def headers(**changes: str) -> dict[str, str]:
    """Write the attributes as headers of the binary mode."""
    return {"Content-Type": "application/json"} | {
        f"Ce-{name.title()}": v for name, v in (ATTRIBUTES | changes).items()
    }


def frame(payload: bytes | object, schema: Schema = IRIS, kind: str = "request", json_bytes: int | None = None) -> Any:
    """Return the frame of a payload."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    event = InferenceEvent(
        model="m", version=None, kind=HalfKind(kind), id="i", source="s", time=None, payload=body, json_bytes=json_bytes
    )
    return frame_of(event, schema, LIMITS)
