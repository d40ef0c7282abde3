"""The audit chain: each link's digest covers the link before it, so that a changed or missing link shows.

A chain alone cannot show that its newest links were cut off, or that all of it was rewritten by someone who may write
the database: compare the newest digest with one that was kept elsewhere.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from service.domain.ids import Actor, Micros
from service.domain.records import AuditEntry, TransitionRecord

GENESIS = "0" * 64
"""Stands for the digest before the first link."""


def link(previous: str, seq: int, at_us: Micros, actor: Actor, action: str, subject: str, detail: str) -> AuditEntry:  # noqa: PLR0913, PLR0917 - one argument per field of the link
    """Return the link that follows the one whose digest is ``previous``."""
    digest = _digest(previous, seq, at_us, actor, action, subject, detail)
    return AuditEntry(seq=seq, at_us=at_us, actor=actor, action=action, subject=subject, detail=detail, digest=digest)


def first_break(entries: Iterable[AuditEntry], *, previous: str = GENESIS, first_seq: int = 1) -> int | None:
    """Return the ``seq`` of the first link that does not follow from the one before it, or None when all do.

    Parameters
    ----------
    entries
        Oldest first.
    previous, first_seq
        What the first of them must follow; by default the start of the chain.
    """
    for expected, entry in enumerate(entries, start=first_seq):
        digest = _digest(previous, expected, entry.at_us, entry.actor, entry.action, entry.subject, entry.detail)
        if (entry.seq, entry.digest) != (expected, digest):
            return expected
        previous = entry.digest
    return None


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted names, no spaces."""
    return msgspec.json.encode(value, order="sorted").decode()


def transition_detail(record: TransitionRecord) -> str:
    """Return what the audit chain keeps of a state change besides who, when and which version."""
    return canonical(
        {
            "before": record.before,
            "after": record.after,
            "reason": record.reason,
            "position": record.position,
            "incident_id": record.incident_id,
        }
    )


def _digest(previous: str, seq: int, *rest: str | int) -> str:
    names = ("at_us", "actor", "action", "subject", "detail")
    body = canonical({"seq": seq, **dict(zip(names, rest, strict=True))})
    return hashlib.sha256(bytes.fromhex(previous) + body.encode()).hexdigest()
