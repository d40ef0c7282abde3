"""A fleet to look at: one version under review with an open incident, and others in other states."""

import json
import math
from dataclasses import dataclass, replace
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline, compile_baseline
from detectors.binning import count
from detectors.columns import Codes, ColumnGroup, ColumnKind, ColumnSpec, Values
from service.detect.baselines import describe, sized
from service.detect.calibration import calibrate
from service.detect.changes import Changes
from service.detect.fold import FORMAT, Stored
from service.detect.windows import Windows
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.keys import KeyParts, hash_secret, new_key
from service.domain.policy import Cause, Policy, Tuning
from service.domain.records import (
    Alert,
    ApiKey,
    BaselineRecord,
    ColumnFinding,
    Incident,
    IncidentStatus,
    Model,
    PrincipalFinding,
    Scope,
    Snapshot,
    TimelineItem,
    TransitionRecord,
    Version,
)
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import Event, State
from tests.fakes import InMemoryStore, ManualClock
from tests.service.uses import Bench

MINUTE_US, TICK_US = 60_000_000, 1_000_000
PEPPER = b"p" * 32
CATEGORIES = ("DE", "FR", "IT")
NUMERIC = ("sharpness", "grain", "brightness", "contrast", "edges")
READER, OPERATOR = frozenset({Scope.READ}), frozenset({Scope.READ, Scope.OPERATE})


def keyed(store: InMemoryStore, name: str, scopes: frozenset[Scope], models: frozenset[str] | None = None) -> KeyParts:
    parts = new_key()
    store.tables.keys[parts.id] = ApiKey(
        id=parts.id,
        name=name,
        scopes=scopes,
        models=models,
        secret_hash=hash_secret(PEPPER, parts.secret),
        created_us=Micros(0),
    )
    return parts


def values(rng: np.random.Generator, rows: int, wear: float) -> dict[str, Values]:
    columns: dict[str, Values] = {
        name: rng.normal(wear * (4 - place) / 4, 1 + wear / 4, rows) for place, name in enumerate(NUMERIC)
    }
    share = np.array([0.6 - 0.2 * wear, 0.3, 0.1 + 0.2 * wear])
    columns["country"] = Codes(CATEGORIES, rng.choice(3, rows, p=share).astype(np.int32))
    return columns


def baseline(rng: np.random.Generator, names: tuple[str, ...] = NUMERIC) -> Baseline:
    reference = values(rng, 5_000, 0.0)
    specs = [(ColumnSpec(name=name, kind=ColumnKind.NUMERIC), reference[NUMERIC[i]]) for i, name in enumerate(names)]
    country = ColumnSpec(name="country", kind=ColumnKind.CATEGORICAL, group=ColumnGroup.FEATURE)
    return compile_baseline([*specs, (country, reference["country"])]).baseline


calibrated = cache(calibrate)
"""Fleets have seeds, so most tests seed the same baselines again."""


@dataclass
class Fleet:
    """A store with something to see."""

    store: InMemoryStore
    clock: ManualClock
    rng: np.random.Generator

    @classmethod
    def new(cls, seed: int = 5) -> "Fleet":
        return cls(InMemoryStore(), ManualClock(), np.random.default_rng(seed))

    def add_version(
        self, model: str, version: str, state: State = State.ACTIVE, policy: Policy | None = None
    ) -> Version:
        tables, now = self.store.tables, self.clock.now_us()
        known = tables.model(model)
        if known is None:
            known = Model(
                id=ModelId(len(tables.models) + 1),
                name=model,
                owner="imaging",
                description="Reads handwritten digits from the camera at gate 4",
                policy=policy or Policy(),
                created_us=now,
                created_by=Actor("mira"),
            )
            tables.models[known.id] = known
        schema = Schema(
            features=tuple(Feature(name=name, kind=FeatureKind.NUMERIC) for name in NUMERIC),
            prediction=Prediction(kind=PredictionKind.CLASS, classes=CATEGORIES),
        )
        added = Version(
            id=VersionId(len(tables.versions) + 1),
            model_id=known.id,
            model=model,
            version=version,
            schema=schema,
            deployed_by=Actor("mira"),
            state=state,
            since_us=Micros(now - 6 * MINUTE_US),
            reason="registered",
            lock=0,
            restart_position=Position(0),
            baseline_id=None,
            created_us=now,
        )
        tables.versions[added.id] = added
        tables.revision += 1
        return added

    def add_evidence(self, version: Version, wears: list[float], names: tuple[str, ...] = NUMERIC) -> Baseline:
        """One minute of 300 events for each wear, the last one ending now; evidence follows the wear."""
        tables, now = self.store.tables, self.clock.now_us()
        made = baseline(self.rng, names)
        baseline_id = f"b{version.id}"
        record = BaselineRecord(
            id=baseline_id,
            version_id=version.id,
            digest=made.digest,
            signature="",
            artefact=made.to_bytes(),
            rows=made.rows,
            from_position=Position(0),
            columns=made.names,
            warnings=(),
            created_us=now,
            created_by=Actor("mira"),
        )
        tables.baselines.append(record)
        policy = tables.models[version.model_id].policy
        tables.calibrations[baseline_id] = calibrated(record.artefact, policy.tuning, policy.ticks_per_false_alarm)
        tables.versions[version.id] = replace(tables.versions[version.id], baseline_id=baseline_id)
        first = now // MINUTE_US * MINUTE_US - (len(wears) - 1) * MINUTE_US
        windows = Windows(version.id, baseline_id, made.total, len(made.names))
        evidence, kept = 2.0, []
        for minute, wear in enumerate(wears):
            drawn = values(self.rng, 300, wear)
            renamed = {name: drawn[NUMERIC[i]] for i, name in enumerate(names)} | {"country": drawn["country"]}
            counts = count(made, renamed)
            evidence = max(0.2, evidence + 9.0 * wear + self.rng.normal(0, 0.3) - 0.3 * (evidence > 2 and wear == 0))
            # Each minute's events come in one tick, the last one's in the newest.
            windows.add(min(first + (minute + 1) * MINUTE_US, now) - TICK_US, 300, counts)
            windows.note(evidence, np.full(len(made.names), evidence))
            kept.append(counts)
        tables.windows.update({(row.version_id, row.level, row.start_us): row for row in windows.take_rows()})
        self._snapshot(version, made, evidence, kept, windows)
        return made

    def _snapshot(
        self, version: Version, made: Baseline, evidence: float, kept: list[NDArray[np.int64]], windows: Windows
    ) -> None:
        view = describe(made.to_bytes())
        effects, limits = sized(made, windows.merged("1h"))
        columns = [
            {
                "name": column.name,
                "kind": column.kind,
                "group": column.group,
                "log_evidence": max(0.1, evidence * (1 - place / 5)),
                "since_us": None,
                "direction": "mean up" if place < 3 else None,
                "effects": {"1h": effects[place]},
                "intervals": {"1h": limits[place]},
            }
            for place, column in enumerate(view.columns)
        ]
        now = self.clock.now_us()
        status = {
            "monitoring": "watching",
            "events_total": 300 * len(kept),
            "last_arrival_us": now,
            "log_evidence": evidence,
            "ticks": 60 * len(kept),
            "windows": msgspec.to_builtins(windows.extents(TICK_US)),
            "columns": columns,
        }
        self.store.tables.snapshots[version.id] = Snapshot(
            version_id=version.id,
            baseline_id=f"b{version.id}",
            position=Position(len(kept)),
            events_total=300 * len(kept),
            labels_total=0,
            leaks_total=0,
            evidence_log=evidence,
            threshold_log=math.log(2_592_000),
            blob=msgspec.msgpack.encode(self._stored(kept)),
            status=json.dumps(status),
            updated_us=now,
        )

    def _stored(self, kept: list[NDArray[np.int64]]) -> Stored:
        """The change began half a minute into the third of the last minutes."""
        changed = (self.clock.now_us() // MINUTE_US * MINUTE_US - 2 * MINUTE_US + MINUTE_US // 2) // 1_000_000
        changes = Changes(len(kept[0]))
        for tick, counts in enumerate(kept[-2:], start=changed):
            changes.add(tick, 300, counts, changed)
        return Stored(
            format=FORMAT,
            last_arrival_us=self.clock.now_us(),
            restart_position=0,
            tick_us=1_000_000,
            tuning=Tuning(),
            entered=True,
            changes=changes.to_bytes(),
        )

    @staticmethod
    def _findings(made: Baseline, at: Micros) -> tuple[ColumnFinding, ...]:
        return tuple(
            ColumnFinding(
                name=name,
                group="feature",
                direction=direction,
                evidence_log=22.0,
                since_us=Micros(at - MINUTE_US),
                effects={},
            )
            for name, direction in zip(made.names, ("mean up", "mean up", "spread up"), strict=False)
        )

    def quarantine(self, version: Version, made: Baseline, title: str = "Data drift in digits 1") -> Incident:
        """What the worker writes when evidence is confirmed: alert, incident, transition."""
        tables, now = self.store.tables, self.clock.now_us()
        at = Micros(now - 2 * MINUTE_US)
        incident = Incident(
            id="01jd9",
            version_id=version.id,
            model=version.model,
            version=version.version,
            cause=Cause.DATA_DRIFT,
            title=title,
            status=IncidentStatus.OPEN,
            assignee=None,
            verdict=None,
            note=None,
            opened_us=at,
            acknowledged_us=None,
            resolved_us=None,
            lock=0,
        )
        tables.incidents[incident.id] = incident
        opened = TimelineItem(at_us=at, actor=Actor("lazaretto"), kind="opened", body=title)
        tables.timeline.append((incident.id, opened))
        findings = self._findings(made, at)
        tables.alerts["a1"] = Alert(
            id="a1",
            version_id=version.id,
            cause=Cause.DATA_DRIFT,
            status="open",
            reason="evidence above the budget",
            evidence_log=21.4,
            threshold_log=math.log(2_592_000),
            confirmations=2,
            columns=findings,
            since_us=Micros(at - MINUTE_US),
            opened_us=at,
            closed_us=None,
            position=Position(9),
            incident_id=incident.id,
        )
        self.move(
            version, Event.QUARANTINE, State.QUARANTINED, "lazaretto", "confirmed in 2 of 2 consecutive evaluations", at
        )
        return incident

    def attack(self, version: Version, *passes: PrincipalFinding) -> Incident:
        """What the worker writes of adversarial use: a pass for each finding; return the first incident."""
        tables = self.store.tables
        bench = Bench(tables.models[version.model_id].policy, (version,))
        bench.models = {int(number): model for number, model in tables.models.items()}
        bench.now_us = Micros(self.clock.now_us() - MINUTE_US)
        for found in passes:
            decisions = bench.judge(found, version=version.id)
            bench.now_us = Micros(bench.now_us + 1_000_000)
            for incident in decisions.incidents:
                opened = TimelineItem(
                    at_us=incident.opened_us, actor=Actor("lazaretto"), kind="opened", body=incident.title
                )
                tables.timeline.append((incident.id, opened))
            tables.timeline.extend(decisions.timeline)
        tables.alerts |= bench.alerts
        tables.incidents |= bench.incidents
        tables.containments |= bench.containments
        tables.revision += 1
        return next(iter(bench.incidents.values()))

    def move(self, version: Version, event: Event, after: State, actor: str, reason: str, at: Micros) -> None:
        tables = self.store.tables
        before = tables.versions[version.id]
        tables.transitions.append(
            TransitionRecord(
                version_id=version.id,
                before=before.state,
                event=event,
                after=after,
                actor=Actor(actor),
                reason=reason,
                at_us=at,
                position=Position(9),
            )
        )
        tables.versions[version.id] = replace(
            before, state=after, since_us=at, reason=f"{actor}: {reason}", lock=before.lock + 1
        )
        tables.revision += 1


def busy_fleet() -> Fleet:
    """One version quarantined by evidence, one drifting, one quiet, one retired, one without a baseline."""
    fleet = Fleet.new()
    fleet.clock.advance(45)
    digits = fleet.add_version("digits", "1")
    made = fleet.add_evidence(digits, [0.0] * 40 + [0.1, 0.3, 0.6, 0.8, 1.0])
    fleet.quarantine(digits, made)
    fleet.add_evidence(fleet.add_version("fraud-scorer", "2026-11-02"), [0.0] * 20)
    fleet.add_evidence(fleet.add_version("fraud-scorer", "2026-11-09", State.SUSPECT), [0.0] * 20 + [0.5, 0.8])
    fleet.add_version("fraud-scorer", "2026-08-01", State.RETIRED)
    fleet.add_version("churn", "7")
    return fleet
