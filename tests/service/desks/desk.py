"""A console over a real store, with incidents, reviews and channels in it: what the pages that list are tested on."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI

from service.console.deps import ConsoleDeps
from service.console.routes import build_router
from service.domain.errors import Unauthenticated
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.incidents import Frozen, FrozenColumn, FrozenHistogram
from service.domain.keys import Identity, hash_secret, new_key, parse_key
from service.domain.policy import Cause, Policy
from service.domain.records import (
    Alert,
    ApiKey,
    ColumnFinding,
    Incident,
    IncidentStatus,
    Model,
    Scope,
    Severity,
    Version,
)
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import State
from service.incident_office import IncidentOffice
from service.office import OfficeStages
from service.ports import Outcome
from service.ports_console import Standing
from service.review.stages import ReviewStages
from service.settings import Settings
from service.store import Store, open_store
from tests.fakes import ManualClock

PEPPER = b"p" * 32
READER = frozenset({Scope.READ})
OPERATOR = frozenset({Scope.READ, Scope.OPERATE})
ADMIN = frozenset({Scope.READ, Scope.OPERATE, Scope.ADMIN})
HOUR_US = 3_600_000_000
HOSTILE = "<img src=/x onerror=alert(1)>"
SCHEMA = Schema(
    features=(Feature(name="age", kind=FeatureKind.NUMERIC),),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("a", "b")),
)


class Visitor:
    """A browser's cookies and requests, one at a time, without a server in between."""

    def __init__(self, app: FastAPI) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console.test")

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return asyncio.run(self._client.get(path, headers=headers))

    def page(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.text

    def post(self, path: str, page: str, **fields: str) -> httpx.Response:
        found = re.search(r'name="form_token" value="([^"]+)"', page)
        assert found, "the page has no form"
        return asyncio.run(self._client.post(path, data={"form_token": found[1], **fields}))


def finding(name: str, at_us: int, evidence: float = 22.0, segment: str | None = None) -> ColumnFinding:
    return ColumnFinding(
        name=name,
        group="feature",
        direction="mean up",
        evidence_log=evidence,
        since_us=Micros(at_us),
        effects={},
        segment=segment,
    )


def frozen_of(incident: Incident, columns: Sequence[str]) -> Frozen:
    bins = ("below", *(f"[{n}, {n + 1})" for n in range(6)), "above", "missing", "invalid")
    return Frozen(
        incident_id=incident.id,
        version_id=incident.version_id,
        cause=str(incident.cause),
        at_us=incident.opened_us,
        position=9,
        state="active",
        reason="evidence above the budget",
        log_evidence=22.0,
        log_threshold=14.0,
        columns=tuple(
            FrozenColumn(
                name=name,
                segment=None,
                group="feature",
                direction="mean up",
                log_evidence=22.0,
                since_us=incident.opened_us - 60_000_000,
            )
            for name in columns
        ),
        histograms=tuple(
            FrozenHistogram(
                name=name,
                bins=bins,
                baseline=(10, 100, 200, 300, 200, 100, 50, 10, 5, 0),
                current=(0, 10, 20, 40, 90, 120, 60, 30, 0, 0),
                effects={"psi": 0.62, "ks": 0.4},
                intervals={"psi": (0.5, 0.75), "ks": None},
            )
            for name in columns
        ),
        principals=(),
        adversarial=None,
        baseline_id="b1",
        baseline_digest="ab" * 32,
        policy=Policy(),
    )


def alert_of(incident: Incident, number: int, columns: Sequence[str]) -> Alert:
    return Alert(
        id=f"a{number:06}",
        version_id=incident.version_id,
        cause=incident.cause,
        status="closed" if incident.resolved_us else "open",
        reason="evidence above the budget",
        evidence_log=22.0,
        threshold_log=14.0,
        confirmations=2,
        columns=tuple(finding(name, incident.opened_us - 60_000_000) for name in columns),
        since_us=Micros(incident.opened_us - 60_000_000),
        opened_us=incident.opened_us,
        closed_us=incident.resolved_us,
        position=Position(9),
        incident_id=incident.id,
    )


def standing_of(store: Store, clock: ManualClock) -> Standing:
    """Return what the process would know of every version."""
    return Standing(
        revision=store.read.revision(),
        models={model.name: model for model in store.read.models()},
        versions=store.read.versions(),
        snapshots={one.version_id: one for one in store.read.snapshots()},
        read_us=clock.now_us(),
    )


@dataclass
class Desk:
    """A store, a clock, and a console over both."""

    store: Store
    clock: ManualClock
    app: FastAPI
    deps: ConsoleDeps
    used: list[str]
    """Ids of the keys that the console has counted as used."""

    def __post_init__(self) -> None:
        self._worker = self.store.worker("test", 10_000.0, self.clock)
        self._numbers = iter(range(1, 1_000_000))
        self._visitors: dict[str, Visitor] = {}

    @classmethod
    def over(cls, path: Path, **settings: Any) -> "Desk":
        clock = ManualClock()
        store = open_store(f"sqlite:///{path}", timeout_seconds=5.0)
        office = OfficeStages(
            control=store.control,
            clock=clock,
            head=lambda: Position(9),
            limits=cast("Any", None),
            deidentifier=cast("Any", None),
            signing_key=b"x" * 32,
        )

        def authenticate(text: str) -> Identity:
            parts = parse_key(text)
            key = store.keys.key(parts.id) if parts else None
            if parts is None or key is None or key.secret_hash != hash_secret(PEPPER, parts.secret):
                raise Unauthenticated("the API key is not known")
            return Identity(key_id=key.id, actor=Actor(key.name), scopes=key.scopes, models=key.models)

        used: list[str] = []
        deps = ConsoleDeps(
            read=store.read,
            looking=store.looking,
            standing=lambda: standing_of(store, clock),
            keys=store.keys,
            office=office,
            clock=clock,
            authenticate=authenticate,
            used=used.append,
            session_key=b"s" * 32,
            changed=lambda: None,
            stale_seconds=300.0,
            schedule=store.schedule.read,
            review=ReviewStages(office=office, store=store.reviews),
            incidents=store.incidents,
            triage=IncidentOffice(desk=store.incidents, read=store.read, clock=clock),
            pages=store.pages,
            desk=store.desk,
            channels=("log", "ops"),
            settings=Settings.model_validate({"data_dir": path.parent, **settings}),
            uses=store.keys,
        )
        app = FastAPI()
        app.include_router(build_router(deps))
        return cls(store, clock, app, deps, used)

    def visitor(self, name: str, scopes: frozenset[Scope] = OPERATOR, models: frozenset[str] | None = None) -> Visitor:
        """Return the browser of somebody who has signed in, the same one each time."""
        if name not in self._visitors:
            parts = new_key()
            key = ApiKey(
                id=parts.id,
                name=name,
                scopes=scopes,
                models=models,
                secret_hash=hash_secret(PEPPER, parts.secret),
                created_us=self.clock.now_us(),
            )
            with self.store.control.write() as tx:
                tx.add_key(key)
            visitor = Visitor(self.app)
            answer = visitor.post("/login", visitor.page("/login"), key=parts.text)
            assert answer.status_code == 303, answer.text
            self._visitors[name] = visitor
        return self._visitors[name]

    def version(self, model: str, version: str = "1", state: State = State.ACTIVE, **policy: Any) -> Version:
        now = self.clock.now_us()
        with self.store.control.write() as tx:
            owner = tx.model(model) or tx.add_model(
                Model(
                    id=ModelId(0),
                    name=model,
                    owner="imaging",
                    description="",
                    policy=Policy(**policy),
                    created_us=now,
                    created_by=Actor("mira"),
                )
            )
            return tx.add_version(
                Version(
                    id=VersionId(0),
                    model_id=owner.id,
                    model=model,
                    version=version,
                    schema=SCHEMA,
                    deployed_by=Actor("mira"),
                    state=state,
                    since_us=now,
                    reason="registered",
                    lock=0,
                    restart_position=Position(0),
                    baseline_id=None,
                    created_us=now,
                )
            )

    def incident(
        self, version: Version, *columns: str, cause: Cause = Cause.DATA_DRIFT, ago_hours: float = 1.0, **fields: Any
    ) -> Incident:
        """Write what the worker writes when it opens an incident."""
        return self.incidents([(version, columns, cause, ago_hours, fields)])[0]

    def incidents(
        self, wanted: Sequence[tuple[Version, Sequence[str], Cause, float, dict[str, Any]]]
    ) -> list[Incident]:
        now = self.clock.now_us()
        made, alerts, frozen = [], [], []
        for version, columns, cause, ago_hours, fields in wanted:
            number = next(self._numbers)
            at = Micros(round(now - ago_hours * HOUR_US))
            plain = Incident(
                id=f"i{number:06}",
                version_id=version.id,
                model=version.model,
                version=version.version,
                cause=cause,
                title=f"{cause.replace('_', ' ').capitalize()} in {version.model} {version.version}",
                status=IncidentStatus.OPEN,
                assignee=None,
                verdict=None,
                note=None,
                opened_us=at,
                acknowledged_us=None,
                resolved_us=None,
                lock=0,
                severity=Severity.HIGH,
            )
            made.append(replace(plain, **fields))
            if columns:
                alerts.append(alert_of(made[-1], number, columns))
                frozen.append(frozen_of(made[-1], columns))
        first = self._worker.position()
        self._worker.commit(
            Outcome(
                first=first,
                last=Position(first + 1),
                revision=self._worker.revision(),
                alerts=alerts,
                incidents=made,
                frozen=frozen,
            )
        )
        return made


def text_of(page: str) -> str:
    """Return the text of a page, without tags and with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def titles(page: str) -> list[str]:
    """Return the heads of the rows of a page's tables."""
    return [text_of(found) for found in re.findall(r'<th scope="row">(.*?)</th>', page, re.DOTALL)]
