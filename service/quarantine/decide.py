"""What an alert does to a version's state, and what a person may do to it. Pure: nothing is written here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from service.domain.errors import Conflict, Place, Unprocessable
from service.domain.ids import Actor
from service.domain.policy import Action, Policy
from service.domain.records import Alert, Approvals, Scope, Version
from service.domain.states import OUT_OF_USE, SERVING, Event, State, next_state
from service.domain.texts import bad_text

REASON_LENGTH_MAX = 2_000

PRINCIPAL_SHOWN = 12
"""Digits of a pseudonym that people read."""

REQUIRED_SCOPE = Scope.OPERATE
"""What a key needs to raise any event of the table."""

ENDS_ALARM = frozenset({Event.CLEAR, Event.RELEASE, Event.ROLL_BACK, Event.RETIRE})
"""Events that settle what the evidence said: open alerts are closed and evidence starts from zero."""


class Why(StrEnum):
    """The named reason of a ruling."""

    NOT_SERVING = "not_serving"
    """No traffic goes to the version: there is nothing to take away."""
    RECORD = "record"
    NOTIFY = "notify"
    SUSPECT = "suspect"
    WAITING = "waiting"
    """Suspect already; the next evaluations decide."""
    CONFIRMED = "confirmed"
    DRY_RUN = "dry_run"
    LAST_HEALTHY = "last_healthy"
    FLEET_SHARE = "fleet_share"
    ONE_PRINCIPAL = "one_principal"
    """The evidence rests on what one principal has sent."""
    MAINTENANCE = "maintenance"
    """A window of maintenance lets drift quarantine nothing."""


HELD = frozenset({Why.DRY_RUN, Why.LAST_HEALTHY, Why.FLEET_SHARE})
"""Rulings that say what would have happened but for the policy."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the policy does about an alert now. ``event`` is ``None`` when the state stays as it is."""

    event: Event | None
    why: Why
    text: str


def decide(alert: Alert, version: Version, policy: Policy, fleet: Iterable[Version]) -> Ruling:
    """Return what the policy does about an alert whose evidence is above the threshold."""
    action = policy.actions.of(alert.cause)
    # Where no traffic goes, there is nothing left to protect; people decide.
    if version.state not in SERVING:
        return Ruling(None, Why.NOT_SERVING, f"no action: the version is {version.state}")
    # The policy only wants to know.
    if action in {Action.RECORD, Action.NOTIFY}:
        return Ruling(None, Why(action.value), f"the policy for {_words(alert.cause)} is to {action}")
    confirmed = f"confirmed in {alert.confirmations} of {policy.confirmations} consecutive evaluations"
    wants_quarantine = action is Action.QUARANTINE and alert.confirmations >= policy.confirmations
    # A dry run says what it would have done, and does nothing.
    if policy.dry_run:
        wanted = State.QUARANTINED if wants_quarantine else State.SUSPECT
        return Ruling(None, Why.DRY_RUN, f"dry run: would now be {wanted} ({confirmed})")
    if not wants_quarantine:
        return mark(version, Why.SUSPECT, f"suspect: {confirmed}")
    return take_away(version, policy, fleet, confirmed)


def take_away(version: Version, policy: Policy, fleet: Iterable[Version], text: str) -> Ruling:
    """Quarantine a version that serves, or make it suspect when that would take away more than it protects."""
    cap = _cap(version, policy, fleet)
    if cap is not None:
        return mark(version, cap[0], f"not quarantined although {text}: {cap[1]}")
    return Ruling(Event.QUARANTINE, Why.CONFIRMED, text)


def spare(ruling: Ruling, version: Version, principal: str, share: float, what: str = "events") -> Ruling:
    """Let a version serve that was to be quarantined, as it is one principal that calls for it; people decide."""
    whose = f"principal {principal[:PRINCIPAL_SHOWN]}, who sent {share:.0%} of the {what} since the change began"
    text = f"not quarantined although {ruling.text}: without {whose}, there is no such evidence; look at that client"
    return mark(version, Why.ONE_PRINCIPAL, text)


def held_back(alerts: Iterable[Alert], version: Version, policy: Policy, fleet: Iterable[Version]) -> str | None:
    """Return why a policy does not do what open alerts call for, ``None`` when nothing holds it back."""
    everyone = tuple(fleet)
    for alert in alerts:
        ruling = decide(alert, version, policy, everyone)
        if alert.confirmations and ruling.why in HELD:
            return ruling.text
    return None


def mark(version: Version, why: Why, text: str) -> Ruling:
    """Make an active version suspect; a suspect one stays so."""
    if version.state is State.ACTIVE:
        return Ruling(Event.SUSPECT, why, text)
    return Ruling(None, Why.WAITING if why is Why.SUSPECT else why, text)


def _cap(version: Version, policy: Policy, fleet: Iterable[Version]) -> tuple[Why, str] | None:
    """Return why the version must not be quarantined by a policy, or ``None``."""
    in_service = [v for v in fleet if v.state not in OUT_OF_USE]
    siblings = [v for v in in_service if v.model_id == version.model_id and v.id != version.id]
    if policy.blast_radius.keep_last_healthy and siblings and not any(v.state in SERVING for v in siblings):
        return Why.LAST_HEALTHY, f"it is the last version of {version.model} that still serves"
    held = sum(v.state not in SERVING for v in in_service) + 1
    share = policy.blast_radius.fleet_share
    if len(in_service) >= policy.blast_radius.fleet_minimum and held > share * len(in_service):
        return Why.FLEET_SHARE, f"{held} of {len(in_service)} versions would be held, more than the share of {share:g}"
    return None


@dataclass(frozen=True, slots=True)
class Granted:
    """The event happens now and leads to ``state``."""

    state: State
    approvals: Approvals | None


@dataclass(frozen=True, slots=True)
class Pending:
    """More people have to ask for the release."""

    approvals: Approvals


def check_seen(version: Version, seen: int | None) -> None:
    """Raise Conflict, saying what has changed, when a person acts on a version as it no longer is.

    ``seen`` is the number of the newest change that the person knows; ``None`` checks nothing.
    """
    if seen is None or seen == version.lock:
        return
    detail = (
        f"{version.model}/{version.version} has changed since you looked: it is '{version.state}' by change number"
        f" {version.lock} ({version.reason}), and you saw number {seen}; look again"
    )
    place = Place("change", f"is {seen}, but the newest is {version.lock}")
    raise Conflict(detail, places=[place], extra={"state": str(version.state), "change": version.lock})


def check_request(version: Version, event: Event, reason: str) -> State:
    """Return the state that a person's event would lead to.

    Raises
    ------
    Unprocessable
        When the reason is empty, too long or has a control character.
    Conflict
        When the table has no such transition; the detail names the possible events.
    """
    if not reason.strip():
        raise Unprocessable("a reason is required", places=[Place("reason", "must not be empty")])
    places = bad_text("reason", reason, most=REASON_LENGTH_MAX)
    if places:
        raise Unprocessable(f"reason: {places[0].reason}", places=places)
    return next_state(version.state, event)


def decide_request(version: Version, event: Event, policy: Policy, asked_by: Sequence[Actor]) -> Granted | Pending:
    """Return whether a person's event happens now.

    Only a release needs several people; ``asked_by`` are those who have asked for it, this one included. A review that
    begins says how many it will need.
    """
    state = next_state(version.state, event)
    if event is not Event.RELEASE:
        return Granted(state, count_approvals(version, policy, ()) if state is State.UNDER_REVIEW else None)
    approvals = count_approvals(version, policy, asked_by)
    return Granted(state, approvals) if approvals.have >= approvals.need else Pending(approvals)


def count_approvals(version: Version, policy: Policy, asked_by: Sequence[Actor]) -> Approvals:
    """Count different people; whoever deployed the version never releases it alone."""
    people = tuple(dict.fromkeys(asked_by))
    need = policy.reviewers
    if people == (version.deployed_by,):
        need = max(need, 2)
    return Approvals(have=len(people), need=need, by=people)


def _words(cause: str) -> str:
    return cause.replace("_", " ")
