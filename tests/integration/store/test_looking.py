"""What the console asks, of every kind of store: the same answers."""

from dataclasses import replace
from typing import Any

import msgspec

from service.domain.ids import Actor, Micros, Position, VersionId
from service.domain.policy import Cause
from service.domain.records import Incident, IncidentStatus, Severity, Version
from service.domain.redteam import RedTeamRun, RedTeamSummary
from service.ports import Outcome
from service.ports_console import Looking
from service.store import Store
from tests.fakes import ManualClock
from tests.fakes.looking import InMemoryLooking
from tests.integration.store import samples
from tests.integration.store.conftest import AnyStore
from tests.service.api.test_redteam import SUMMARY


def looking_of(store: AnyStore) -> Looking:
    return store.looking if isinstance(store, Store) else InMemoryLooking(store)


def registered(store: AnyStore, name: str = "fraud-scorer") -> Version:
    with store.control.write() as tx:
        return samples.registered(tx, name)


def commit(store: AnyStore, clock: ManualClock, **content: Any) -> None:
    worker = store.worker("w", 10.0, clock)
    first = worker.position()
    worker.commit(Outcome(first=first, last=Position(first + 1), revision=worker.revision(), **content))
    worker.close()


def incidents(of: Version) -> list[Incident]:
    severities = (Severity.LOW, Severity.HIGH, Severity.MEDIUM)
    causes = (Cause.DATA_DRIFT, Cause.LATENCY, Cause.DATA_QUALITY)
    return [
        replace(samples.incident(of, f"i{n}-{of.id}", cause), severity=severity, opened_us=samples.at(10 * n))
        for n, (severity, cause) in enumerate(zip(severities, causes, strict=True), 1)
    ]


def resolve(store: AnyStore, one: Incident, at: Micros) -> None:
    with store.control.write() as tx:
        tx.save_incident(replace(one, status=IncidentStatus.RESOLVED, resolved_us=at), samples.item("resolve"))


def test_unresolved_incidents_are_counted_with_the_worst_severity(store: AnyStore, clock: ManualClock) -> None:
    first, second = registered(store), registered(store, "other")
    assert looking_of(store).unresolved() == []
    opened = [*incidents(first), *incidents(second)[:1]]
    commit(store, clock, incidents=opened)
    found = {one.version_id: (one.incidents, one.severity) for one in looking_of(store).unresolved()}
    assert found == {first.id: (3, Severity.HIGH), second.id: (1, Severity.LOW)}
    resolve(store, opened[1], samples.at(50))
    resolve(store, opened[3], samples.at(50))
    found = {one.version_id: (one.incidents, one.severity) for one in looking_of(store).unresolved()}
    assert found == {first.id: (2, Severity.MEDIUM)}


def test_incidents_of_a_span_are_those_that_were_unresolved_in_it(store: AnyStore, clock: ManualClock) -> None:
    version = registered(store)
    one, two, three = incidents(version)
    commit(store, clock, incidents=[one, two, three])
    resolve(store, one, samples.at(15))

    def within(first: float, last: float, limit: int = 9) -> list[str]:
        found = looking_of(store).incidents_within(version.id, samples.at(first), samples.at(last), limit)
        return [incident.id for incident in found]

    assert within(0, 100) == [three.id, two.id, one.id]
    assert within(16, 100) == [three.id, two.id]
    assert within(12, 25) == [two.id, one.id]
    assert within(0, 100, limit=1) == [three.id]
    assert within(0, 5) == []
    assert looking_of(store).incidents_within(VersionId(99), samples.at(0), samples.at(100), 9) == []


def test_the_course_has_the_windows_of_one_level_in_order(store: AnyStore, clock: ManualClock) -> None:
    version = registered(store)
    with store.control.write() as tx:
        tx.add_baseline(samples.baseline(version))
    minute = 60_000_000
    windows = [samples.window(version, "1m", n * minute, events=n) for n in (3, 1, 2)]
    commit(store, clock, windows=[*windows, samples.window(version, "1h", 0)])
    found = looking_of(store).course(version.id, "1m", Micros(minute), Micros(2 * minute))
    assert [(one.start_us, one.events, one.baseline_id) for one in found] == [(minute, 1, "b1"), (2 * minute, 2, "b1")]
    assert {one.evidence_log_max for one in found} == {1e-300}


def test_baselines_come_newest_first_without_their_artefacts(store: AnyStore) -> None:
    version = registered(store)
    for n in range(3):
        with store.control.write() as tx:
            tx.add_baseline(replace(samples.baseline(version, f"b{n}", n), created_us=samples.at(n)))
    found = looking_of(store).baselines(version.id, 2)
    assert [(one.id, one.rows, one.created_us) for one in found] == [
        ("b2", 1_000, samples.at(2)), ("b1", 1_000, samples.at(1)),
    ]  # fmt: skip
    assert looking_of(store).baselines(VersionId(99), 2) == []


def test_the_red_team_run_of_a_version_is_found_alone(store: AnyStore) -> None:
    first, second = registered(store), registered(store, "other")
    summary = msgspec.convert(SUMMARY, RedTeamSummary)
    with store.control.write() as tx:
        for version in (first, second):
            run = RedTeamRun(version_id=version.id, at_us=samples.at(version.id), actor=Actor("ada"), summary=summary)
            tx.save_redteam_run(run)
    found = looking_of(store).redteam(second.id)
    assert found is not None
    assert (found.version_id, found.at_us) == (second.id, samples.at(second.id))
    assert looking_of(store).redteam(VersionId(99)) is None
