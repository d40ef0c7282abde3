"""One write transaction over the in-memory tables."""

from collections.abc import Sequence
from dataclasses import replace

from service.domain.calibration import Calibration
from service.domain.errors import Conflict, NotFound
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Policy
from service.domain.principals import Containment
from service.domain.records import (
    ApiKey,
    BaselineRecord,
    Incident,
    IncidentStatus,
    Message,
    Model,
    TimelineItem,
    TransitionRecord,
    Version,
)
from service.domain.redteam import RedTeamRun
from service.domain.vouched import Vouched
from tests.fakes.tables import Queued, Tables


class InMemoryTx:
    """ControlTx over a draft of the tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def model(self, name: str) -> Model | None:
        return self._tables.model(name)

    def version(self, model: str, version: str) -> Version | None:
        return self._tables.version(model, version)

    def fleet(self) -> Sequence[Version]:
        return list(self._tables.versions.values())

    def add_model(self, model: Model) -> Model:
        if self._tables.model(model.name) is not None:
            raise Conflict(f"model '{model.name}' exists")
        stored = replace(model, id=ModelId(len(self._tables.models) + 1))
        self._tables.models[stored.id] = stored
        self._changed()
        return stored

    def set_policy(self, model_id: ModelId, policy: Policy) -> None:
        if model_id not in self._tables.models:
            raise NotFound(f"no model with the id {model_id}")
        self._tables.models[model_id] = replace(self._tables.models[model_id], policy=policy)
        self._changed()

    def add_version(self, version: Version) -> Version:
        if self._tables.version(version.model, version.version) is not None:
            raise Conflict(f"version '{version.model}/{version.version}' exists")
        if version.model_id not in self._tables.models:
            raise NotFound(f"no model with the id {version.model_id}")
        stored = replace(version, id=VersionId(len(self._tables.versions) + 1))
        self._tables.versions[stored.id] = stored
        self._changed()
        return stored

    def set_vouched(self, version_id: VersionId, vouched: Vouched) -> None:
        self._tables.versions[version_id] = replace(self._tables.of_version(version_id), vouched=vouched)
        self._changed()

    def add_baseline(self, baseline: BaselineRecord) -> None:
        version = self._tables.of_version(baseline.version_id)
        if any(b.id == baseline.id for b in self._tables.baselines):
            raise Conflict(f"baseline '{baseline.id}' exists")
        self._tables.baselines.append(baseline)
        self._tables.versions[version.id] = replace(version, baseline_id=baseline.id)
        self._changed()

    def save_calibration(self, baseline_id: str, calibration: Calibration) -> None:
        if all(b.id != baseline_id for b in self._tables.baselines):
            raise NotFound(f"no baseline '{baseline_id}'")
        self._tables.calibrations[baseline_id] = calibration

    def transition(self, record: TransitionRecord, *, lock: int, restart: Position | None) -> None:
        self._tables.apply(record, lock, restart)
        if restart is not None:
            self._tables.close_alerts(record.at_us, version_id=record.version_id)
        self._changed()

    def restart(self, version_id: VersionId, position: Position) -> None:
        version = self._tables.of_version(version_id)
        self._tables.versions[version_id] = replace(version, restart_position=position)
        self._changed()

    def approve(self, version_id: VersionId, actor: Actor, at_us: Micros) -> Sequence[Actor]:  # noqa: ARG002 - the real one keeps the time
        have = self._tables.approvals.get(self._tables.of_version(version_id).id, ())
        if actor not in have:
            have += (actor,)
            self._tables.approvals[version_id] = have
        return have

    def incident(self, incident_id: str) -> Incident | None:
        return self._tables.incidents.get(incident_id)

    def save_incident(self, incident: Incident, item: TimelineItem) -> None:
        stored = self._tables.incidents.get(incident.id)
        if stored is None:
            raise NotFound(f"no incident '{incident.id}'")
        if stored.lock != incident.lock:
            raise Conflict(f"incident '{incident.id}' has changed: read it again")
        self._tables.incidents[incident.id] = replace(incident, lock=incident.lock + 1)
        self._tables.note(incident.id, item)
        if incident.status is IncidentStatus.RESOLVED:
            self._tables.close_alerts(item.at_us, incident=incident.id)
        self._changed()

    def containment(self, version_id: VersionId, principal: str) -> Containment | None:
        return self._tables.containments.get((version_id, principal))

    def save_containment(self, containment: Containment) -> None:
        key = containment.version_id, containment.principal
        if key not in self._tables.containments:
            raise NotFound(f"no containment of principal '{containment.principal}'")
        self._tables.containments[key] = containment
        self._changed()

    def save_redteam_run(self, run: RedTeamRun) -> None:
        self._tables.redteam[run.version_id] = run

    def add_key(self, key: ApiKey) -> None:
        if key.id in self._tables.keys:
            raise Conflict(f"key '{key.id}' exists")
        self._tables.keys[key.id] = key
        self._changed()

    def revoke_key(self, key_id: str, at_us: Micros) -> bool:
        key = self._tables.keys.get(key_id)
        if key is None:
            return False
        self._tables.keys[key_id] = replace(key, revoked_us=at_us)
        self._changed()
        return True

    def add_message(self, message: Message) -> None:
        assert message.id not in self._tables.outbox, f"message '{message.id}' is in the outbox"
        self._tables.outbox[message.id] = Queued(message)

    def audit(self, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
        self._tables.audit(actor, action, subject, detail, at_us)

    def _changed(self) -> None:
        self._tables.revision += 1
