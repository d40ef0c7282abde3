"""The circuit breaker and the retries of one channel, as a state machine against a model in plain words."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.domain import breaker
from service.domain.ids import Micros
from service.domain.notices import ChannelState, Circuit, Conclusion, Delivery, DeliveryStatus
from service.domain.records import Message
from service.notify.conclude import arrived, missed
from service.notify.retry import DELAYS_SECONDS, JITTER
from service.ports_notify import DeliveryFailed

PROBE_US = 35_000_000


class OneChannel(RuleBasedStateMachine):
    """One message after the other is tried, over a receiver that works or does not, as time passes."""

    @initialize()
    def begin(self) -> None:
        self.now = Micros(1_000_000_000)
        self.state = ChannelState(name="ops")
        self.delivery = self._new(0)
        self.number = 0
        self.in_flight = False
        self.claimed_us = self.now
        self.in_a_row = 0
        self.told: list[str] = []
        self.opened_us: Micros | None = None

    def _new(self, number: int) -> Delivery:
        message = Message(id=f"m{number}", kind="k", payload="{}", created_us=self.now)
        return Delivery(
            seq=number,
            message=message,
            channel="ops",
            status=DeliveryStatus.PENDING,
            queued_us=self.now,
            attempts=0,
            next_us=self.now,
        )

    @rule(seconds=st.sampled_from([0.5, 5, 20, 60, 400, 4_000, 90_000]))
    def wait(self, seconds: float) -> None:
        self.now = Micros(self.now + round(seconds * 1e6))

    @precondition(lambda self: not self.in_flight)
    @rule()
    def claim(self) -> None:
        places = breaker.may_try(self.state, self.now)
        if self.opened_us is not None and self.now < self.opened_us + 15_000_000:
            assert places == 0, "nothing is tried within 15 s of an opening"
        # A probe may be whatever has failed before, as the store chooses it.
        due = self.delivery.next_us <= self.now or (places == 1 and self.delivery.attempts > 0)
        if not due or places == 0:
            return
        self.state = breaker.trying(self.state, self.now, PROBE_US)
        if places == 1:
            assert self.state.circuit is Circuit.HALF_OPEN
            assert breaker.may_try(self.state, self.now) == 0, "one probe at a time"
        self.in_flight, self.claimed_us = True, self.now

    @precondition(lambda self: self.in_flight)
    @rule()
    def succeed(self) -> None:
        self._settle(arrived(self.delivery, self.state, self.now))
        self.in_a_row = 0
        assert self.state.circuit is Circuit.CLOSED
        assert self.state.failing_us is None

    @precondition(lambda self: self.in_flight)
    @rule()
    def fail(self) -> None:
        before = self.state
        self._settle(missed(self.delivery, DeliveryFailed("503", recoverable=True), self.state, self.now))
        self.in_a_row += 1
        opens = before.circuit is Circuit.HALF_OPEN or self.in_a_row >= breaker.FAILURES_MAX
        assert (self.state.circuit is Circuit.OPEN) == opens
        if self.state.circuit is Circuit.OPEN:
            self.opened_us = self.now
            assert self.state.failing_us is not None, "an open circuit is told"

    @precondition(lambda self: self.in_flight)
    @rule()
    def refuse(self) -> None:
        probing = self.state.circuit is Circuit.HALF_OPEN
        self._settle(missed(self.delivery, DeliveryFailed("400", recoverable=False), self.state, self.now))
        if probing:
            self.in_a_row = 0
        assert self.state.circuit is Circuit.CLOSED, "an answer about one message says that the channel works"

    @precondition(lambda self: self.in_flight and self.state.circuit is Circuit.HALF_OPEN)
    @rule()
    def die(self) -> None:
        """The process ends in the middle of a probe."""
        self.in_flight = False
        assert breaker.may_try(self.state, Micros(self.claimed_us + PROBE_US)) == 1, "a lost probe blocks for ever"

    def _settle(self, conclusion: Conclusion) -> None:
        self.now = Micros(self.now + 1)  # what is told is named by its moment, and no two deliveries end in one
        assert conclusion.channel.name == "ops"
        self.told += [message.id for message in conclusion.messages]
        before = self.state
        self.state = conclusion.channel
        self.in_flight = False
        if conclusion.status is DeliveryStatus.PENDING:
            if before.circuit is Circuit.HALF_OPEN:
                assert conclusion.attempts == max(1, self.delivery.attempts), "a probe costs no attempt"
                assert conclusion.next_us == self.state.until_us
            else:
                assert conclusion.attempts == self.delivery.attempts + 1 <= len(DELAYS_SECONDS)
                delay = (conclusion.next_us - self.now) / 1e6
                planned = DELAYS_SECONDS[conclusion.attempts - 1]
                assert abs(delay - planned) <= planned * JITTER + 1e-6
            fields = {name: getattr(self.delivery, name) for name in self.delivery.__slots__}
            self.delivery = Delivery(**fields | {"attempts": conclusion.attempts, "next_us": conclusion.next_us})
        else:
            self.number += 1
            self.delivery = self._new(self.number)

    @invariant()
    def told_once(self) -> None:
        if hasattr(self, "told"):
            assert len(self.told) == len(set(self.told))
            assert self.state.failures >= 0


TestOneChannel = OneChannel.TestCase
TestOneChannel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
