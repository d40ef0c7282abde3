"""What principals are measured with, as bytes; a threshold of an earlier release that counts is put in its place."""

import msgspec
import numpy as np
import pytest

from detectors.errors import BaselineError
from detectors.principals.grown import INTENT, grown
from detectors.principals.monitor import Thresholds, Tier, Yardstick
from detectors.principals.persistence import Bets
from detectors.principals.points import Embedded
from detectors.principals.ranked import ranked
from detectors.principals.thresholds import EXTRACTION_LEAST, PROBING_LEAST, Calibration
from service.detect.yardsticks import Measure, from_bytes, to_bytes
from tests.detectors.clients import CLASSES, DIMENSION, answers, labels_of, requests

LIMITS = Thresholds(probing=436.0, intent=INTENT, extraction=2.5)


def measure(held: Calibration | None = None) -> Measure:
    points = requests(np.random.default_rng(0), 400)
    yardstick = Yardstick.fit(points, labels_of(points), answers(points), grown())
    classes = tuple(f"probabilities.{label}" for label in range(CLASSES))
    return Measure(yardstick, LIMITS, classes, Embedded(DIMENSION, b"key"), "input", held=held)


def test_a_measure_comes_back_from_its_bytes() -> None:
    content = to_bytes(measure())
    again = from_bytes(content)
    assert again.thresholds == LIMITS
    assert again.checked
    assert to_bytes(again) == content


def test_a_threshold_of_evidence_that_grew_without_end_is_replaced() -> None:
    fields = msgspec.msgpack.decode(to_bytes(measure()))
    earlier = from_bytes(msgspec.msgpack.encode(fields[:-3]))
    assert earlier.thresholds == Thresholds(PROBING_LEAST, LIMITS.intent, LIMITS.extraction)
    assert not earlier.checked


def test_a_measure_whose_threshold_of_intent_was_not_held_against_the_reference_says_so() -> None:
    fields = msgspec.msgpack.decode(to_bytes(measure()))
    earlier = from_bytes(msgspec.msgpack.encode([*fields[:-3], 2]))
    assert earlier.thresholds == LIMITS
    assert not earlier.checked
    assert from_bytes(to_bytes(earlier)).checked is False


def test_what_thresholds_were_held_against_is_told_with_the_bound_that_follows() -> None:
    reached = Thresholds(probing=348.8, intent=1.5, extraction=2.0)
    sessions = {Tier.PROBING: 48, Tier.INTENT: 64, Tier.EXTRACTION: 0}
    held = Calibration(LIMITS, reached, sessions)
    again = from_bytes(to_bytes(measure(held)))
    assert again.held == held
    told = again.told()
    # No alarm in 48 sessions: the exact interval of 95 % ends where 0.975 of all such samples have one.
    assert 1.0 - (1.0 - told["probing"].pop("at_most")) ** 48 == pytest.approx(0.975)
    assert told["probing"] == {"nominal": PROBING_LEAST, "reached": 348.8, "sessions": 48}
    assert told["intent"]["nominal"] == INTENT
    assert told["extraction"] == {"nominal": EXTRACTION_LEAST, "reached": 2.0, "sessions": 0, "at_most": 1.0}
    earlier = from_bytes(msgspec.msgpack.encode(msgspec.msgpack.decode(to_bytes(measure(held)))[:-2]))
    assert earlier.held is None
    assert earlier.checked
    assert earlier.told()["probing"] == {"nominal": PROBING_LEAST}


def test_what_stories_are_ranked_among_comes_back_and_else_holds_for_whichever_model() -> None:
    raised = ranked().raised(np.full((9, 2), 4.0))
    ladders = tuple(tuple(row) for row in raised.ladders.tolist())
    held = Calibration(LIMITS, LIMITS, dict.fromkeys(Tier, 48), ladders)
    again = from_bytes(to_bytes(measure(held)))
    assert again.ranked
    assert isinstance(again.yardstick.bets, Bets)
    assert (again.yardstick.bets.ladders == raised.ladders).all()
    earlier = from_bytes(to_bytes(measure()))
    assert not earlier.ranked
    assert earlier.yardstick.bets is ranked()
    fields = msgspec.msgpack.decode(to_bytes(measure(held)))
    for none in ([[1.0]], [[0.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0]]):
        with pytest.raises(BaselineError, match="not a measure"):
            from_bytes(msgspec.msgpack.encode([*fields[:-1], none]))


@pytest.mark.parametrize("content", [b"", b"\x90", msgspec.msgpack.encode({"classes": []})])
def test_bytes_that_hold_no_measure_are_refused(content: bytes) -> None:
    with pytest.raises(BaselineError):
        from_bytes(content)
