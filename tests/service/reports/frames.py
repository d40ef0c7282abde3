"""Frames as the log holds them, for tests of reports."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.domain.schema import Classification, Feature, FeatureKind, Prediction, PredictionKind, Schema, Treatment
from service.frames import Coded, Frame

AGE = Feature(name="age", kind=FeatureKind.NUMERIC)
PLAN = Feature(name="plan", kind=FeatureKind.CATEGORICAL)
FRAUD = Prediction(kind=PredictionKind.CLASS, classes=("fraud", "ok"))
SCHEMA = Schema(features=(AGE, PLAN), prediction=FRAUD)
PRIVATE = Schema(
    features=(
        AGE,
        PLAN,
        Feature(name="income", kind=FeatureKind.NUMERIC, classification=Classification.CONFIDENTIAL),
        Feature(name="health", kind=FeatureKind.CATEGORICAL, classification=Classification.RESTRICTED),
        Feature(name="comment", kind=FeatureKind.CATEGORICAL, treatment=Treatment.DROP),
        Feature(name="face", kind=FeatureKind.EMBEDDING, dimension=2),
    ),
    prediction=FRAUD,
)


def coded(labels: Sequence[str | None]) -> Coded:
    names = tuple(dict.fromkeys(label for label in labels if label is not None))
    place = {name: i for i, name in enumerate(names)}
    return Coded(names, np.array([-1 if label is None else place[label] for label in labels], np.int32))


def frame_of(numeric: dict[str, Any], categorical: dict[str, Sequence[str | None]], **rest: Any) -> Frame:
    """Return a frame of some columns, and of nothing else unless it is given."""
    columns = [np.asarray(values, np.float64) for values in numeric.values()]
    rows = len(next(iter([*columns, *categorical.values()])))
    plain: dict[str, Any] = {
        "embeddings": {}, "principals": None, "event_ids": None, "timestamps_us": None, "segments": {},
        "attributions": {}, "fingerprints": b"",
    }  # fmt: skip
    return Frame(
        rows=rows,
        numeric_names=tuple(numeric),
        numeric=np.stack(columns) if columns else np.zeros((0, rows)),
        categorical_names=tuple(categorical),
        categorical=tuple(coded(labels) for labels in categorical.values()),
        **(plain | rest),
    )


def traffic(seed: int, rows: int, shift: float = 0.0) -> Frame:
    """Return events of ``SCHEMA``: ages, plans and answers."""
    rng = np.random.default_rng(seed)
    return frame_of(
        {"age": rng.normal(40 + 10 * shift, 8, rows)},
        {
            "plan": rng.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1]).tolist(),
            "prediction": rng.choice(["fraud", "ok"], rows, p=[0.1, 0.9]).tolist(),
        },
    )
