"""What requests are measured with: its bytes, and a real attack on a real table."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.errors import BaselineError
from detectors.requests import Kind
from redteam.attacks import ATTACKS
from redteam.attacks.sessions import session_of
from redteam.victims import Victim, cancer, cut
from service.detect.reference import compile_reference
from service.detect.references import from_bytes, to_bytes
from service.detect.request_bytes import from_bytes as measure_from_bytes
from service.detect.request_bytes import to_bytes as measure_to_bytes
from service.domain.requests import Requests
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.frames import Frame
from tests.service.odd import frame, reference


def test_a_measure_survives_its_bytes_bit_for_bit() -> None:
    references = from_bytes(reference().artefact)
    assert references.requests is not None
    assert to_bytes(references) == reference().artefact
    content = measure_to_bytes(references.requests)
    again = measure_from_bytes(content)
    assert measure_to_bytes(again) == content
    one = frame(100, 9)
    for made in (references.requests, again):
        assert made.judged(one) is not None
    first, second = (made.judged(one) for made in (references.requests, again))
    assert first is not None
    assert second is not None
    assert first[1].bets.tobytes() == second[1].bets.tobytes()


def test_bytes_that_are_no_measure_are_refused() -> None:
    content = measure_to_bytes(from_bytes(reference().artefact).requests)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for damaged in (b"", b"\x00", content[:-5], content[: len(content) // 2], content + b"x"):
        with pytest.raises(BaselineError, match="not a measure of requests"):
            measure_from_bytes(damaged)
    for _ in range(200):
        damaged_bytes = bytearray(content)
        damaged_bytes[int(rng.integers(min(4_000, len(content))))] ^= 1 << int(rng.integers(8))
        try:
            measure_from_bytes(bytes(damaged_bytes))
        except BaselineError:
            continue


@cache
def victim() -> Victim:
    return cancer()


@cache
def tabular() -> tuple[Schema, Any]:
    """Return the schema of the breast-cancer table, and what makes frames of the victim's inputs in their own units."""
    from sklearn.datasets import load_breast_cancer

    held = load_breast_cancer()
    names = tuple(str(name).replace(" ", "_") for name in held.feature_names)
    (fit, _), *_ = cut((held.data, held.target.astype(np.int64)), (200, 130, 120), 0)
    low, middle, high = np.quantile(fit, [0.25, 0.5, 0.75], axis=0)
    schema = Schema(
        features=tuple(Feature(name=name, kind=FeatureKind.NUMERIC) for name in names),
        prediction=Prediction(kind=PredictionKind.CLASS, classes=("0", "1")),
    )

    def framed(inputs: NDArray[np.float64]) -> Frame:
        shares = victim().predict(inputs)
        fields = {name: getattr(frame(len(inputs), 0), name) for name in Frame.__dataclass_fields__}
        numbers = np.concatenate([(inputs * (high - low) + middle).T, shares.T])
        return Frame(
            **(
                fields
                | {"numeric_names": (*names, "probabilities.0", "probabilities.1"), "numeric": numbers}
                | {"categorical_names": (), "categorical": ()}
            )
        )

    return schema, framed


def test_low_pro_fool_on_a_real_table_is_told_by_its_decimals() -> None:
    """One request each, and no story: 15 sources, fixed seeds. Of ordinary requests a tenth has such a score."""
    schema, framed = tabular()
    attacked = victim()
    inputs = np.concatenate([attacked.fit[0], attacked.reference[0], attacked.calibration[0]])
    compiled = compile_reference(schema, framed(inputs), requests=Requests())
    measure = from_bytes(compiled.artefact).requests
    assert measure is not None
    found = []
    for source in range(15):
        session = session_of(ATTACKS["lowprofool"], attacked, attacked.confirmation, source, 3, 400)
        flipped = session.probabilities.argmax(axis=1) != attacked.confirmation[1][source]
        found += [session.inputs[np.flatnonzero(flipped)[-1]]] if flipped.any() else []
    assert len(found) >= 10
    judged = measure.judged(framed(np.array(found)))
    ordinary = measure.judged(framed(attacked.confirmation[0]))
    assert judged is not None
    assert ordinary is not None
    assert (judged[1].scores >= 0.9).mean() >= 0.9
    assert (ordinary[1].scores >= 0.9).mean() <= 0.2
    orders = [one.name for one in measure.model.rules.constraints if one.kind is Kind.ORDER]
    assert "mean_radius <= worst_radius" in orders
