"""When to try again, and when to give up."""

from hypothesis import given
from hypothesis import strategies as st

from service.domain.ids import Micros
from service.notify.retry import DELAYS_SECONDS, JITTER, RETRY_AFTER_SECONDS_MAX, next_attempt_us


@given(st.text(max_size=40), st.integers(1, len(DELAYS_SECONDS)))
def test_each_failure_waits_longer_within_the_jitter(message_id: str, attempts: int) -> None:
    next_us = next_attempt_us(message_id, attempts, Micros(1_000))
    assert next_us is not None
    planned = DELAYS_SECONDS[attempts - 1]
    assert abs((next_us - 1_000) / 1e6 - planned) <= planned * JITTER + 1e-6


def test_the_schedule_of_a_message_can_be_computed_again_and_differs_between_messages() -> None:
    assert next_attempt_us("a", 1, Micros(0)) == next_attempt_us("a", 1, Micros(0))
    assert next_attempt_us("a", 1, Micros(0)) != next_attempt_us("b", 1, Micros(0))


def test_after_the_last_delay_a_message_is_given_up() -> None:
    assert next_attempt_us("a", len(DELAYS_SECONDS), Micros(0)) is not None
    assert next_attempt_us("a", len(DELAYS_SECONDS) + 1, Micros(0)) is None


@given(st.floats(0, 1e9), st.integers(1, len(DELAYS_SECONDS)))
def test_what_the_receiver_asks_for_is_kept_up_to_an_hour_and_never_shortens_a_delay(
    asked: float, attempts: int
) -> None:
    plain, later = next_attempt_us("a", attempts, Micros(0)), next_attempt_us("a", attempts, Micros(0), asked)
    assert plain is not None
    assert later is not None
    assert later == max(plain, round(min(asked, RETRY_AFTER_SECONDS_MAX) * 1e6))
