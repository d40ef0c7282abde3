"""Reports and kept rows in the store: one owner, bounded, erased for good, over in time, and on record."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from service.domain.errors import Unavailable
from service.domain.ids import Actor, Micros, Position
from service.domain.records import Incident, Version
from service.domain.reports import Part, ReportFacts, ReportRecord, ReportStatus, SampleKind, SampleRecord
from service.domain.reviews import ProposalStatus
from service.ports import Outcome
from service.ports_reports import Ask, Ended
from service.store import Store
from service.store.audit import link
from service.store.reports import GIVEN_UP
from tests.fakes import ManualClock
from tests.integration.store import samples as s
from tests.proposals import proposal

ADA = Actor("ada")
NOW = s.at(100)
HOUR_US = 3_600_000_000
FACTS = ReportFacts(
    current_rows=5, reference_rows=6, current_seen=7, reference="traffic", from_us=1, to_us=2, reference_from_us=0,
    reference_to_us=1, cut=True, frozen=False, left_out={"id": "an identifier"},
)  # fmt: skip


@dataclass
class Desk:
    """A store with one version and one incident."""

    store: Store
    version: Version
    incident: Incident

    def record(self, name: str, incident_id: str | None = "i1", at_us: int = NOW) -> ReportRecord:
        return ReportRecord(
            id=name,
            version_id=self.version.id,
            model=self.version.model,
            version=self.version.version,
            incident_id=incident_id,
            status=ReportStatus.QUEUED,
            from_us=Micros(at_us - 60),
            to_us=Micros(at_us),
            requested_us=Micros(at_us),
            requested_by=ADA,
            until_us=Micros(at_us + HOUR_US),
        )

    def ask(self, name: str, incident_id: str | None = "i1", at_us: int = NOW, most: int = 9) -> ReportRecord:
        return self.store.reports.ask(Ask(self.record(name, incident_id, at_us), most))

    def made(self, name: str, incident_id: str | None = "i1", at_us: int = NOW, kept: int = 99) -> None:
        """Ask for a report and make it."""
        self.ask(name, incident_id, at_us)
        claimed = self.store.reports.claim("me", Micros(at_us), 10)
        assert claimed is not None
        parts = {Part.ROWS: b"r", Part.HTML: b"h", Part.JSON: b"j"}
        ended = Ended(claimed.id, "me", Micros(at_us + 5), "", FACTS, "k", parts)
        assert self.store.reports.end(ended, kept)

    def sample(self, subject: str, kind: SampleKind = SampleKind.INCIDENT, at_us: int = NOW) -> SampleRecord:
        return SampleRecord(
            subject=subject,
            kind=kind,
            version_id=self.version.id,
            rows=5,
            at_us=Micros(at_us),
            until_us=Micros(at_us + HOUR_US),
            key_id="k",
            sample=b"sealed",
        )

    def actions(self) -> list[str]:
        return [entry.action for entry in self.store.read.audit(100) if entry.action.startswith("report")]


@pytest.fixture
def desk(sql_store: Store, clock: ManualClock) -> Iterator[Desk]:
    with sql_store.control.write() as tx:
        version = s.registered(tx)
    worker = sql_store.worker("w", 10.0, clock)
    incident = s.incident(version)
    first = worker.position()
    outcome = Outcome(first=first, last=Position(first + 1), revision=worker.revision())
    worker.commit(replace(outcome, incidents=[incident]))
    yield Desk(sql_store, version, incident)
    worker.close()


def test_a_report_waits_is_made_and_is_read_as_it_was_written(desk: Desk) -> None:
    reports = desk.store.reports
    asked = desk.ask("r1")
    assert reports.report("r1", NOW) == asked == desk.record("r1")
    assert reports.waiting() == 1
    claimed = reports.claim("me", s.at(101), HOUR_US)
    assert claimed == replace(asked, status=ReportStatus.RUNNING, started_us=s.at(101))
    assert reports.claim("other", s.at(101), HOUR_US) is None
    parts = {Part.ROWS: b"rows", Part.HTML: b"page", Part.JSON: b"{}"}
    assert not reports.end(Ended("r1", "other", s.at(102), "", FACTS, "k", parts), 9)
    assert reports.end(Ended("r1", "me", s.at(102), "", FACTS, "k", parts), 9)
    done = reports.report("r1", NOW)
    assert done == replace(
        claimed, status=ReportStatus.DONE, ended_us=s.at(102), facts=FACTS, key_id="k", parts=frozenset(Part)
    )
    assert [reports.part("r1", part) for part in Part] == [b"rows", b"page", b"{}"]
    assert reports.waiting() == 0
    assert reports.newest("i1", NOW) == done
    assert reports.reports(desk.version.id, NOW, 9) == [done]
    assert reports.part("none", Part.HTML) is None


def test_what_waits_is_not_asked_for_twice_and_more_than_may_wait_is_refused(desk: Desk) -> None:
    first = desk.ask("r1")
    assert desk.ask("r2") == first
    assert desk.ask("w1", None).id == "w1"
    assert desk.ask("w2", None).id == "w1"
    assert desk.ask("w3", None, at_us=NOW + 1, most=3).id == "w3"
    with pytest.raises(Unavailable, match="limit reports_queue_max: 3"):
        desk.ask("w4", None, at_us=NOW + 2, most=3)
    assert desk.actions().count("report.ask") == 3


def test_reports_are_made_in_the_order_in_which_they_were_asked_for(desk: Desk) -> None:
    desk.ask("late", None, NOW + 5)
    desk.ask("early", None, NOW)
    claimed = [desk.store.reports.claim("me", Micros(NOW + 9), 10) for _ in range(3)]
    assert [None if one is None else one.id for one in claimed] == ["early", "late", None]


def test_a_report_whose_maker_died_has_failed_and_says_so(desk: Desk) -> None:
    desk.ask("r1")
    desk.store.reports.claim("me", NOW, 10)
    assert desk.store.reports.claim("other", Micros(NOW + 11), 10) is None
    found = desk.store.reports.report("r1", NOW)
    assert found is not None
    assert (found.status, found.detail) == (ReportStatus.FAILED, GIVEN_UP)
    assert not desk.store.reports.end(Ended("r1", "me", NOW, "", FACTS, "k", {}), 9)


def test_a_failed_report_keeps_its_rows(desk: Desk) -> None:
    desk.ask("r1")
    desk.store.reports.claim("me", NOW, 10)
    assert desk.store.reports.end(Ended("r1", "me", s.at(101), "too slow", FACTS, "k", {Part.ROWS: b"rows"}), 9)
    found = desk.store.reports.report("r1", NOW)
    assert found is not None
    assert (found.status, found.detail, found.parts) == (ReportStatus.FAILED, "too slow", frozenset({Part.ROWS}))


def test_only_so_many_are_kept_and_what_waits_does_not_give_way(desk: Desk) -> None:
    for number in range(4):
        desk.made(f"r{number}", None, NOW + 100 * number, kept=2)
    desk.ask("waits", None, NOW + 1_000)
    assert [one.id for one in desk.store.reports.reports(desk.version.id, NOW, 9)] == ["waits", "r3", "r2"]


def test_reading_rows_and_erasing_are_on_record(desk: Desk) -> None:
    reports = desk.store.reports
    desk.made("r1")
    desk.made("r2", None, NOW + 100)
    record = desk.record("r1")
    assert reports.read_rows(record, ADA, NOW) == b"r"
    assert reports.erase(desk.record("r2"), ADA, "asked", NOW)
    assert not reports.erase(desk.record("r2"), ADA, "asked", NOW)
    assert reports.report("r1", NOW) is not None
    assert desk.actions() == ["report.erase", "report.rows", "report.ask", "report.ask"]


def test_erased_rows_of_an_incident_do_not_come_back(desk: Desk) -> None:
    reports = desk.store.reports
    desk.made("r1")
    assert reports.keep(desk.sample("i1"), 9)
    assert reports.erase_incident(desk.incident, ADA, "asked", s.at(200)) == 1
    assert reports.newest("i1", NOW) is None
    left = reports.sample("i1", s.at(300))
    assert left is not None
    assert (left.sample, left.rows, left.erased_us, left.erased_by) == (None, 0, s.at(200), ADA)
    assert not reports.keep(desk.sample("i1", at_us=s.at(300)), 9)
    assert reports.unsampled(Micros(0), s.at(10_000), 9) == []


def test_rows_are_kept_once_and_the_oldest_of_a_kind_give_way(desk: Desk) -> None:
    reports = desk.store.reports
    assert [one.id for one in reports.unsampled(Micros(0), s.at(10_000), 9)] == ["i1"]
    assert reports.unsampled(Micros(0), desk.incident.opened_us, 9) == []
    kept = desk.sample("i1")
    assert reports.keep(kept, 9)
    assert reports.sample("i1", NOW) == kept
    assert not reports.keep(replace(kept, sample=b"other"), 9)
    assert reports.unsampled(Micros(0), s.at(10_000), 9) == []
    for number in range(3):
        assert reports.keep(desk.sample(f"b{number}", SampleKind.REFERENCE, NOW + number), 2)
    assert [reports.sample(f"b{number}", NOW) is None for number in range(3)] == [True, False, False]
    assert reports.sample("i1", NOW) is not None


def test_rows_of_the_baseline_in_force_never_give_way(desk: Desk) -> None:
    with desk.store.control.write() as tx:
        tx.add_baseline(s.baseline(desk.version, "b0"))
    reports = desk.store.reports
    for number in range(4):
        assert reports.keep(desk.sample(f"b{number}", SampleKind.REFERENCE, NOW + number), 2)
    assert [reports.sample(f"b{number}", NOW) is None for number in range(4)] == [False, True, False, False]


def test_new_incidents_are_read_page_by_page(desk: Desk) -> None:
    reports = desk.store.reports
    (first,) = reports.unsampled(Micros(0), s.at(10_000), 9)
    assert reports.unsampled(Micros(0), s.at(10_000), 9, first) == []
    assert reports.unsampled(Micros(0), s.at(10_000), 9, replace(first, id="i0")) == [first]
    assert reports.unsampled(Micros(0), s.at(10_000), 9, replace(first, opened_us=Micros(1))) == [first]


def test_what_is_over_is_as_if_it_were_not_there_and_is_deleted_in_bounded_steps(desk: Desk) -> None:
    reports = desk.store.reports
    for number in range(3):
        desk.made(f"r{number}", None, NOW + 100 * number)
    reports.keep(desk.sample("i1"), 9)
    over = Micros(NOW + 2 * HOUR_US)
    assert reports.report("r1", over) is None
    assert reports.sample("i1", over) is None
    assert [reports.expire(over, 2) for _ in range(3)] == [3, 1, 0]
    assert desk.actions()[:2] == ["report.expire", "report.expire"]


def test_the_audit_chain_about_an_incident_can_be_worked_out_again(desk: Desk) -> None:
    desk.ask("r1")
    desk.store.reports.note(ADA, "policy.set", "another-model", "{}", s.at(101))
    links = desk.store.reports.links_about(desk.incident, s.at(10_000), 99)
    assert [one.entry.action for one in links] == ["incident.opened", "report.ask"]
    assert desk.store.reports.links_about(desk.incident, s.at(10_000), 1) == links[1:]
    for one in links:
        entry = one.entry
        again = link(one.previous, entry.seq, entry.at_us, entry.actor, entry.action, entry.subject, entry.detail)
        assert again.digest == entry.digest


def test_of_a_refused_baseline_no_rows_are_kept_and_they_take_nobody_s_place(desk: Desk) -> None:
    for name in ("first", "second"):
        with desk.store.reviews.write() as tx:
            tx.add_proposal(proposal(desk.version, name))
        assert desk.store.reports.keep(desk.sample(name, SampleKind.REFERENCE), 2)
    with desk.store.reviews.write() as tx:
        refused = replace(
            proposal(desk.version, "second"),
            status=ProposalStatus.REFUSED,
            settled_us=s.at(9),
            settled_by=s.BEN,
            reason="not normal",
        )
        tx.save_proposal(refused)
    assert desk.store.reports.sample("second", NOW) is None
    assert desk.store.reports.keep(desk.sample("third", SampleKind.REFERENCE, NOW + 1), 2)
    assert desk.store.reports.sample("first", NOW) is not None, "it has its place"
    late = desk.sample("second", SampleKind.REFERENCE, NOW + 2)
    assert not desk.store.reports.keep(late, 2), "it was refused before its rows could be kept"
