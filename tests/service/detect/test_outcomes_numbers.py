"""Labels of a model that answers with numbers: errors that grow are evidence, errors as usual are none."""

from typing import Any

import numpy as np
import pytest

from service.detect.reference import compile_reference
from service.ports import LogEntry
from tests.service.detect.labelling import BEGUN_US, NUMBERS, control_of, labels_entry, named, numbered
from tests.service.detect.test_outcomes import performance
from tests.service.detect.test_watch import THRESHOLD, folded
from tests.service.worker.world import batch_entry, make_frame


def number_story(seconds: int, *, after: int, worse: float) -> list[LogEntry]:
    entries = []
    for second in range(seconds):
        rng = np.random.default_rng(second)
        truth = rng.normal(100, 20, 40)
        noise = rng.normal(0, worse if second >= after else 1.0, 40)
        frame = named(numbered(make_frame(second, 40), truth + noise), second * 40)
        entries.append(batch_entry(2 * second + 1, second, 1, frame))
        told = [(f"event-{second * 40 + row}", float(value)) for row, value in enumerate(truth)]
        entries.append(labels_entry(2 * second + 2, second + 0.5, told))
    return entries


def number_reference() -> Any:
    rng = np.random.default_rng(5)
    truth = rng.normal(100, 20, 4_000)
    frame = numbered(make_frame(99, 4_000), truth + rng.normal(0, 1.0, 4_000))
    return compile_reference(NUMBERS, frame, labels=truth)


def test_errors_that_grow_are_named_with_what_was_usual() -> None:
    disk = folded(control_of(number_reference(), schema=NUMBERS), number_story(60, after=30, worse=2.0))
    above = [e for e in disk.evaluations if e.above]
    assert above
    assert all((e.at_us - BEGUN_US) / 1e6 > 30 for e in above)
    finding = next(f for f in above[0].findings if f.name == "performance.error")
    assert finding.direction.startswith("up: off by ")
    assert "on the median where the baseline is by 0.6" in finding.direction
    figures = performance(disk)["windows"]["total"]["figures"]
    assert figures["mae"][0] == pytest.approx((0.7979 + 2 * 0.7979) / 2, rel=0.06)


def test_errors_as_large_as_usual_raise_nothing() -> None:
    disk = folded(control_of(number_reference(), schema=NUMBERS), number_story(150, after=10**9, worse=1.0))
    assert max(e.evidence_log for e in disk.evaluations) < THRESHOLD
