"""What an attempt to deliver came to: for the message, for its channel, and for people elsewhere. Pure."""

from dataclasses import replace

from service.domain import breaker
from service.domain.ids import Actor, Micros, derived_id
from service.domain.notices import (
    FIRING,
    NEVER,
    RESOLVED,
    About,
    AlertBody,
    ChannelState,
    Circuit,
    Conclusion,
    Delivery,
    DeliveryStatus,
    Kind,
    Resent,
)
from service.domain.records import Message, Severity
from service.notify.compose import alert_name, encoded, fingerprint_of, group_of, payload_with, time_of
from service.notify.retry import next_attempt_us
from service.notify.texts import one_line
from service.ports_notify import DeliveryFailed

DETAIL_MAX = 500


def arrived(delivery: Delivery, state: ChannelState, now_us: Micros) -> Conclusion:
    """Return what a delivery that arrived means: the channel works."""
    after = breaker.succeeded(state, now_us)
    messages: tuple[Message, ...] = ()
    if state.failing_us is not None:
        messages = (failing_message(after, now_us, state.failing_us, firing=False),)
        after = replace(after, failing_us=None)
    return Conclusion(
        status=DeliveryStatus.DELIVERED,
        attempts=delivery.attempts,
        next_us=now_us,
        detail="",
        channel=after,
        messages=messages,
        wake=state.failures > 0,
    )


def missed(delivery: Delivery, failure: DeliveryFailed, state: ChannelState, now_us: Micros) -> Conclusion:
    """Return what a delivery that failed means: try again later, or give it up; and how its channel is."""
    attempts, detail = delivery.attempts + 1, one_line(str(failure), DETAIL_MAX)
    next_us = None
    if failure.recoverable:
        seed = f"{delivery.message.id}:{delivery.channel}"
        next_us = next_attempt_us(seed, attempts, now_us, failure.retry_after_seconds)
    if failure.channel_fault:
        after = breaker.failed(state, now_us, detail)
        if state.circuit is Circuit.HALF_OPEN and failure.recoverable:
            # A probe asks after the channel: that it fails is not held against the message.
            attempts, next_us = max(1, delivery.attempts), after.until_us
    else:  # the receiver works and does not want this message
        healthy = breaker.succeeded(state, now_us) if state.circuit is Circuit.HALF_OPEN else state
        after = replace(
            healthy,
            delivered_total=state.delivered_total,
            succeeded_us=state.succeeded_us,
            failed_us=now_us,
            failures_total=state.failures_total + 1,
            detail=detail,
        )
    if next_us is None:
        after = replace(after, dead_total=after.dead_total + 1)
    after, messages = told_failing(after, now_us, given_up=next_us is None)
    return Conclusion(
        status=DeliveryStatus.DEAD if next_us is None else DeliveryStatus.PENDING,
        attempts=attempts,
        next_us=now_us if next_us is None else next_us,
        detail=detail,
        channel=after,
        messages=messages,
    )


def sent_again(now_us: Micros, state: ChannelState) -> Resent | None:
    """Return what it means that firing alerts were sent again: nothing while the channel is well."""
    if state.circuit is Circuit.CLOSED and state.failures == 0 and state.failing_us is None:
        return None
    after = replace(breaker.succeeded(state, now_us), delivered_total=state.delivered_total, failing_us=None)
    told = () if state.failing_us is None else (failing_message(after, now_us, state.failing_us, firing=False),)
    return Resent(channel=after, messages=told, wake=state.failures > 0)


def not_sent_again(failure: DeliveryFailed, now_us: Micros, state: ChannelState) -> Resent:
    """Return what it means that they could not be sent again."""
    detail = one_line(str(failure), DETAIL_MAX)
    if failure.channel_fault:
        after, messages = told_failing(breaker.failed(state, now_us, detail), now_us)
    else:  # it is there, and wants none of this
        noted = replace(state, failed_us=now_us, failures_total=state.failures_total + 1, detail=detail)
        after, messages = told_failing(noted, now_us, given_up=True)
    return Resent(channel=after, messages=messages)


def told_failing(
    state: ChannelState, now_us: Micros, *, given_up: bool = False
) -> tuple[ChannelState, tuple[Message, ...]]:
    """Tell people, once and elsewhere, when a circuit opens or a message is given up."""
    if state.failing_us is not None or not (given_up or state.circuit is Circuit.OPEN):
        return state, ()
    after = replace(state, failing_us=now_us)
    return after, (failing_message(after, now_us, now_us, firing=True),)


def failing_message(state: ChannelState, at_us: Micros, since_us: Micros, *, firing: bool) -> Message:
    """Write that a channel fails, or works again."""
    name = state.name
    labels = {"alertname": alert_name(Kind.NOTIFICATIONS_FAILING), "channel": name}
    summary = f"notifications to '{name}' " + ("are failing" if firing else "arrive again")
    annotations = {"summary": summary, "description": state.detail, "severity": Severity.HIGH.value}
    at = time_of(at_us)
    alert = AlertBody(
        status=FIRING if firing else RESOLVED,
        labels=labels,
        annotations=annotations,
        starts_at=time_of(since_us),
        ends_at=NEVER if firing else at,
        fingerprint=fingerprint_of(labels),
    )
    about = About(
        kind=Kind.NOTIFICATIONS_FAILING, severity=Severity.HIGH, summary=summary, description=state.detail, at=at
    )
    return Message(
        id=derived_id("message", Kind.NOTIFICATIONS_FAILING, name, since_us, firing),
        kind=Kind.NOTIFICATIONS_FAILING,
        payload=encoded(payload_with([alert], group_of(labels, None), about)),
        created_us=at_us,
        severity=Severity.HIGH,
    )


def trial_message(channel: str, actor: Actor, now_us: Micros, message_id: str) -> Message:
    """Write a message that says nothing but that messages arrive."""
    labels = {"alertname": alert_name(Kind.TEST), "channel": channel}
    summary = f"this is a test of the channel '{channel}'"
    about = About(
        kind=Kind.TEST,
        severity=Severity.LOW,
        summary=summary,
        description=f"{actor} asked for it. Nothing is wrong.",
        at=time_of(now_us),
        actor=actor,
    )
    alert = AlertBody(
        status=FIRING,
        labels=labels,
        annotations={"summary": summary, "description": about.description, "severity": Severity.LOW.value},
        starts_at=time_of(now_us),
        ends_at=NEVER,
        fingerprint=fingerprint_of(labels),
    )
    return Message(
        id=message_id,
        kind=Kind.TEST,
        payload=encoded(payload_with([alert], f"test/{message_id}", about)),
        created_us=now_us,
        severity=Severity.LOW,
    )
