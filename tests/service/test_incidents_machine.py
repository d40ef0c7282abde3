"""Whatever people do to incidents, in whatever order: no change without an audit record, no illegal state."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.alert.triage import Act, IncidentAction
from service.domain.errors import Conflict, Unprocessable
from service.domain.ids import Actor, Micros, Position
from service.domain.incidents import LinkKind
from service.domain.policy import Cause
from service.domain.records import IncidentStatus, Verdict
from service.hushing import HushWatch
from service.incident_office import IncidentOffice
from service.ingest.deidentify import Deidentifier
from service.ingest.limits import Limits
from service.office import OfficeStages
from service.ports import Outcome
from service.settings import Settings
from service.store import open_store
from tests.fakes import ManualClock
from tests.integration.store import samples as s

CAUSES = (Cause.DATA_DRIFT, Cause.LATENCY, Cause.TRAFFIC)
IDS = tuple(f"i{n}" for n in range(len(CAUSES)))
PEOPLE = st.sampled_from([Actor("ana"), Actor("bob")])
WHICH = st.sampled_from(IDS)


class Incidents(RuleBasedStateMachine):
    """Three incidents of one version, and two people who do not wait for each other."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.store = open_store(f"sqlite:///{Path(self.folder.name) / 'state.db'}", timeout_seconds=5.0)
        with self.store.control.write() as tx:
            version = s.registered(tx)
        worker = self.store.worker("w", 10.0, self.clock)
        incidents = [s.incident(version, name, cause) for name, cause in zip(IDS, CAUSES, strict=True)]
        alerts = [s.alert(one, f"a-{one.id}") for one in incidents]
        first = worker.position()
        worker.commit(
            Outcome(
                first=first, last=Position(first + 5), revision=worker.revision(), incidents=incidents, alerts=alerts
            )
        )
        self.office = OfficeStages(
            control=self.store.control,
            clock=self.clock,
            head=lambda: Position(9),
            limits=Limits.from_settings(Settings()),
            deidentifier=Deidentifier(b"k" * 32),
            signing_key=b"k" * 32,
        )
        self.triage = IncidentOffice(desk=self.store.incidents, read=self.store.read, clock=self.clock)
        self.watch = HushWatch(desk=self.store.incidents, read=self.store.read, clock=self.clock)
        self.before = self.picture()
        self.links = self.audit()

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def picture(self) -> dict[str, object]:
        read, desk = self.store.read, self.store.incidents
        return {name: (read.incident(name), desk.snooze(name), tuple(desk.links(name))) for name in IDS}

    def audit(self) -> int:
        return self.store.read.audit(1)[0].seq

    def lock(self, name: str, stale: bool) -> int:
        found = self.store.read.incident(name)
        assert found is not None
        return found.lock - stale

    def tried(self, name: str, stale: bool, done: object) -> None:
        """An action on a stale view, or on what is resolved, is refused and changes nothing."""
        assert callable(done)
        found = self.store.read.incident(name)
        assert found is not None
        try:
            done()
        except (Conflict, Unprocessable):
            assert self.picture() == self.before
            return
        assert not stale
        assert found.status is not IncidentStatus.RESOLVED

    @rule(
        name=WHICH,
        who=PEOPLE,
        action=st.sampled_from([IncidentAction.ACK, IncidentAction.ASSIGN, IncidentAction.RESOLVE]),
        verdict=st.sampled_from(Verdict) | st.none(),
        stale=st.booleans(),
    )
    def act(self, name: str, who: Actor, action: IncidentAction, verdict: Verdict | None, stale: bool) -> None:
        act = Act(action=action, assignee="bob", verdict=verdict, expected=self.lock(name, stale))
        self.tried(name, stale, lambda: self.triage.act(self.office, who, name, act))

    @rule(name=WHICH, who=PEOPLE, seconds=st.integers(-5, 60) | st.none(), worse=st.booleans(), stale=st.booleans())
    def snooze(self, name: str, who: Actor, seconds: int | None, worse: bool, stale: bool) -> None:
        until = None if seconds is None else Micros(self.clock.now_us() + seconds * 1_000_000)
        seen = self.lock(name, stale)
        self.tried(name, stale, lambda: self.triage.snooze(who, name, until, worse, "", seen))

    @rule(name=WHICH, who=PEOPLE, stale=st.booleans())
    def wake(self, name: str, who: Actor, stale: bool) -> None:
        seen = self.lock(name, stale)
        self.tried(name, stale, lambda: self.triage.wake(who, name, "", seen))

    @rule(name=WHICH, into=WHICH, who=PEOPLE, stale=st.booleans())
    def merge(self, name: str, into: str, who: Actor, stale: bool) -> None:
        seen = self.lock(name, stale)
        self.tried(name, stale, lambda: self.triage.merge(who, name, into, "", seen))

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.watch.look()

    @invariant()
    def nothing_changes_without_a_record(self) -> None:
        now, links = self.picture(), self.audit()
        resolved_only = {name: (one[0], one[2]) for name, one in now.items() if isinstance(one, tuple)} == {
            name: (one[0], one[2]) for name, one in self.before.items() if isinstance(one, tuple)
        }
        if not resolved_only:
            assert links > self.links
        self.before, self.links = now, links

    @invariant()
    def no_state_is_illegal(self) -> None:
        for name in IDS:
            found = self.store.read.incident(name)
            assert found is not None
            merged = [
                one
                for one in self.store.incidents.links(name)
                if one.kind is LinkKind.MERGED and one.incident_id == name
            ]
            if found.status is IncidentStatus.RESOLVED:
                assert (found.verdict is None) == bool(merged)
                assert all(alert.status == "closed" for alert in self.store.read.alerts_of(name, 9))
            else:
                assert (found.verdict, found.resolved_us) == (None, None)
                assert merged == []

    @invariant()
    def the_chain_holds(self) -> None:
        assert self.store.read.verify_chain() is None


Incidents.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestIncidents = Incidents.TestCase
