"""The circuit breaker of one channel, as a pure state machine: closed, open, half open.

Closed, everything is tried. After ``FAILURES_MAX`` failures in a row it opens and nothing is tried, so that a receiver
that is down is not hammered and no message loses attempts for what is not its fault. After a pause one message is the
probe (half open): its success closes the circuit, its failure opens it for longer.
"""

from dataclasses import replace

from service.domain.ids import Micros
from service.domain.notices import ChannelState, Circuit

FAILURES_MAX = 3
OPEN_SECONDS = (15.0, 30.0, 60.0, 120.0, 300.0)
"""The first pause, the second without a success in between, ...; the last one repeats."""


def may_try(state: ChannelState, now_us: Micros) -> int | None:
    """Return how many messages may be tried now: ``None`` for as many as there are, else 1 or 0."""
    if state.circuit is Circuit.CLOSED:
        return None
    return 1 if now_us >= state.until_us else 0


def trying(state: ChannelState, now_us: Micros, probe_us: int) -> ChannelState:
    """Return the state once messages are being tried; a probe that never answers is lost after ``probe_us``."""
    if state.circuit is Circuit.CLOSED:
        return state
    return replace(state, circuit=Circuit.HALF_OPEN, until_us=Micros(now_us + probe_us))


def succeeded(state: ChannelState, now_us: Micros) -> ChannelState:
    """Return the state after a success: whatever was wrong is over."""
    return replace(
        state,
        circuit=Circuit.CLOSED,
        failures=0,
        trips=0,
        until_us=Micros(0),
        succeeded_us=now_us,
        delivered_total=state.delivered_total + 1,
    )


def failed(state: ChannelState, now_us: Micros, detail: str) -> ChannelState:
    """Return the state after a failure that says something about the channel, not about one message."""
    after = replace(
        state,
        failures=state.failures + 1,
        failed_us=now_us,
        detail=detail,
        failures_total=state.failures_total + 1,
    )
    # While it is open, the late answer of an earlier attempt says nothing new.
    probed = state.circuit is Circuit.HALF_OPEN
    full = state.circuit is Circuit.CLOSED and after.failures >= FAILURES_MAX
    if not probed and not full:
        return after
    pause = OPEN_SECONDS[min(state.trips, len(OPEN_SECONDS) - 1)]
    return replace(after, circuit=Circuit.OPEN, trips=state.trips + 1, until_us=Micros(now_us + round(pause * 1e6)))
