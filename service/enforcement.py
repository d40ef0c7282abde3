"""From the gate's memory to the record: which quarantines gateways obey, and whom to tell when one is not obeyed.

Runs in the API process, beside the gate. It decides nothing about models, so the worker's fold does not depend on it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.enforcement import Enforcement
from service.domain.ids import Actor, Micros, VersionId
from service.domain.records import AuditEntry, Message
from service.gate.acknowledge import Acknowledgements
from service.gate.refresh import Fleet
from service.notify.compose import compose
from service.notify.enforcement import quarantine_not_enforced
from service.ports import Clock
from service.quarantine.enforcement import NOT_ENFORCED, judge

_logger = logging.getLogger("lazaretto.enforcement")


class EnforcementLedger(Protocol):
    """Where it is written down."""

    def latest(self, version_id: VersionId | None = None) -> Sequence[Enforcement]:
        """Return the newest quarantine of every version, or of one, that was ever in quarantine."""

    def waiting(self) -> Sequence[Enforcement]:
        """Return every quarantine that stands, and every one that people believe is not obeyed."""

    def acknowledge(self, version_id: VersionId, lock: int, at_us: Micros, decision_id: str) -> None:
        """Write down the first refusal of the quarantine that it was a refusal of; a later one changes nothing."""

    def tell(self, one: Enforcement, kind: str, text: str, at_us: Micros, messages: Sequence[Message]) -> bool:
        """Write down that events still come, or no longer do, once; False when somebody else was first."""

    def audit(self, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
        """Append to the audit chain."""

    def drills(self, subject: str, limit: int) -> Sequence[AuditEntry]:
        """Return what is on record of drills of a version, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnforcementWatch:
    """Called by the background threads of the API process."""

    ledger: EnforcementLedger
    heard: Acknowledgements
    fleet: Fleet
    clock: Clock
    last_arrival: Callable[[VersionId], Micros]
    """When the log took the newest event of a version, as far as the worker has read; 0 when there was none."""
    grace_seconds: float
    let_through_until: Callable[[VersionId], Micros] = lambda _: Micros(0)
    """Until when somebody has let a held version serve; its events are no surprise as long as that."""

    def write_down(self) -> None:
        """Write down what the gate has heard; raise what the store raises, and keep it for the next time."""
        for one in self.heard.waiting():
            self.ledger.acknowledge(one.version_id, one.lock, one.at_us, one.decision_id)
            self.heard.written(one)

    def look(self) -> None:
        """Tell people of each quarantine that is not obeyed, and when it is again."""
        waiting = self.ledger.waiting()
        if not waiting:
            return
        now_us = self.clock.now_us()
        for one in waiting:
            version = self.fleet.view.by_id.get(one.version_id)
            last_us = self.last_arrival(one.version_id)
            grace_us = round(self.grace_seconds * 1e6)
            if one.overdue_us is None and last_us <= self.let_through_until(one.version_id) + grace_us:
                continue
            finding = judge(one, last_us, now_us, grace_us)
            if finding is None or version is None:
                continue
            firing = finding.kind == NOT_ENFORCED
            notice = quarantine_not_enforced(one, version, finding.text, now_us, firing=firing)
            if self.ledger.tell(one, finding.kind, finding.text, now_us, [compose(notice)]):
                extra = {"model": version.model, "version": version.version, "reason": finding.text}
                _logger.warning("quarantine %s", finding.kind.replace("_", " "), extra=extra)
