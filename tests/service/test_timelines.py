"""The alert path as timelines on a fake clock: who is told what, between when and when, and nothing else."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from service.alert.triage import Act as Action
from service.alert.triage import IncidentAction
from service.domain.notices import payload_of
from service.domain.policy import Incidents, Policy, Traffic
from service.domain.records import IncidentStatus, Scope, Verdict
from service.domain.states import Event, State
from service.office import KeyRequest, act_on_incident, issue_key, request_transition
from service.review.deadline import ReviewRequest, name_reviewers
from tests.service.notify.everything import messages
from tests.service.test_incidents_timeline import QUARANTINES, SUSPECTS
from tests.service.timeline import Act, Expect, Heard, Push, Timeline, check
from tests.service.worker.world import ANA

CALM = Push(0, 10)
DRIFT = Push(10, 14, shift=2.0)


@dataclass(frozen=True)
class Does:
    """What a person does with the newest incident."""

    action: IncidentAction
    verdict: Verdict | None = None

    def __call__(self, line: Timeline) -> None:
        incident = line.incidents()[-1]
        act_on_incident(line.office, ANA, incident.id, Action(action=self.action, verdict=self.verdict))


@dataclass(frozen=True)
class Snoozes:
    """Somebody snoozes the newest incident."""

    until: float | None
    worse: bool = False

    def __call__(self, line: Timeline) -> None:
        until = None if self.until is None else line.at(self.until)
        line.triage.snooze(ANA, line.incidents()[-1].id, until, self.worse, "", None)


@dataclass(frozen=True)
class Asks:
    """Somebody asks for a transition."""

    event: Event

    def __call__(self, line: Timeline) -> None:
        request_transition(line.office, ANA, "m1", "1", self.event, "looked at it", None)


RESOLVES = Does(IncidentAction.RESOLVE, Verdict.DATA_BUG)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_the_language_sees_what_is_late_missing_or_too_much() -> None:
    (_, message), *_ = messages("fraud")
    heard = [Heard(12.0, message.kind, payload_of(message))]
    check(heard, [Expect("alert_opened", (11, 12), "Data drift", annotations=("columns",))])
    for wrong in (
        [],
        [Expect("alert_opened", (11, 11.5))],
        [Expect("state_changed", (11, 12))],
        [Expect("alert_opened", (11, 12), firing=False)],
        [Expect("alert_opened", (11, 12), annotations=("regressed",))],
        [Expect("alert_opened", (11, 12)), Expect("alert_opened", (11, 12))],
    ):
        with pytest.raises(AssertionError, match=r"nothing is|nobody expects"):
            check(heard, wrong)


def test_one_cause_is_one_incident_one_page_and_one_group(folder: Path) -> None:
    """The change moves an input, the answer and scores of both, lasts, and comes in two waves."""
    line = Timeline(folder, SUSPECTS)
    heard = line.play(
        CALM,
        Push(10, 30, shift=2.0),
        Push(30, 40),
        Push(40, 55, shift=2.0),
        Expect("alert_opened", (10.5, 14)),
        Expect("state_changed", (10.5, 14), "is suspect"),
        until=55,
    )
    (incident,) = line.incidents()
    assert {one.payload.group_key for one in heard} == {f"incident/{incident.id}"}
    assert [len(one.payload.alerts) for one in heard] == [1, 2]


def test_a_change_that_comes_and_goes_is_told_once(folder: Path) -> None:
    """Hysteresis: what flaps every four seconds opens one alert, and no calm of seconds ends it."""
    line = Timeline(folder, SUSPECTS)
    waves = [Push(10 + 8 * n, 14 + 8 * n, shift=2.0) for n in range(6)]
    calm = [Push(14 + 8 * n, 18 + 8 * n) for n in range(6)]
    line.play(
        CALM,
        *waves,
        *calm,
        Expect("alert_opened", (10.5, 18)),
        Expect("state_changed", (10.5, 18), "is suspect"),
        until=58,
    )
    assert len(line.incidents()) == 1
    assert len(line.sql.read.alerts_of(line.incidents()[0].id, 99)) == 1


def test_a_snooze_until_a_time_is_silence_until_then_and_no_longer(folder: Path) -> None:
    line = Timeline(folder, SUSPECTS)
    line.play(
        CALM,
        Push(10, 45, shift=2.0),
        Act(16, Snoozes(until=30)),
        Expect("alert_opened", (10.5, 14)),
        Expect("state_changed", (10.5, 14), "is suspect"),
        Expect("alert_opened", (30, 31.5), "Still there (snooze is over)", annotations=("told_again",)),
        until=45,
    )


def test_a_snooze_until_worse_ends_with_the_quarantine(folder: Path) -> None:
    line = Timeline(folder, msgspec.structs.replace(QUARANTINES, confirmations=8))
    line.play(
        CALM,
        Push(10, 30, shift=2.0),
        Act(14, Snoozes(until=None, worse=True)),
        Expect("alert_opened", (10.5, 14)),
        Expect("state_changed", (10.5, 14), "is suspect"),
        Expect("state_changed", (15, 25), "is quarantined"),
        Expect("alert_opened", (15, 26), "Still there (snooze is over)"),
        until=30,
    )


def test_a_cause_that_returns_after_its_end_is_told_as_regressed_under_the_same_labels(folder: Path) -> None:
    line = Timeline(folder, SUSPECTS)
    heard = line.play(
        CALM,
        DRIFT,
        Push(14, 30),
        Act(20, RESOLVES),
        Act(21, Asks(Event.CLEAR)),
        Push(30, 36, shift=2.0),
        Expect("alert_opened", (10.5, 14)),
        Expect("state_changed", (10.5, 14), "is suspect"),
        Expect("incident_resolved", (20, 21.5), "is resolved: data bug"),
        Expect("state_changed", (21, 22.5), "is active", firing=False),
        Expect("alert_opened", (30.5, 35), annotations=("regressed",)),
        Expect("state_changed", (30.5, 35), "is suspect"),
        until=36,
    )
    opened = [one.payload.alerts[0] for one in heard if one.kind == "alert_opened"]
    assert opened[0].labels == opened[1].labels
    assert opened[0].fingerprint == opened[1].fingerprint
    assert [one.status for one in line.incidents()] == [IncidentStatus.RESOLVED, IncidentStatus.OPEN]


def test_a_cooldown_holds_back_the_page_of_a_return_and_tells_what_is_left_after_it(folder: Path) -> None:
    line = Timeline(folder, msgspec.structs.replace(SUSPECTS, incidents=Incidents(cooldown_seconds=20)))
    line.play(
        CALM,
        Push(10, 50, shift=2.0),
        Act(16, RESOLVES),
        Expect("alert_opened", (10.5, 14)),
        Expect("state_changed", (10.5, 14), "is suspect"),
        Expect("incident_resolved", (16, 17.5)),
        Expect("alert_opened", (36, 37.5), "Still there (cooldown is over)"),
        until=50,
    )
    assert len(line.incidents()) == 2


def test_silence_is_told_and_so_is_its_end(folder: Path) -> None:
    policy: Policy = msgspec.structs.replace(SUSPECTS, traffic=Traffic(stale_after_seconds=5))
    line = Timeline(folder, policy)
    other = line.add_version("2", policy=policy, reference=None)
    line.pause = lambda: line.send(other, 1)  # type: ignore[method-assign, assignment]  # the log goes on
    heard = line.play(
        CALM,
        Push(24, 40),
        Expect("alert_opened", (15, 18), "Silence in m1 1"),
        Expect("alert_opened", (24, 26.5), "events come again", firing=False),
        until=40,
    )
    began, ended = (one.payload.alerts for one in heard)
    assert (len(began), len(ended)) == (1, 1)
    assert ended[0].starts_at == began[0].starts_at
    assert ended[0].annotations["columns"] == began[0].annotations["columns"]
    firing = line.sql.outbox.firing("pager", line.clock.now_us(), 99)
    assert [one for one in firing if one.ends_us is None] == []


def test_quiet_hours_hold_a_mild_page_until_they_end(folder: Path) -> None:
    quiet = {"from": "10:00", "to": "10:01", "severities": ["low", "medium"]}
    mild = Timeline(folder, SUSPECTS, quiet)
    heard = mild.play(
        CALM,
        DRIFT,
        Push(14, 63),
        Expect("alert_opened", (60, 61)),
        Expect("state_changed", (60, 61), "is suspect"),
        until=63,
    )
    assert [one.kind for one in heard] == ["alert_opened", "state_changed"]


def test_a_grave_page_never_waits_for_the_end_of_quiet_hours_and_brings_along_what_is_held(folder: Path) -> None:
    quiet = {"from": "10:00", "to": "11:00", "severities": ["low", "medium"]}
    grave = Timeline(folder, msgspec.structs.replace(QUARANTINES, confirmations=4), quiet)
    heard = grave.play(
        CALM,
        Push(10, 20, shift=2.0),
        Expect("alert_opened", (10.5, 19)),
        Expect("state_changed", (10.5, 19), "is suspect"),
        Expect("state_changed", (10.5, 19), "is quarantined"),
        until=20,
    )
    # An alert as grave as its policy makes it goes at once; what is held before it comes along, in order.
    assert [one.kind for one in heard] == ["alert_opened", "state_changed", "state_changed"]


def test_a_review_that_nobody_decides_is_told_at_its_deadline_and_again_and_then_never_more(folder: Path) -> None:
    """The policy gives 36 seconds, the shortest time there is, and two reminders."""
    policy = msgspec.structs.replace(QUARANTINES, review_hours=0.01, review_reminders=2)
    line = Timeline(folder, policy)
    heard = line.play(
        CALM,
        DRIFT,
        Act(20, Asks(Event.START_REVIEW)),
        Expect("alert_opened", (10.5, 14)),
        Expect("state_changed", (10.5, 14), "is suspect"),
        Expect("state_changed", (10.5, 14), "is quarantined"),
        Expect("state_changed", (20, 21.5), "is under_review"),
        Expect("review_overdue", (56, 57.5), "reminder 1 of 2"),
        Expect("review_overdue", (92, 93.5), "reminder 2 of 2"),
        until=180,
    )
    first, second = (one.payload.alerts[0] for one in heard if one.kind == "review_overdue")
    assert (first.labels, first.starts_at) == (second.labels, second.starts_at)
    # A decision ends what was told: all of it, also at a receiver that keeps one thing open for each group.
    heard = line.play(
        Act(180, Asks(Event.ROLL_BACK)),
        Expect("state_changed", (180, 182), "is rolled_back", firing=True),
        until=183,
    )
    assert heard[0].payload.lazaretto.over == ("LazarettoReviewOverdue/m1/1",)
    assert line.state_of() is State.ROLLED_BACK


def test_a_named_reviewer_and_a_later_deadline_move_the_escalation(folder: Path) -> None:
    policy = msgspec.structs.replace(QUARANTINES, review_hours=0.01, review_reminders=1)
    line = Timeline(folder, policy)

    def extend(on: Timeline) -> None:
        key = KeyRequest(name="bob", scopes=frozenset({Scope.OPERATE}))
        issue_key(on.sql.control, on.clock, b"p" * 32, ANA, key)
        request = ReviewRequest(reviewers=("bob",), hours=0.02, reason="bob knows it")
        name_reviewers(on.review, ANA, "m1", "1", request)

    line.play(
        CALM,
        DRIFT,
        Act(20, Asks(Event.START_REVIEW)),
        Act(40, extend),
        Expect("alert_opened", (10.5, 14)),
        Expect("state_changed", (10.5, 14), "is suspect"),
        Expect("state_changed", (10.5, 14), "is quarantined"),
        Expect("state_changed", (20, 21.5), "is under_review"),
        Expect("review_assigned", (40, 41.5), "is with bob"),
        Expect("review_overdue", (112, 113.5), "it is with bob; reminder 1 of 1"),
        until=160,
    )
