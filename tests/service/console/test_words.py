"""Figures and names as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.console import words
from service.console.words import LN10
from service.domain.policy import Budget
from service.domain.states import Event, State


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (0.12345, "0.123"),
        (1234.5, "1,234"),
        (-0.00123, "-0.00123"),
        (1e9, "1.00e+09"),
        (math.inf, "∞"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert words.number(value) == text


def test_an_effect_is_written_with_the_limits_of_its_interval() -> None:
    assert words.with_interval(0.3123, (0.2678, 0.3604)) == "0.31 (0.27 to 0.36)"
    assert words.with_interval(0.4, (0.0, 0.1512)) == "0.4 (0 to 0.15)"
    assert words.with_interval(0.3123, None) == "0.312"


@given(st.floats(allow_nan=False))
def test_every_number_can_be_written(value: float) -> None:
    assert 0 < len(words.number(value)) < 14


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.278, 0.0523, "-0.28 … 0.05"),
        (0.0, 120.0, "0 … 120"),
        (-0.00283, 0.324, "0.00 … 0.32"),
        (1e7, 2e7, "1.00e+07 … 2.00e+07"),
    ],
)
def test_an_interval_has_the_digits_that_tell_its_ends_apart(low: float, high: float, text: str) -> None:
    assert words.interval(low, high, high - low) == text


def test_evidence_is_written_as_an_exponent_of_ten() -> None:
    assert words.exponent(9.3 * LN10) == "9.3"
    assert words.exponent(-0.04) == "0.0"
    assert words.exponent(-math.inf) is None
    assert words.exponent(None) is None
    assert words.exponent(math.nan) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (600, "10 minutes"),
        (3_600, "1 hour"),
        (30 * 86_400, "30 days"),
    ],
)
def test_a_length_of_time_is_written_in_its_largest_sensible_unit(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_a_budget_is_written_as_its_promise() -> None:
    assert words.budget_sentence(Budget()) == "one false alarm in 30 days"
    assert words.budget_sentence(Budget(false_alarms=2, per_days=7)) == "2 false alarms in 7 days"


def test_evidence_that_came_back_is_said_in_words() -> None:
    assert words.done("rebuilt") == "saw the evidence come back"
    assert words.done("opened") == "opened"


def test_every_state_and_event_has_words() -> None:
    assert set(words.STATE_NAMES) == set(words.STATE_MEANINGS) == set(State)
    assert set(words.EVENT_NAMES) == set(words.EVENT_DONE) == set(Event)
