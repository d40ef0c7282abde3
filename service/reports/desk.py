"""What people do with reports: ask for one, see how it stands, read its parts, erase it."""

import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from service.domain.errors import Conflict, LazarettoError, NotFound, Place, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.policy import SECONDS_PER_DAY
from service.domain.records import BaselineRecord, Incident, Model, Version
from service.domain.reports import (
    REPORT_SECONDS,
    WAITING,
    Part,
    ReportFigures,
    ReportRecord,
    ReportStatus,
    SampleKind,
    SampleRecord,
)
from service.ports import Clock, ReadStore
from service.ports_reports import Ask, ReportStore
from service.quarantine.proposals import PROPOSALS_MAX
from service.reports.make import Making
from service.reports.samples import Pair, Sample
from service.reports.sealed import seal, unseal
from service.transcripts import id_of

ALERTS_MAX = 100
SPAN_US_MAX = 31 * 86_400_000_000
"""Longest time that a report is about."""
SPAN_US_MIN = 1_000_000
REFERENCES_KEPT = PROPOSALS_MAX + 1
"""References of a version whose rows are kept: the one in force, and those that wait for people."""
SHOWN = 100


@dataclass
class Tallies:
    """What became of reports since the process started. Only its own thread counts what ends."""

    done: int = 0
    failed: int = 0
    refused: int = 0
    """Not even queued: too many waited."""
    counts: list[int] = field(default_factory=lambda: [0] * (len(REPORT_SECONDS) + 1))
    seconds: float = 0.0

    def took(self, seconds: float) -> None:
        """Count how long one took."""
        self.counts[bisect_left(REPORT_SECONDS, seconds)] += 1
        self.seconds += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDesk:
    """What operations about reports work with."""

    store: ReportStore
    read: ReadStore
    clock: Clock
    making: Making
    queue_max: int
    tallies: Tallies = field(default_factory=Tallies)

    def ask_about(self, actor: Actor, incident: Incident) -> ReportRecord:
        """Let a report about an incident be made: of the events since its change began.

        Raises
        ------
        Conflict
            When the policy draws no rows, or those of the incident were erased.
        Unavailable
            When too many reports wait.
        """
        now_us = self.clock.now_us()
        kept = self.store.sample(incident.id, now_us)
        if kept is not None and kept.erased_us is not None:
            who = kept.erased_by
            raise Conflict(f"the rows of incident '{incident.id}' were erased by {who}: none are drawn again")
        from_us, to_us = self.span_of(incident, now_us)
        return self._ask(actor, self._version(incident), incident.id, from_us, to_us)

    def ask_for(self, actor: Actor, version: Version, from_us: Micros, to_us: Micros) -> ReportRecord:
        """Let a report about a time be made. Raises as ``ask_about``, and ``Unprocessable`` for a time that is none."""
        now_us = self.clock.now_us()
        places = []
        if to_us - from_us < SPAN_US_MIN:
            places.append(Place("from", f"must be at least {SPAN_US_MIN // 1_000_000} s before 'to'"))
        if to_us - from_us > SPAN_US_MAX:
            places.append(Place("from", f"must be at most {SPAN_US_MAX // 86_400_000_000} days before 'to'"))
        if from_us < 0 or from_us >= now_us:
            places.append(Place("from", "must lie in the past"))
        if places:
            raise Unprocessable("there can be no report about this time", places=places)
        return self._ask(actor, version, None, from_us, Micros(min(to_us, now_us)))

    def figures(self) -> ReportFigures:
        """Return what became of reports since the process started, and what waits."""
        told = self.tallies
        return ReportFigures(
            waiting=self.store.waiting(),
            done=told.done,
            failed=told.failed,
            refused=told.refused,
            counts=tuple(told.counts),
            seconds=told.seconds,
        )

    def newest(self, incident: Incident) -> ReportRecord:
        """Return the newest report about an incident, or raise NotFound."""
        found = self.store.newest(incident.id, self.clock.now_us())
        if found is None:
            raise NotFound(f"nobody has asked for a report about incident '{incident.id}', or it is over")
        return found

    def found(self, incident: Incident, part: Part | None = None) -> ReportRecord | None:
        """Return the newest report about an incident, if there is one; with a part, the newest that has it."""
        return self.store.newest(incident.id, self.clock.now_us(), part)

    def having(self, incident: Incident, part: Part) -> ReportRecord:
        """Return the newest report about an incident that has a part: an earlier one while another is made.

        Raises
        ------
        NotFound
            When none has it; the detail says why the newest lacks it.
        """
        found = self.found(incident, part)
        if found is None:
            raise NotFound(why_without(self.newest(incident), part))
        return found

    def one(self, report_id: str) -> ReportRecord:
        """Return a report, or raise NotFound."""
        found = self.store.report(report_id, self.clock.now_us())
        if found is None:
            raise NotFound(f"there is no report '{report_id[:SHOWN]}', or it is over")
        return found

    def of_version(self, version: Version, limit: int) -> Sequence[ReportRecord]:
        """Return the reports about a version, newest first."""
        return self.store.reports(version.id, self.clock.now_us(), limit)

    def part(self, record: ReportRecord, part: Part) -> bytes:
        """Return the page or the JSON of a report.

        Raises
        ------
        NotFound
            When it has none; the detail says why.
        Conflict
            When it cannot be decrypted.
        """
        sealed = self.store.part(record.id, part) if part in record.parts else None
        if sealed is None:
            raise NotFound(why_without(record, part))
        return self._opened(record, part, sealed)

    def rows(self, record: ReportRecord, actor: Actor) -> tuple[Pair, Sample | None]:
        """Return the rows behind a report and the kept rows of the reference, on record. Raises as ``part``."""
        sealed = self.store.read_rows(record, actor, self.clock.now_us()) if Part.ROWS in record.parts else None
        if sealed is None:
            raise NotFound(why_without(record, Part.ROWS))
        plain = self._opened(record, Part.ROWS, sealed)
        try:
            pair, reference = msgspec.msgpack.decode(plain, type=tuple[Pair, Sample | None])
        except msgspec.MsgspecError:
            raise Conflict(f"the rows of report '{record.id}' were kept by another release") from None
        return pair, reference

    def erase(self, record: ReportRecord, actor: Actor, reason: str) -> bool:
        """Erase a report and its rows, on record."""
        return self.store.erase(record, actor, reason, self.clock.now_us())

    def erase_incident(self, incident: Incident, actor: Actor, reason: str) -> int:
        """Erase the reports about an incident and its kept rows, on record; none are drawn of it any more."""
        return self.store.erase_incident(incident, actor, reason, self.clock.now_us())

    def keep_reference(self, record: BaselineRecord, model: Model, packed: bytes) -> bool:
        """Keep rows of a reference with the baseline that was made of it, as the policy allows."""
        if not packed or not self.making.keys:
            return False
        now_us = self.clock.now_us()
        key = self.making.keys[0]
        sample = SampleRecord(
            subject=record.id,
            kind=SampleKind.REFERENCE,
            version_id=record.version_id,
            rows=msgspec.msgpack.decode(packed, type=Sample).rows,
            at_us=now_us,
            until_us=until(now_us, model.policy.reports.keep_days),
            key_id=id_of(key),
            sample=seal(key, f"sample {record.id}", packed),
        )
        return self.store.keep(sample, REFERENCES_KEPT)

    def span_of(self, incident: Incident, now_us: Micros) -> tuple[Micros, Micros]:
        """Return the time that a report about an incident is about: from its change to its end, or to now."""
        alerts = self.read.alerts_of(incident.id, ALERTS_MAX)
        since_us = min([incident.opened_us, *(alert.since_us for alert in alerts)])
        to_us = min(now_us, incident.resolved_us or now_us)
        from_us = max(0, since_us, to_us - SPAN_US_MAX)
        return Micros(from_us), Micros(max(to_us, from_us + SPAN_US_MIN))

    def _ask(
        self, actor: Actor, version: Version, incident_id: str | None, from_us: Micros, to_us: Micros
    ) -> ReportRecord:
        owner = self.read.model(version.model)
        if owner is None or not owner.policy.reports.rows:
            raise Conflict(f"the policy of model '{version.model}' draws no rows for reports (reports.rows is 0)")
        now_us = self.clock.now_us()
        record = ReportRecord(
            id=os.urandom(16).hex(),
            version_id=version.id,
            model=version.model,
            version=version.version,
            incident_id=incident_id,
            status=ReportStatus.QUEUED,
            from_us=from_us,
            to_us=to_us,
            requested_us=now_us,
            requested_by=actor,
            until_us=until(now_us, owner.policy.reports.keep_days),
        )
        try:
            return self.store.ask(Ask(record, self.queue_max))
        except LazarettoError:
            self.tallies.refused += 1
            raise

    def _version(self, incident: Incident) -> Version:
        found = self.read.version(incident.model, incident.version)
        if found is None:
            raise NotFound(f"version '{incident.version}' of model '{incident.model}' is gone")
        return found

    def _opened(self, record: ReportRecord, part: Part, sealed: bytes) -> bytes:
        try:
            return unseal(self.making.keys, record.key_id, context_of(record.id, part), sealed)
        except Conflict as error:
            raise Conflict(f"the {part} of report '{record.id}' cannot be read: {error.detail}") from None


def context_of(report_id: str, part: Part) -> str:
    """Return what a part of a report is bound to."""
    return f"report {report_id} {part}"


def until(now_us: Micros, days: float) -> Micros:
    """Return when what is kept from now on is over."""
    return Micros(now_us + max(1, round(days * SECONDS_PER_DAY * 1e6)))


def why_without(record: ReportRecord, part: Part) -> str:
    """Say why a report lacks a part."""
    if record.status in WAITING:
        return f"report '{record.id}' is {record.status}: ask again in some seconds"
    if record.status is ReportStatus.FAILED:
        return f"report '{record.id}' has no {part}: it failed: {record.detail}"
    return f"report '{record.id}' has no {part}"
