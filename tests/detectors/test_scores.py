"""Scores, their registry, and the evaluation of alarms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.errors import DetectorError
from detectors.evaluate import LabelledStream, evaluate
from detectors.registry import SCORES
from detectors.scores.entropy import entropy
from detectors.scores.margin import margin
from detectors.scores.norm import norm

ROWS = st.lists(
    st.lists(st.one_of(st.floats(0, 1), st.sampled_from([math.nan, math.inf, -1.0, 1e308])), min_size=3, max_size=3),
    min_size=1,
    max_size=20,
)


@given(rows=ROWS)
def test_every_score_gives_one_canonical_number_per_event_whatever_it_is_fed(rows: list[list[float]]) -> None:
    values = np.array(rows)
    before = values.copy()
    for score in SCORES.values():
        found = score.function(values)
        assert found.shape == (len(rows),)
        assert not np.isneginf(found).any()
        assert np.array_equal(np.isnan(found), np.isnan(values).any(axis=1))
    assert np.array_equal(values, before, equal_nan=True)


def test_each_score_says_what_it_needs() -> None:
    assert {name: score.needs for name, score in SCORES.items()} == {
        "margin": "probabilities", "entropy": "probabilities", "norm": "embedding",
    }  # fmt: skip
    assert all(name == score.name for name, score in SCORES.items())


def test_the_margin_is_first_less_second() -> None:
    values = np.array([[0.1, 0.7, 0.2], [1 / 3, 1 / 3, 1 / 3], [math.nan, 0.5, 0.5], [math.inf, 0.0, 0.0]])
    assert margin(values) == pytest.approx([0.5, 0.0, math.nan, math.inf], nan_ok=True)


def test_the_entropy_is_relative_to_the_number_of_classes() -> None:
    values = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert entropy(values) == pytest.approx([1.0, 0.0, 0.5, math.inf])


def test_the_norm_of_large_float32_components_is_finite() -> None:
    assert norm(np.array([[3e38, 3e38]], dtype=np.float32)) == pytest.approx([math.sqrt(2) * 3e38])


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES.keys())
def test_a_matrix_is_asked_for_by_its_shape(score: object) -> None:
    chosen = next(s for s in SCORES.values() if s is score)
    with pytest.raises(DetectorError, match=r"shape \(3,\)"):
        chosen.function(np.zeros(3))


def test_delays_count_changed_ticks_and_misses_and_false_alarms_are_told_apart() -> None:
    streams = [
        LabelledStream(ticks=100, alarms=(5, 60, 70), change=50),
        LabelledStream(ticks=100, alarms=(50,), change=50),
        LabelledStream(ticks=100, alarms=(), change=50),
        LabelledStream(ticks=50, alarms=(1, 2)),
    ]
    found = evaluate(streams)
    assert (found.mean_delay, found.median_delay, found.false_alarms, found.quiet_ticks) == (6.0, 6.0, 3, 200)
    assert found.missed == pytest.approx(1 / 3)
    assert found.false_alarm_rate == pytest.approx(3 / 200)
    assert found.mean_time_between_false_alarms == pytest.approx(200 / 3)
    assert evaluate(streams, within=5).missed == pytest.approx(2 / 3)


def test_what_the_streams_cannot_tell_is_nan() -> None:
    only_quiet = evaluate([LabelledStream(ticks=10, alarms=())])
    assert math.isnan(only_quiet.mean_delay)
    assert math.isnan(only_quiet.missed)
    assert only_quiet.mean_time_between_false_alarms == math.inf
    only_changed = evaluate([LabelledStream(ticks=10, alarms=(0,), change=0)])
    assert only_changed.mean_delay == 1
    assert math.isnan(only_changed.false_alarm_rate)


@pytest.mark.parametrize(
    ("ticks", "alarms", "change"), [(0, (), None), (10, (10,), None), (10, (3, 3), None), (10, (), 10), (10, (-1,), 2)]
)
def test_a_stream_that_contradicts_itself_is_refused(ticks: int, alarms: tuple[int, ...], change: int | None) -> None:
    with pytest.raises(DetectorError):
        LabelledStream(ticks=ticks, alarms=alarms, change=change)


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(DetectorError, match="no stream"):
        evaluate([])
    with pytest.raises(DetectorError, match="within is 0"):
        evaluate([LabelledStream(ticks=1, alarms=())], within=0)
