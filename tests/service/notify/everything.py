"""One message of every kind that there is, as the product composes them, about a model whose names are hostile."""

from collections.abc import Iterator
from dataclasses import replace

from service.alert.decide import decide
from service.alert.merge import merge
from service.alert.triage import Act, IncidentAction, act_on
from service.domain.enforcement import Enforcement
from service.domain.ids import Actor, Micros, Position
from service.domain.incidents import Hush, Moved
from service.domain.notices import ChannelState, Kind
from service.domain.policy import Action, Actions, Policy
from service.domain.records import Alert, Approvals, ColumnFinding, Incident, Message, TransitionRecord, Verdict
from service.domain.reviews import Glass, Proposal, ProposalStatus, Review
from service.domain.states import Event, State, next_state
from service.notify.compose import Notice, alert_opened, alert_over, compose, held_back, release_pending, state_changed
from service.notify.conclude import failing_message, trial_message
from service.notify.enforcement import quarantine_not_enforced
from service.notify.incidents import incident_messages, merge_messages
from service.notify.reminders import still_there
from service.notify.reviews import (
    baseline_proposed,
    baseline_settled,
    glass_broken,
    glass_over,
    review_assigned,
    review_overdue,
)
from tests.fakes.clock import NOVEMBER
from tests.service.alert.test_decide import VERSION, evaluation, finding
from tests.service.uses import Bench, intent

PLAIN = "fraud"
EVIL = (
    "x\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script> <!channel> <https://evil.example|click> "
    "*bold* `code` & &lt;!here&gt; =?utf-8?q?forged?= \N{RIGHT-TO-LEFT OVERRIDE}\N{ZERO WIDTH SPACE}"
    "\N{RIGHT-TO-LEFT ISOLATE}\x1b[31m\x00\x7f\x85\u2028 @here {{ .Foo }} ${x} .\r\n.\r\nQUIT\r\n"
)
LONG = "n" * 10_000
WIDE = "\N{PILE OF POO}\u4e2d\u6587\u05d0\u05d1" * 2_500
NAMES = {"plain": PLAIN, "evil": EVIL, "long": LONG, "wide": WIDE, "evil and long": EVIL + LONG}
DRIFT = Policy(actions=Actions(data_drift=Action.QUARANTINE))


class Everything:
    """Tells one life of a version: every message is about what the one before left behind."""

    def __init__(self, name: str) -> None:
        self.name, self.actor, self.at_us = name, Actor(name[:200]), NOVEMBER
        self.version = replace(VERSION, model=name, version=name, state=State.ACTIVE)
        self.alert, self.incident = self._opened(finding(name))
        self.other_alert, self.other = self._opened(finding(name, group="latency"))

    def messages(self) -> Iterator[tuple[str, Message]]:
        """Yield what each message is about, and the message, in order."""
        yield from (*self._drift(), *self._attack(), *self._quarantine(), *self._review(), *self._end())

    def _opened(self, *findings: ColumnFinding) -> tuple[Alert, Incident]:
        seen = evaluation(*findings, position=NOVEMBER // 1_000_000)
        decision = decide(seen, self.version, (), DRIFT)
        assert decision.alert is not None
        assert decision.incident is not None
        return replace(decision.alert, reason=f"{decision.alert.reason} {self.name}"), decision.incident

    def _now(self) -> Micros:
        self.at_us = Micros(self.at_us + 1_000_000)
        return self.at_us

    def _told(self, what: str, notice: Notice) -> tuple[str, Message]:
        return what, compose(replace(notice, version=self.version))

    def _drift(self) -> Iterator[tuple[str, Message]]:
        yield self._told("opened", alert_opened(self.alert, self.incident, self.version))
        yield self._told("another opened", alert_opened(self.other_alert, self.other, self.version))
        yield self._told("over", alert_over(self.other_alert, self.name, self.version, self._now()))
        for kind in (Kind.DRY_RUN, Kind.CAPPED):
            yield self._told(kind, held_back(kind, self.alert, self.version, self.name, self._now()))
        yield "still there", still_there(self.alert, self.incident, self.version, Hush.SNOOZED, self._now())

    def _attack(self) -> Iterator[tuple[str, Message]]:
        for notice in Bench().judge(intent(reasons=(self.name,))).notices:
            named = replace(notice, summary=self.name, description=self.name, at_us=self._now())
            yield self._told("attack", named)

    def _change(self, event: Event) -> tuple[str, Message]:
        record = TransitionRecord(
            version_id=self.version.id,
            before=self.version.state,
            event=event,
            after=next_state(self.version.state, event),
            actor=self.actor,
            reason=self.name,
            at_us=self._now(),
            position=Position(1),
            incident_id=self.incident.id,
        )
        told = self._told(record.after, state_changed(record, self.version))
        self.version = replace(self.version, state=record.after, lock=self.version.lock + 1)
        return told

    def _quarantine(self) -> Iterator[tuple[str, Message]]:
        yield self._change(Event.SUSPECT)
        yield self._change(Event.QUARANTINE)
        one = Enforcement(
            version_id=self.version.id, lock=1, quarantined_us=self.at_us, incident_id=None, enforced_us=self.at_us
        )
        for what, firing in (("not enforced", True), ("enforced", False)):
            notice = quarantine_not_enforced(one, self.version, self.name, self._now(), firing=firing)
            yield self._told(what, notice)
        glass = Glass(
            id="g1",
            version_id=self.version.id,
            quarantine=1,
            opened_us=self._now(),
            until_us=Micros(self.at_us + 60_000_000),
            actor=self.actor,
            reason=self.name,
        )
        yield self._told("glass broken", glass_broken(glass, self.version, None))
        ended = replace(glass, ended_us=self._now())
        yield self._told("glass over", glass_over(ended, self.version, None, self.name))
        # Broken once more, and left so until the version is released.
        again = replace(glass, id="g2", opened_us=self._now())
        yield self._told("glass broken again", glass_broken(again, self.version, self.incident.id))

    def _review(self) -> Iterator[tuple[str, Message]]:
        yield self._change(Event.START_REVIEW)
        review = Review(version_id=self.version.id, lock=self.version.lock, reviewers=(self.actor,), due_us=self.at_us)
        yield self._told("review", review_assigned(review, self.version, self.actor, self.name, self._now(), "1"))
        overdue = review_overdue(review, self.version, self.name, self.at_us, self._now())
        yield self._told("deadline", overdue)
        proposal = Proposal(
            id="p1",
            version_id=self.version.id,
            replaces="b",
            digest="d",
            signature="s",
            artefact=b"",
            rows=9,
            columns=(self.name,),
            warnings=(),
            calibration=None,
            signed_by=(self.actor,),
            status=ProposalStatus.PROPOSED,
            created_us=self._now(),
            created_by=self.actor,
        )
        yield self._told("baseline", baseline_proposed(proposal, self.version, 2, (self.name,) * 30))
        settled = replace(proposal, status=ProposalStatus.REFUSED, settled_by=self.actor, reason=self.name)
        yield self._told("baseline settled", baseline_settled(settled, self.version, 0, self._now()))
        approvals = Approvals(have=1, need=2, by=(self.actor,))
        yield self._told("release", release_pending(self.version, approvals, self.name, self._now(), "k"))

    def _end(self) -> Iterator[tuple[str, Message]]:
        note = self.name.replace("\0", "")[:3_000]
        act = Act(action=IncidentAction.ACK)
        after, item = act_on(self.incident, act, self.actor, self._now())
        yield from (("acknowledged", one) for one in incident_messages(self.incident, after, replace(item, body=note)))
        part = replace(self.other, title=self.name)
        (gone, said), (grown, _) = merge(part, after, "", self.actor, self._now())
        moved = Moved(left=(), strangers=True)
        yield from (("merged", one) for one in merge_messages(gone, grown, replace(said, body=note), moved))
        yield self._change(Event.RELEASE)
        act = Act(action=IncidentAction.RESOLVE, verdict=Verdict.ATTACK)
        over, item = act_on(replace(after, lock=9), act, self.actor, self._now())
        yield from (("resolved", one) for one in incident_messages(after, over, replace(item, body=note)))
        state = ChannelState(name="chat", detail=self.name)
        since_us = self._now()
        yield "dead letters", failing_message(state, since_us, since_us, firing=True)
        yield "works again", failing_message(state, self._now(), since_us, firing=False)
        yield "test", trial_message("ops", self.actor, self._now(), "t1")


def messages(name: str) -> list[tuple[str, Message]]:
    """Return every message about a model of a name."""
    return list(Everything(name).messages())
