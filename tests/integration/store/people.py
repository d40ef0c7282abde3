"""A store with versions of one model, and people who decide about them."""

import msgspec
from sqlalchemy import select

from service.domain.ids import Actor, Position
from service.domain.keys import hash_secret, new_key
from service.domain.notices import AlertBody, Payload
from service.domain.policy import Policy
from service.domain.records import ApiKey, AuditEntry, Scope, Version
from service.domain.states import Event
from service.ingest.deidentify import Deidentifier
from service.ingest.limits import Limits
from service.office import OfficeStages, TransitionAnswer, register_model, register_version, request_transition
from service.review.stages import ReviewStages
from service.settings import Settings
from service.store import Store
from service.store.tables_notify import outbox
from tests.fakes import ManualClock
from tests.service.worker.world import KEY, SCHEMA

ADA, BEN, CLEO, DANA = (Actor(name) for name in ("ada", "ben", "cleo", "dana"))
EVERYBODY = (ADA, BEN, CLEO, DANA)
"""Dana deploys; all of them operate."""


class People:
    """Who works with one store."""

    def __init__(self, store: Store, policy: Policy | None = None, versions: int = 1) -> None:
        self.store = store
        self.clock = ManualClock()
        self.office = OfficeStages(
            control=store.control,
            clock=self.clock,
            head=lambda: Position(9),
            limits=Limits.from_settings(Settings()),
            deidentifier=Deidentifier(KEY),
            signing_key=KEY,
        )
        self.stages = ReviewStages(office=self.office, store=store.reviews)
        register_model(self.office, ADA, "m1", "team", "", policy or Policy())
        for number in range(versions):
            register_version(self.office, ADA, "m1", str(number + 1), SCHEMA, DANA)
        self._give_keys()

    def _give_keys(self) -> None:
        for name, scope in [*((str(one), Scope.OPERATE) for one in EVERYBODY), ("rita", Scope.READ)]:
            parts = new_key()
            key = ApiKey(
                id=parts.id,
                name=name,
                scopes=frozenset({scope}),
                models=None,
                secret_hash=hash_secret(KEY, parts.secret),
                created_us=self.clock.now_us(),
            )
            with self.store.control.write() as tx:
                tx.add_key(key)

    def version(self, name: str = "1") -> Version:
        found = self.store.read.version("m1", name)
        assert found is not None
        return found

    def ask(self, actor: Actor, event: Event, name: str = "1", seen: int | None = None) -> TransitionAnswer:
        return request_transition(self.office, actor, "m1", name, event, "of a test", None, seen=seen)

    def audit(self) -> list[AuditEntry]:
        """Return the chain, oldest first."""
        return list(self.store.read.audit(10_000))[::-1]

    def actions(self, prefix: str) -> list[str]:
        return [entry.action for entry in self.audit() if entry.action.startswith(prefix)]

    def told(self, kind: str) -> list[AlertBody]:
        """Return what people are told of one kind, oldest first."""
        wanted = select(outbox.c.payload).where(outbox.c.kind == kind).order_by(outbox.c.seq)
        with self.store.reviews._database.read() as connection:
            texts = connection.execute(wanted).scalars().all()
        return [msgspec.json.decode(text, type=Payload).alerts[0] for text in texts]
