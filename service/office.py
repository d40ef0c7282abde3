"""What people do: register models and versions, sign baselines, change states, triage incidents.

Each operation is one write transaction: read, decide purely, write. The API, the console and the command line all come
through here; who may do what is checked before.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from service.alert.triage import Act, IncidentAction, act_on
from service.detect.choices import bad_choices, bad_for
from service.detect.reference import CompiledReference
from service.domain.calibration import Calibration
from service.domain.errors import Conflict, NotFound, Place, Unprocessable
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.keys import KeyParts, hash_secret, new_key
from service.domain.marks import Marks, check_mark
from service.domain.policy import SECONDS_PER_DAY, Cause, Policy
from service.domain.records import (
    ApiKey,
    Approvals,
    BaselineRecord,
    Incident,
    Model,
    Scope,
    TimelineItem,
    TransitionRecord,
    Version,
)
from service.domain.schema import Schema
from service.domain.states import Event, State
from service.domain.texts import NAME_LENGTH_MAX, bad_name, bad_text
from service.domain.unchanged import unchanged
from service.in_force import put_in_force, signed
from service.ingest.deidentify import Deidentifier
from service.ingest.limits import Limits
from service.notify.compose import compose, release_pending, state_changed
from service.notify.incidents import incident_messages
from service.ports import Clock, ControlStore, ControlTx
from service.quarantine.decide import ENDS_ALARM, Pending, check_request, check_seen, decide_request

KEY_DAYS_MAX = 36_500.0
"""A century; later dates do not fit a calendar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeStages:
    """What people's operations work with."""

    control: ControlStore
    clock: Clock
    head: Callable[[], Position]
    """The head of the telemetry log; read inside a write transaction, so that the worker cannot have passed it."""
    limits: Limits
    deidentifier: Deidentifier
    signing_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionAnswer:
    """Where a version stands after a request; ``approvals`` only for a release, and a review that begins."""

    state: State
    version: str
    approvals: Approvals | None


def register_model(
    office: OfficeStages, actor: Actor, name: str, owner: str, description: str = "", policy: Policy | None = None
) -> Model:
    """Add a model.

    Raises
    ------
    Unprocessable
        When a text is empty, too long, or the name has signs that a path or a label cannot carry.
    Conflict
        When the model exists.
    """
    policy = policy or Policy()
    places = [*bad_name("name", name), *bad_text("owner", owner, least=1), *bad_text("description", description)]
    places += bad_choices(policy, "policy.")
    if places:
        raise Unprocessable("the model cannot be registered", places=places)
    with office.control.write() as tx:
        if tx.model(name) is not None:
            raise Conflict(f"model '{name}' exists", places=[Place("name", f"'{name}' is taken")])
        now_us = office.clock.now_us()
        model = tx.add_model(
            Model(
                id=ModelId(0),
                name=name,
                owner=owner,
                description=description,
                policy=policy.sealed(office.deidentifier.pseudonym),
                created_us=now_us,
                created_by=actor,
            )
        )
        tx.audit(actor, "model.register", name, owner, now_us)
        return model


def register_version(
    office: OfficeStages, actor: Actor, model: str, version: str, schema: Schema, deployed_by: Actor | None = None
) -> Version:
    """Add a version; registering the same one again returns it unchanged.

    Raises
    ------
    NotFound
        When there is no such model.
    Unprocessable
        When the name has signs that a path or a label cannot carry, or the deployer is no fit text.
    Conflict
        When the version exists with another schema or deployer; the detail names what differs.
    """
    places = [*bad_name("version", version), *bad_text("deployed_by", deployed_by or "", most=NAME_LENGTH_MAX)]
    if places:
        raise Unprocessable("the version cannot be registered", places=places)
    with office.control.write() as tx:
        owner = tx.model(model)
        if owner is None:
            raise NotFound(f"no model '{model}'")
        known = tx.version(model, version)
        if known is not None:
            return unchanged(known, schema, deployed_by)
        now_us = office.clock.now_us()
        added = tx.add_version(
            Version(
                id=VersionId(0),
                model_id=owner.id,
                model=model,
                version=version,
                schema=schema,
                deployed_by=deployed_by or actor,
                state=State.ACTIVE,
                since_us=now_us,
                reason="registered",
                lock=0,
                restart_position=Position(0),
                baseline_id=None,
                created_us=now_us,
            )
        )
        tx.audit(actor, "version.register", f"{model}/{version}", f"deployed by {added.deployed_by}", now_us)
        return added


def put_baseline(office: OfficeStages, actor: Actor, version: Version, compiled: CompiledReference) -> BaselineRecord:
    """Sign a compiled baseline and put it in force for every event after the log's head."""
    with office.control.write() as tx:
        current = _version(tx, version.model, version.version)
        now_us = office.clock.now_us()
        record = signed(
            compiled,
            baseline_id=new_id(),
            version=current,
            signing_key=office.signing_key,
            head=office.head(),
            now_us=now_us,
            actor=actor,
        )
        subject = f"{version.model}/{version.version}"
        put_in_force(tx, record, compiled.calibration, subject=subject, actor=actor, now_us=now_us)
        return record


def save_calibration(office: OfficeStages, baseline_id: str, calibration: Calibration) -> None:
    """Store what a baseline tolerates, worked out anew; raise NotFound when there is no such baseline."""
    with office.control.write() as tx:
        tx.save_calibration(baseline_id, calibration)


def request_transition(  # noqa: PLR0913, PLR0917 - what the request says, word for word
    office: OfficeStages,
    actor: Actor,
    model: str,
    version: str,
    event: Event,
    reason: str,
    incident_id: str | None,
    *,
    seen: int | None = None,
) -> TransitionAnswer:
    """Change a version's state, or count one more person who asks for its release.

    ``seen`` is the number of the version's newest change that the person knows; ``None`` asks whatever has changed.

    Raises
    ------
    NotFound
        When there is no such version or incident.
    Unprocessable
        When the reason is missing or too long.
    Conflict
        When the event is impossible in the version's state, or the version has changed meanwhile.
    """
    with office.control.write() as tx:
        current = _version(tx, model, version)
        owner = tx.model(model)
        if owner is None:
            raise NotFound(f"no model '{model}'")
        check_seen(current, seen)
        check_request(current, event, reason)
        now_us = office.clock.now_us()
        asked_by = tx.approve(current.id, actor, now_us) if event is Event.RELEASE else ()
        answer = decide_request(current, event, owner.policy, asked_by)
        if isinstance(answer, Pending):
            _tell_pending(office, tx, current, answer.approvals, reason, actor)
            return TransitionAnswer(state=current.state, version=version, approvals=answer.approvals)
        record = TransitionRecord(
            version_id=current.id,
            before=current.state,
            event=event,
            after=answer.state,
            actor=actor,
            reason=reason.strip(),
            at_us=now_us,
            position=office.head(),
            incident_id=incident_id,
        )
        _apply(tx, current, record)
        return TransitionAnswer(state=answer.state, version=version, approvals=answer.approvals)


def act_on_incident(office: OfficeStages, actor: Actor, incident_id: str, act: Act) -> Incident:
    """Acknowledge, assign, comment on or resolve an incident.

    Raises
    ------
    NotFound
        When there is no such incident.
    Unprocessable
        When the action lacks what it needs.
    Conflict
        When the incident is resolved already, or has changed meanwhile.
    """
    with office.control.write() as tx:
        incident = _incident(tx, incident_id)
        after, item = act_on(incident, act, actor, office.clock.now_us())
        tx.save_incident(after, item)
        for message in incident_messages(incident, after, item):
            tx.add_message(message)
        # What one attacker did says nothing of the traffic: whoever settles it must not make its evidence forget.
        if act.action is IncidentAction.RESOLVE and incident.cause is not Cause.ADVERSARIAL:
            tx.restart(incident.version_id, office.head())
        return replace(after, lock=after.lock + 1)


def set_policy(office: OfficeStages, actor: Actor, model: str, policy: Policy, seen: Marks | None = None) -> Model:
    """Replace a model's policy; with ``seen`` only one with such a mark.

    Raises
    ------
    NotFound
        When there is no such model.
    Unprocessable
        When the policy contradicts itself, or speaks of columns that no version of the model has.
    Replaced
        When somebody else has replaced it meanwhile.
    """
    with office.control.write() as tx:
        known = tx.model(model)
        if known is None:
            raise NotFound(f"no model '{model}'")
        check_mark(seen, known.policy, f"the policy of model '{model}'")
        versions = [version for version in tx.fleet() if version.model_id == known.id]
        places = [*bad_choices(policy), *bad_for(versions, policy)]
        if places:
            raise Unprocessable("the policy cannot be set", places=places)
        policy = policy.sealed(office.deidentifier.pseudonym)
        tx.set_policy(known.id, policy)
        tx.audit(actor, "policy.set", model, msgspec.json.encode(policy).decode(), office.clock.now_us())
        return replace(known, policy=policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """What a new key shall be called and may do."""

    name: str
    scopes: frozenset[Scope]
    models: frozenset[str] | None = None
    expires_days: float | None = None


def issue_key(control: ControlStore, clock: Clock, pepper: bytes, actor: Actor, request: KeyRequest) -> KeyParts:
    """Make a key and store its keyed hash; the parts are the only copy of the secret.

    Raises
    ------
    Unprocessable
        When a name is unfit, no scope is asked for, or the key would be expired at once or outlive the calendar.
    """
    now_us = clock.now_us()
    places = bad_name("name", request.name)
    if not request.scopes:
        places.append(Place("scopes", "must name at least one of: " + ", ".join(Scope)))
    if request.models is not None and not request.models:
        places.append(Place("models", "must name at least one model, or be left out for all of them"))
    for number, model in enumerate(sorted(request.models or ())):
        places += bad_name(f"models[{number}]", model)
    days = request.expires_days
    if days is not None and not 0 < days <= KEY_DAYS_MAX:
        places.append(Place("expires_days", f"must lie in the future, at most {KEY_DAYS_MAX:g} days from now"))
    if places:
        raise Unprocessable("the key cannot be made", places=places)
    expires_us = None if days is None else Micros(now_us + round(days * SECONDS_PER_DAY * 1e6))
    parts = new_key()
    key = ApiKey(
        id=parts.id,
        name=request.name,
        scopes=request.scopes,
        models=request.models,
        secret_hash=hash_secret(pepper, parts.secret),
        created_us=now_us,
        expires_us=expires_us,
    )
    with control.write() as tx:
        tx.add_key(key)
        tx.audit(actor, "key.issue", key.id, f"{key.name}: {', '.join(sorted(key.scopes))}", now_us)
    return parts


def revoke_key(control: ControlStore, clock: Clock, actor: Actor, key_id: str) -> None:
    """Revoke a key; raise NotFound when there is no such key."""
    with control.write() as tx:
        now_us = clock.now_us()
        if not tx.revoke_key(key_id, now_us):
            raise NotFound(f"no key '{key_id}'")
        tx.audit(actor, "key.revoke", key_id, "", now_us)


def new_id() -> str:
    """Return 32 random hex digits."""
    return os.urandom(16).hex()


def _apply(tx: ControlTx, version: Version, record: TransitionRecord) -> None:
    """Write a state change, what it means for the evidence, and whom to tell."""
    restart = record.position if record.event in ENDS_ALARM else None
    if record.incident_id is not None:
        incident = _incident(tx, record.incident_id)
        if incident.version_id != version.id:
            reason = f"is not about {version.model}/{version.version}"
            raise Conflict(f"incident '{incident.id}' {reason}", places=[Place("incident_id", reason)])
        item = TimelineItem(at_us=record.at_us, actor=record.actor, kind=record.event, body=record.reason)
        tx.save_incident(incident, item)
    tx.transition(record, lock=version.lock, restart=restart)
    tx.add_message(compose(state_changed(record, version)))


def _tell_pending(
    office: OfficeStages, tx: ControlTx, version: Version, approvals: Approvals, reason: str, actor: Actor
) -> None:
    now_us: Micros = office.clock.now_us()
    subject = f"{version.model}/{version.version}"
    tx.audit(actor, "release.ask", subject, f"{approvals.have} of {approvals.need}: {reason.strip()}", now_us)
    tx.add_message(compose(release_pending(version, approvals, reason, now_us, new_id())))


def _version(tx: ControlTx, model: str, version: str) -> Version:
    found = tx.version(model, version)
    if found is None:
        raise NotFound(f"no version '{version}' of model '{model}'")
    return found


def _incident(tx: ControlTx, incident_id: str) -> Incident:
    found = tx.incident(incident_id)
    if found is None:
        raise NotFound(f"no incident '{incident_id}'")
    return found
