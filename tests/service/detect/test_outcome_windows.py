"""Windows of labels: the sums of a version are of one kind, and what a snapshot kept of two is no such thing."""

import numpy as np
import pytest

from detectors.errors import StateError
from detectors.performance import Sums, no_sums, number_sums
from service.detect.outcome_windows import DAY_US, OutcomeWindows
from service.domain.ids import Micros

CLASSES = no_sums(("a", "b"))
NUMBERS = number_sums(np.array([1.0, 4.0]), np.array([2.0, 2.0]))
DELAYS = np.array([5, 7], np.int64)


def windows_of(sums: Sums, at_us: int) -> OutcomeWindows:
    windows = OutcomeWindows()
    windows.take(sums, DELAYS, Micros(at_us))
    return windows


@pytest.mark.parametrize("sums", [CLASSES, NUMBERS])
def test_what_was_kept_goes_on(sums: Sums) -> None:
    kept = windows_of(sums, 3 * DAY_US)
    again = OutcomeWindows()
    again.adopt(kept.stored())
    for one in (kept, again):
        one.take(sums, DELAYS, Micros(3 * DAY_US + 1))
    assert again.stored() == kept.stored()
    assert again.seen() == kept.seen()


@pytest.mark.parametrize(("one", "other"), [(CLASSES, NUMBERS), (NUMBERS, CLASSES)])
def test_sums_of_two_kinds_are_neither_added_up_nor_taken_back(one: Sums, other: Sums) -> None:
    windows = windows_of(one, 3 * DAY_US)
    with pytest.raises(StateError, match="cannot be merged"):
        windows.take(other, DELAYS, Micros(3 * DAY_US))
    hours, days, _ = windows_of(one, 3 * DAY_US).stored()
    _, _, total = windows_of(other, 3 * DAY_US).stored()
    with pytest.raises(StateError, match="side by side"):
        OutcomeWindows().adopt((hours, days, total))
