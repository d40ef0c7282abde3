"""Which values of a batch are counted under which name."""

import gc
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from detectors.columns import Codes, ColumnGroup
from service.detect.columns import columns_of, group_of, names_of
from service.detect.reference import compile_reference
from service.detect.references import from_bytes
from service.frames import Coded, Frame, decode_columns, encode_frame
from tests.service.worker.world import SCHEMA, make_frame


def of_classes(probabilities: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Frame:
    """Return a frame with nothing but class probabilities, shape (events, classes)."""
    events, classes = probabilities.shape
    return Frame(
        rows=events,
        numeric_names=tuple(f"probabilities.{i:03d}" for i in range(classes)),
        numeric=np.ascontiguousarray(probabilities.T),
        categorical_names=(),
        categorical=(),
        embeddings={},
        principals=None,
        event_ids=None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )


@pytest.mark.parametrize("classes", [2, 3, 7, 8, 9, 10, 17, 130])
def test_the_scores_of_an_event_have_the_same_bits_in_every_batch(classes: int) -> None:
    rng = np.random.default_rng(classes)
    probabilities = rng.dirichlet(np.ones(classes), 200)
    frame = of_classes(probabilities)
    wanted = names_of(SCHEMA, frame)
    whole = columns_of(frame, wanted)
    for size in (1, 2, 3, 67):
        parts = [columns_of(of_classes(probabilities[i : i + size]), wanted) for i in range(0, 200, size)]
        for score in ("score.margin", "score.entropy"):
            assert np.array_equal(np.concatenate([np.asarray(part[score]) for part in parts]), np.asarray(whole[score]))


def test_columns_come_as_declared_then_the_answer_latency_and_scores() -> None:
    assert names_of(SCHEMA, make_frame(0, 3)) == (
        "age",
        "income",
        "country",
        "score.norm.face",
        "prediction",
        "probabilities.fraud",
        "probabilities.ok",
        "latency_ms",
        "score.margin",
        "score.entropy",
    )


def test_what_a_batch_did_not_send_is_not_a_column() -> None:
    lean = make_frame(0, 3, extras=False)
    assert names_of(SCHEMA, lean) == ("age", "income", "country", "score.norm.face")
    assert set(columns_of(lean, names_of(SCHEMA, make_frame(0, 3)))) == {"age", "income", "country", "score.norm.face"}


def test_fitted_scores_are_made_of_all_their_inputs_or_not_at_all() -> None:
    baseline = from_bytes(compile_reference(SCHEMA, make_frame(0, 600)).artefact).whole
    frame = make_frame(1, 40)
    whole = columns_of(frame, baseline.names, baseline.spaces)
    assert set(whole) == {*baseline.names, "score.pairs parts", "score.direction.face parts"}
    assert {"score.mahalanobis", "score.typicality.face"} <= set(baseline.names)
    without = replace(frame, categorical_names=("other", *frame.categorical_names[1:]), embeddings={})
    assert {name for name in whole if name not in columns_of(without, baseline.names, baseline.spaces)} == {
        "country", "score.mahalanobis", "score.typicality", "score.pairs", "score.pairs parts",
        "score.norm.face", "score.mahalanobis.face", "score.typicality.face",
        "score.direction.face", "score.direction.face parts",
    }  # fmt: skip


def test_only_wanted_columns_are_made() -> None:
    assert set(columns_of(make_frame(0, 3), ("age", "score.margin"))) == {"age"}
    wanted = ("age", "probabilities.ok", "probabilities.fraud", "score.margin")
    assert set(columns_of(make_frame(0, 3), wanted)) == set(wanted)


def test_scores_need_every_class_that_the_baseline_has() -> None:
    wanted = ("probabilities.ok", "probabilities.fraud", "probabilities.other", "score.margin")
    assert "score.margin" not in columns_of(make_frame(0, 3), wanted)


def test_one_probability_has_no_margin() -> None:
    assert "score.margin" not in names_of(SCHEMA, of_classes(np.full((3, 1), 0.5)))


def test_categorical_values_keep_their_codes() -> None:
    frame = make_frame(0, 5)
    country = columns_of(frame, ("country",))["country"]
    assert isinstance(country, Codes)
    assert country.labels == frame.categorical[0].labels
    assert isinstance(frame.categorical[0], Coded)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("age", ColumnGroup.FEATURE),
        ("score.norm.face", ColumnGroup.FEATURE),
        ("prediction", ColumnGroup.PREDICTION),
        ("probabilities.ok", ColumnGroup.PREDICTION),
        ("score.entropy", ColumnGroup.SCORE),
        ("latency_ms", ColumnGroup.LATENCY),
        ("error", ColumnGroup.ERROR),
    ],
)
def test_the_group_follows_from_the_name(name: str, group: ColumnGroup) -> None:
    assert group_of(name) is group


def test_long_names_of_classes_that_never_come_again_leave_nothing_in_memory() -> None:
    tracemalloc.start()
    try:
        for i in range(50):
            frame = of_classes(np.full((1, 20), 0.05))
            names = tuple(f"probabilities.{i} {j} ".ljust(8_000, "x") for j in range(20))
            read = decode_columns(encode_frame(replace(frame, numeric_names=names)))
            assert read.numeric_names == names
            assert columns_of(read, ("age",)) == {}
        # In a process with many objects what stands in a circle waits longer for its collection.
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000  # of 8,000,000 bytes that have passed
