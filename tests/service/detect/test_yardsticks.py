"""What principals are measured with, as bytes; a threshold of an earlier release that counts is put in its place."""

import msgspec
import numpy as np
import pytest

from detectors.errors import BaselineError
from detectors.principals.grown import INTENT, grown
from detectors.principals.monitor import Thresholds, Yardstick
from detectors.principals.points import Embedded
from detectors.principals.thresholds import PROBING_LEAST
from service.detect.yardsticks import Measure, from_bytes, to_bytes
from tests.detectors.clients import CLASSES, DIMENSION, answers, labels_of, requests

LIMITS = Thresholds(probing=436.0, intent=INTENT, extraction=2.5)


def measure() -> Measure:
    points = requests(np.random.default_rng(0), 400)
    yardstick = Yardstick.fit(points, labels_of(points), answers(points), grown())
    classes = tuple(f"probabilities.{label}" for label in range(CLASSES))
    return Measure(yardstick, LIMITS, classes, Embedded(DIMENSION, b"key"), "input")


def test_a_measure_comes_back_from_its_bytes() -> None:
    content = to_bytes(measure())
    again = from_bytes(content)
    assert again.thresholds == LIMITS
    assert again.checked
    assert to_bytes(again) == content


def test_a_threshold_of_evidence_that_grew_without_end_is_replaced() -> None:
    fields = msgspec.msgpack.decode(to_bytes(measure()))
    earlier = from_bytes(msgspec.msgpack.encode(fields[:-1]))
    assert earlier.thresholds == Thresholds(PROBING_LEAST, LIMITS.intent, LIMITS.extraction)
    assert not earlier.checked


def test_a_measure_whose_threshold_of_intent_was_not_held_against_the_reference_says_so() -> None:
    fields = msgspec.msgpack.decode(to_bytes(measure()))
    earlier = from_bytes(msgspec.msgpack.encode([*fields[:-1], 2]))
    assert earlier.thresholds == LIMITS
    assert not earlier.checked
    assert from_bytes(to_bytes(earlier)).checked is False


@pytest.mark.parametrize("content", [b"", b"\x90", msgspec.msgpack.encode({"classes": []})])
def test_bytes_that_hold_no_measure_are_refused(content: bytes) -> None:
    with pytest.raises(BaselineError):
        from_bytes(content)
