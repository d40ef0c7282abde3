"""Makes the reports that wait, one at a time, and keeps rows of new incidents; in a thread of the API process.

The work itself is done by other processes: this thread only waits for them.
"""

import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from service.domain.errors import Conflict
from service.domain.ids import Micros
from service.domain.records import Incident, Model, Version
from service.domain.reports import Part, ReportFacts, ReportRecord, SampleKind, SampleRecord
from service.ports_incidents import IncidentDesk
from service.ports_reports import Ended
from service.reports.desk import ReportDesk, context_of, until
from service.reports.make import ROWS_MIN, facts_of, told, unfit, unpacked, whole_json
from service.reports.samples import Pair, Sample
from service.reports.sealed import seal, unseal
from service.transcripts import id_of

logger = logging.getLogger("lazaretto.reports")

LEASE_SPARE_SECONDS = 60.0
SETTLE_US = 60_000_000
"""Rows of an incident are kept so long after it was opened: those right after the alarm are of use too."""
REACH_US = 24 * 3_600_000_000
"""Incidents that are older are not looked at any more."""
INCIDENTS_MAX = 200
"""Incidents that are read at once."""
RETRY_US = 3_600_000_000
"""An incident of which no rows could be drawn is passed over for so long."""
FAILED_MAX = 1_000
"""Of them, that are remembered."""
KEPT_INCIDENTS = 200
"""Incidents of a version whose rows are kept; the oldest give way."""
SWEEP_ROWS = 200
LOOK_SECONDS, KEEP_SECONDS = 1.0, 15.0
"""How often it is looked for a report that waits; and for new incidents, and for what is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRunner:
    """Does what waits."""

    desk: ReportDesk
    incidents: IncidentDesk
    kept_max: int
    """Reports that are kept in all; the oldest give way."""
    seconds_max: float
    failed: dict[str, int] = field(default_factory=dict)
    """Incidents of which no rows could be drawn, and when; those that failed last come last."""
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}")

    def look(self) -> None:
        """Make one report, if one waits."""
        desk = self.desk
        lease_us = round((2 * self.seconds_max + LEASE_SPARE_SECONDS) * 1e6)
        record = desk.store.claim(self.owner, desk.clock.now_us(), lease_us)
        if record is None:
            return
        started = time.monotonic()
        ended = self._made(record)
        if not desk.store.end(ended, self.kept_max):
            logger.info("report %s was erased while it was made", record.id)
            return
        if ended.detail:
            desk.tallies.failed += 1
            logger.warning("report %s failed: %s", record.id, ended.detail)
        else:
            desk.tallies.done += 1
        desk.tallies.took(time.monotonic() - started)

    def keep(self) -> None:
        """Keep rows of one new incident, before the log has them no more."""
        desk = self.desk
        now_us = desk.clock.now_us()
        if not desk.making.keys:
            return
        models: dict[str, Model | None] = {}
        for incident in self._unsampled(now_us):
            if incident.model not in models:
                models[incident.model] = desk.read.model(incident.model)
            model = models[incident.model]
            if model is None or not self._due(incident, model, now_us):
                continue
            version = desk.read.version(incident.model, incident.version)
            if version is None:
                continue
            self._keep(incident, version, model, now_us)
            return

    def _unsampled(self, now_us: Micros) -> Iterator[Incident]:
        """Yield new incidents of which no rows are kept, oldest first."""
        last = None
        while True:
            times = Micros(now_us - REACH_US), Micros(now_us - SETTLE_US)
            page = self.desk.store.unsampled(*times, INCIDENTS_MAX, last)
            yield from page
            if len(page) < INCIDENTS_MAX:
                return
            last = page[-1]

    def _due(self, incident: Incident, model: Model, now_us: Micros) -> bool:
        """Return whether rows are to be kept: what was kept and is over is not drawn again."""
        wanted = model.policy.reports
        failed_us = self.failed.get(incident.id)
        waits = failed_us is not None and now_us < failed_us + RETRY_US
        return bool(wanted.rows) and not waits and until(incident.opened_us, wanted.keep_days) > now_us

    def _keep(self, incident: Incident, version: Version, model: Model, now_us: Micros) -> None:
        desk, wanted = self.desk, model.policy.reports
        from_us, _ = desk.span_of(incident, now_us)
        self.failed.pop(incident.id, None)
        pair, why = desk.making.draw(version, wanted, from_us, incident.opened_us + SETTLE_US)
        if pair is not None:
            desk.store.keep(self._kept(incident, pair, wanted.keep_days), KEPT_INCIDENTS)
            return
        logger.warning("no rows of incident %s are kept: %s", incident.id, why)
        self.failed[incident.id] = now_us
        while len(self.failed) > FAILED_MAX:
            del self.failed[next(iter(self.failed))]

    def sweep(self) -> None:
        """Delete what is over."""
        self.desk.store.expire(self.desk.clock.now_us(), SWEEP_ROWS)

    def _kept(self, incident: Incident, pair: Pair, days: float) -> SampleRecord:
        now_us, key = self.desk.clock.now_us(), self.desk.making.keys[0]
        return SampleRecord(
            subject=incident.id,
            kind=SampleKind.INCIDENT,
            version_id=incident.version_id,
            rows=pair.current.rows,
            at_us=now_us,
            until_us=until(now_us, days),
            key_id=id_of(key),
            sample=seal(key, f"sample {incident.id}", msgspec.msgpack.encode(pair)),
        )

    def _made(self, record: ReportRecord) -> Ended:
        desk = self.desk
        version = desk.read.version(record.model, record.version)
        model = desk.read.model(record.model)
        if version is None or model is None:
            return self._ended(record, "the version is gone", None, {})
        pair, why = desk.making.draw(version, model.policy.reports, record.from_us, record.to_us)
        reference = self._reference(record, version)
        frozen = False
        if record.incident_id is not None and _lacking(pair, reference):
            kept, no_rows = self._kept_rows(record.incident_id)
            pair, frozen = _completed(pair, kept)
            why = why and f"{why}; {no_rows}"
        if pair is None:
            return self._ended(record, why, None, {})
        facts = facts_of(pair, reference, frozen=frozen)
        against = pair.before if reference is None else reference
        parts = {Part.ROWS: msgspec.msgpack.encode((pair, reference))}
        why = unfit(facts, pair.current, against)
        if why:
            return self._ended(record, why, facts, parts)
        title = f"{record.model} {record.version}"
        rendered, why, seconds = desk.making.render(title, pair.current, against)
        if rendered is None:
            return self._ended(record, why, facts, parts)
        told_json = whole_json(record, facts, rendered)
        parts |= {Part.HTML: rendered.html.encode(), Part.JSON: told_json}
        return self._ended(record, "", told(facts, rendered, seconds, told_json), parts)

    def _reference(self, record: ReportRecord, version: Version) -> Sample | None:
        """Return the kept rows of the reference that the version was compared with, where there are some."""
        baseline_id = version.baseline_id
        if record.incident_id is not None:
            found = self.incidents.evidence(record.incident_id)
            if found is not None:
                baseline_id = msgspec.json.decode(found[1], type=_Frozen).baseline_id or baseline_id
        if baseline_id is None:
            return None
        packed, _ = self._opened(baseline_id)
        return None if packed is None else unpacked(packed, Sample)

    def _kept_rows(self, incident_id: str) -> tuple[Pair | None, str]:
        """Return the rows kept when an incident was opened, or why there are none."""
        packed, why = self._opened(incident_id)
        pair = None if packed is None else unpacked(packed, Pair)
        return pair, why or ("" if pair else "they were kept by another release")

    def _opened(self, subject: str) -> tuple[bytes | None, str]:
        desk = self.desk
        kept = desk.store.sample(subject, desk.clock.now_us())
        if kept is None or kept.sample is None:
            return None, "no rows are kept"
        try:
            return unseal(desk.making.keys, kept.key_id, f"sample {subject}", kept.sample), ""
        except Conflict as error:
            return None, error.detail

    def _ended(
        self, record: ReportRecord, detail: str, facts: ReportFacts | None, parts: Mapping[Part, bytes]
    ) -> Ended:
        desk = self.desk
        key = next(iter(desk.making.keys), None)
        if key is None:
            parts, detail = {}, detail or "there is no key to encrypt it with"
        sealed = {part: seal(key, context_of(record.id, part), plain) for part, plain in parts.items() if key}
        return Ended(
            report_id=record.id,
            owner=self.owner,
            at_us=desk.clock.now_us(),
            detail=detail,
            facts=facts,
            key_id=id_of(key) if key and sealed else None,
            parts=sealed,
        )


def _lacking(pair: Pair | None, reference: Sample | None) -> bool:
    """Return whether the log has lost rows that a report needs: those since the change, or those to compare with."""
    return pair is None or not pair.current.rows or (reference is None and pair.before.rows < ROWS_MIN)


def _completed(pair: Pair | None, kept: Pair | None) -> tuple[Pair | None, bool]:
    """Return rows with what was kept in place of what is lacking, and whether something was."""
    if kept is None:
        return pair, False
    if pair is None or not pair.current.rows:
        return kept, True
    if kept.before.rows <= pair.before.rows:
        return pair, False
    return msgspec.structs.replace(pair, before=kept.before), True


class _Frozen(msgspec.Struct):
    """What is read of frozen evidence."""

    baseline_id: str | None = None
