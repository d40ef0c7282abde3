"""What people do with incidents."""

import pytest

from service.alert.triage import NOTE_LENGTH_MAX, Act, IncidentAction, act_on
from service.domain.errors import Conflict, Unprocessable
from service.domain.ids import Actor, Micros, VersionId
from service.domain.policy import Cause
from service.domain.records import Incident, IncidentStatus, Verdict

ANA = Actor("ana")
INCIDENT = Incident(
    id="i1",
    version_id=VersionId(1),
    model="fraud",
    version="1",
    cause=Cause.DATA_DRIFT,
    title="Data drift",
    status=IncidentStatus.OPEN,
    assignee=None,
    verdict=None,
    note=None,
    opened_us=Micros(1),
    acknowledged_us=None,
    resolved_us=None,
    lock=3,
)


def done(act: Act, incident: Incident = INCIDENT, at: int = 9) -> Incident:
    return act_on(incident, act, ANA, Micros(at))[0]


def test_acknowledging_keeps_the_first_time() -> None:
    first = done(Act(action=IncidentAction.ACK), at=5)
    again = done(Act(action=IncidentAction.ACK), first, at=6)
    assert (again.status, again.acknowledged_us) == (IncidentStatus.ACKNOWLEDGED, 5)


def test_resolving_records_verdict_note_and_time() -> None:
    after, item = act_on(
        INCIDENT, Act(action=IncidentAction.RESOLVE, verdict=Verdict.DATA_BUG, note="camera cable"), ANA, Micros(9)
    )
    assert (after.status, after.verdict, after.note, after.resolved_us) == (
        IncidentStatus.RESOLVED,
        Verdict.DATA_BUG,
        "camera cable",
        9,
    )
    assert (item.kind, item.body, item.actor) == ("resolve", "data bug: camera cable", ANA)


def test_assigning_names_the_person() -> None:
    after, item = act_on(INCIDENT, Act(action=IncidentAction.ASSIGN, assignee="bob"), ANA, Micros(9))
    assert (after.assignee, item.body) == ("bob", "to bob")


def test_a_comment_changes_nothing_but_the_timeline() -> None:
    after, item = act_on(INCIDENT, Act(action=IncidentAction.COMMENT, note="looking"), ANA, Micros(9))
    assert after == INCIDENT
    assert item.body == "looking"


@pytest.mark.parametrize(
    "act",
    [
        Act(action=IncidentAction.ACK),
        Act(action=IncidentAction.ASSIGN, assignee="bob"),
        Act(action=IncidentAction.RESOLVE, verdict=Verdict.BENIGN),
    ],
)
def test_a_resolved_incident_takes_only_comments(act: Act) -> None:
    resolved = done(Act(action=IncidentAction.RESOLVE, verdict=Verdict.BENIGN))
    with pytest.raises(Conflict, match="only comments"):
        act_on(resolved, act, ANA, Micros(10))
    assert done(Act(action=IncidentAction.COMMENT, note="later"), resolved) == resolved


@pytest.mark.parametrize(
    ("act", "place"),
    [
        (Act(action=IncidentAction.COMMENT, note=" "), "note"),
        (Act(action=IncidentAction.COMMENT, note="x" * (NOTE_LENGTH_MAX + 1)), "note"),
        (Act(action=IncidentAction.ASSIGN), "assignee"),
        (Act(action=IncidentAction.ASSIGN, assignee="x" * 201), "assignee"),
        (Act(action=IncidentAction.ASSIGN, assignee="bob\x00"), "assignee"),
        (Act(action=IncidentAction.ACK, note="\x1b[2J"), "note"),
        (Act(action=IncidentAction.RESOLVE), "verdict"),
    ],
)
def test_an_action_that_lacks_what_it_needs_names_the_place(act: Act, place: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        act_on(INCIDENT, act, ANA, Micros(9))
    assert [p.at for p in refused.value.places] == [place]
