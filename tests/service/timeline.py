"""A small language for timelines: what happens when, and what people are told between when and when.

As in Alertmanager's own tests, whatever nobody expects is an error. Seconds count from the start, which is 10:00 UTC.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service.channel_settings import NotificationSettings
from service.domain.notices import DeliveryStatus, Payload, payload_of
from service.domain.policy import Policy
from service.gate.refresh import Fleet
from service.hushing import HushingRouter
from service.notify.routing import Router
from service.review.stages import ReviewStages
from service.review.watch import ReviewWatch
from tests.service.test_incidents_timeline import Line

PAGER = {"kind": "webhook", "url": "https://example.org/"}


@dataclass(frozen=True, slots=True)
class Push:
    """Fifty events a second from a time to another one; ``shift`` moves age, ``missing`` is the share without one."""

    at: float
    until: float
    shift: float = 0.0
    missing: float = 0.0


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody does something at a time."""

    at: float
    do: Callable[["Timeline"], object]


@dataclass(frozen=True, slots=True)
class Expect:
    """The pager hears one message of a kind between two times."""

    kind: str
    between: tuple[float, float]
    text: str = ""
    """In the summary."""
    firing: bool = True
    annotations: tuple[str, ...] = ()
    """That the first alert has."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the pager has heard, and when."""

    at: float
    kind: str
    payload: Payload

    @property
    def words(self) -> str:
        """Return it as people read it."""
        return f"{self.at:g} s: {self.kind} {self.payload.status}: {self.payload.lazaretto.summary}"

    def fits(self, one: Expect) -> bool:
        """Return whether this is what was expected."""
        said = self.payload.alerts[0].annotations if self.payload.alerts else {}
        return (
            self.kind == one.kind
            and one.between[0] <= self.at <= one.between[1]
            and one.text in self.payload.lazaretto.summary
            and one.firing == (self.payload.status == "firing")
            and all(name in said for name in one.annotations)
        )


@dataclass
class _Played:
    """Up to when a timeline has been played, and what was heard since the last check."""

    heard: list[Heard] = field(default_factory=list)
    known: set[str] = field(default_factory=set)


class Timeline(Line):
    """The whole alert path on a fake clock: evidence, incidents, hushing, reviews, routing, quiet hours, the outbox."""

    def __init__(self, folder: Path, policy: Policy, quiet: dict[str, Any] | None = None) -> None:
        super().__init__(folder, policy)
        pager = PAGER | ({} if quiet is None else {"quiet": quiet})
        chosen = NotificationSettings.model_validate({"channels": {"pager": pager}})
        router = Router(settings=chosen, channels=("log", "pager"))
        self.route = HushingRouter(router=router, desk=self.sql.incidents)
        fleet = Fleet(self.sql.read, self.clock, self.sql.reviews.glasses_open)
        self.review = ReviewStages(office=replace(self.office), store=self.sql.reviews)
        self.reviews = ReviewWatch(stages=self.review, fleet=fleet, clock=self.clock)
        self.fleet = fleet
        self.played = _Played()

    def follow(self) -> None:
        """Let the worker, the watches, routing and the pager do what is due."""
        self.catch_up(self.one_worker)
        self.fleet.refresh()
        self.reviews.close()
        self.reviews.look()
        self.watch.look()
        now_us = self.clock.now_us()
        self.sql.outbox.route(self.route, 100, now_us)
        waiting = self.sql.desk.deliveries(status=DeliveryStatus.PENDING, channel="pager", message_id=None, limit=500)
        for one in reversed(waiting):
            if one.next_us <= now_us and one.message.id not in self.played.known:
                self.played.known.add(one.message.id)
                self.played.heard.append(Heard(self.now, one.message.kind, payload_of(one.message)))

    def play(self, *steps: Push | Act | Expect, until: float) -> list[Heard]:
        """Play to a time, and check that the pager heard what was expected and nothing else; return that, in order.

        Seconds without a push have no events of the version, and those of another one.
        """
        acts = sorted((step for step in steps if isinstance(step, Act)), key=lambda act: act.at)
        pushes = [step for step in steps if isinstance(step, Push)]
        self.played.heard.clear()
        while self.now < until:
            while acts and acts[0].at <= self.now:
                acts.pop(0).do(self)
            push = next((one for one in pushes if one.at <= self.now < one.until), None)
            if push is not None:
                self.send(self.subject, 50, shift=push.shift, missing=push.missing)
            self.pause()
            self.clock.advance(1)
            self.follow()
        assert not acts, "not every act had its time"
        check(self.played.heard, [step for step in steps if isinstance(step, Expect)])
        return list(self.played.heard)

    def pause(self) -> None:
        """Let time show in the log, whatever the version does."""


def check(heard: Sequence[Heard], expected: Sequence[Expect]) -> None:
    """Raise AssertionError when something expected was not heard, or something heard that nobody expects."""
    left = list(heard)
    for one in sorted(expected, key=lambda one: one.between[1]):
        found = next((each for each in left if each.fits(one)), None)
        assert found is not None, f"nothing is {one}; heard: {[each.words for each in heard]}"
        left.remove(found)
    assert not left, f"nobody expects {[each.words for each in left]}"
