"""What the page of an incident lets people do: beside what the office knows, merge it and decide about its version."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.console import actions
from service.console.deps import ConsoleDeps
from service.console.incident_fold import FoldFacts
from service.console.next_steps import Steps, steps_of
from service.console.read_models import When
from service.domain.errors import NotFound, Unprocessable
from service.domain.keys import Identity
from service.domain.policy import Cause
from service.domain.records import Incident, IncidentStatus, Scope
from service.ports_pages import IncidentsWanted, PageStore

MERGE_CHOICES = 20
UNRESOLVED = frozenset({IncidentStatus.OPEN, IncidentStatus.ACKNOWLEDGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeChoice:
    """An incident that this one may become a part of."""

    id: str
    title: str
    opened: When


@dataclass(frozen=True, slots=True, kw_only=True)
class Acts:
    """Which forms there are."""

    may: bool
    acknowledge: bool
    take: bool
    """Whether the viewer can take it with one press."""
    unresolved: bool
    into: tuple[MergeChoice, ...]
    steps: Steps
    change: int
    """The version's lock, so that a decision about an older one is refused."""


def acts_of(facts: FoldFacts, others: Sequence[Incident], viewer: Identity) -> Acts:
    """Decide which forms the viewer gets."""
    incident, may = facts.incident, viewer.may(Scope.OPERATE)
    unresolved = may and incident.status is not IncidentStatus.RESOLVED
    return Acts(
        may=may,
        acknowledge=may and incident.status is IncidentStatus.OPEN,
        take=unresolved and incident.assignee != viewer.actor,
        unresolved=unresolved,
        into=tuple(
            MergeChoice(id=one.id, title=one.title, opened=When.of(one.opened_us, facts.now_us)) for one in others
        )
        if unresolved
        else (),
        steps=steps_of(
            facts.version,
            facts.model.policy,
            facts.approvals,
            viewer,
            is_open=incident.status is not IncidentStatus.RESOLVED,
            is_attack=incident.cause is Cause.ADVERSARIAL,
        ),
        change=facts.version.lock,
    )


def others_of(pages: PageStore | None, incident: Incident) -> tuple[Sequence[Incident], int]:
    """Return incidents of the same model that nobody has resolved, beside one, and how many there are."""
    if pages is None:
        return (), 0
    found = pages.incidents(IncidentsWanted(model=incident.model, statuses=UNRESOLVED), MERGE_CHOICES + 1, 0)
    others = [one for one in found.rows if one.id != incident.id][:MERGE_CHOICES]
    return others, found.total - (incident.status in UNRESOLVED)


def act(deps: ConsoleDeps, who: Identity, about: Incident, action: str, form: dict[str, str]) -> tuple[str, str]:
    """Do what a form of the page asks for; return whose page comes next, and what was done as a name of ``DONE``.

    Raises
    ------
    LazarettoError
        Whatever the office says.
    """
    if action == "decide":
        done = actions.transition(deps, who, about.model, about.version, {**form, "incident_id": about.id})
        return about.id, done
    if action == "merge":
        return _merge(deps, who, about, form), "merge"
    if action == "take":
        return about.id, actions.incident(deps, who, about, "assign", {**form, "assignee": str(who.actor)})
    return about.id, actions.incident(deps, who, about, action, form)


def _merge(deps: ConsoleDeps, who: Identity, about: Incident, form: dict[str, str]) -> str:
    who.require(Scope.OPERATE)
    if deps.triage is None:
        raise NotFound("This console cannot merge incidents.")
    into = form.get("into", "").strip()
    if not into:
        raise Unprocessable("Choose the incident that this one is part of.")
    whole = actions.incident_of(deps, who, into)
    deps.triage.merge(who.actor, about.id, whole.id, form.get("note", ""), actions.seen_of(form, "lock"))
    deps.changed()
    return whole.id
