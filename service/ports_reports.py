"""What reports need from the store."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from service.domain.ids import Actor, Micros, VersionId
from service.domain.records import AuditEntry, Incident
from service.domain.reports import Part, ReportFacts, ReportRecord, SampleRecord


class Ask(NamedTuple):
    """A report to be made."""

    record: ReportRecord
    waiting_max: int
    """So many reports may wait or be made at once, this one included."""


class Ended(NamedTuple):
    """How the making of a report ended."""

    report_id: str
    owner: str
    at_us: Micros
    detail: str
    """Why it failed; empty when it did not."""
    facts: ReportFacts | None
    key_id: str | None
    parts: Mapping[Part, bytes]
    """Encrypted."""


class Link(NamedTuple):
    """A link of the audit chain, and the digest that it follows."""

    entry: AuditEntry
    previous: str


class ReportStore(Protocol):
    """Where reports and the rows behind them are kept."""

    def ask(self, ask: Ask) -> ReportRecord:
        """Let a report wait for its turn, on record.

        One about the same thing that waits already is returned instead. Raises ``Unavailable`` when too many wait.
        """

    def claim(self, owner: str, now_us: Micros, lease_us: int) -> ReportRecord | None:
        """Return the report whose turn it is, which is then the owner's; those that were given up are failed first."""

    def end(self, ended: Ended, kept_max: int) -> bool:
        """Write what came of a report and let the oldest give way; tell whether it was still the owner's."""

    def report(self, report_id: str, now_us: Micros) -> ReportRecord | None:
        """Return one report."""

    def newest(self, incident_id: str, now_us: Micros, part: Part | None = None) -> ReportRecord | None:
        """Return the newest report about an incident; with a part, the newest that has it."""

    def reports(self, version_id: VersionId, now_us: Micros, limit: int) -> Sequence[ReportRecord]:
        """Return the reports about a version, newest first."""

    def part(self, report_id: str, part: Part) -> bytes | None:
        """Return a part of a report, encrypted."""

    def read_rows(self, record: ReportRecord, actor: Actor, now_us: Micros) -> bytes | None:
        """Return the rows behind a report, encrypted; who read them stands in the audit chain."""

    def erase(self, record: ReportRecord, actor: Actor, reason: str, now_us: Micros) -> bool:
        """Erase a report, on record; tell whether it was there."""

    def erase_incident(self, incident: Incident, actor: Actor, reason: str, now_us: Micros) -> int:
        """Erase the reports about an incident and its kept rows, on record; return how many reports there were.

        What stays says that they were erased: no rows are kept in their place.
        """

    def keep(self, sample: SampleRecord, kept_max: int) -> bool:
        """Keep rows unless there are some of the same subject; tell whether they were kept.

        A version keeps so many of a kind; the oldest give way, never those of the baseline in force.
        """

    def sample(self, subject: str, now_us: Micros) -> SampleRecord | None:
        """Return kept rows, or what is left of erased ones."""

    def unsampled(
        self, since_us: Micros, until_us: Micros, limit: int, after: Incident | None = None
    ) -> Sequence[Incident]:
        """Return incidents opened in a time of which no rows are kept, oldest first; those after one of them."""

    def expire(self, now_us: Micros, rows: int) -> int:
        """Delete a bounded number of reports and rows that are over, and return how many there were."""

    def waiting(self) -> int:
        """Return how many reports wait or are made."""

    def links_about(self, incident: Incident, until_us: Micros, limit: int) -> Sequence[Link]:
        """Return what the audit chain says of an incident, and of its version from its beginning on, in order.

        Of more than so many, the newest.
        """

    def note(self, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
        """Append to the audit chain."""
