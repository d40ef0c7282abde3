"""Reviews, broken glass and proposed baselines in SQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, delete, func, insert, literal, select, update

from service.domain.enforcement import Enforcement
from service.domain.ids import Actor, Micros, VersionId
from service.domain.keys import IMPLIED
from service.domain.records import Scope, TimelineItem
from service.domain.reviews import Glass, Proposal, ProposalStatus, Review, ReviewFigures
from service.ports import ControlTx
from service.ports_review import ReviewTx
from service.store.changes import add_to_timeline, bump, upsert
from service.store.control import SqlControlTx
from service.store.enforcements import enforcement_of
from service.store.engine import Database
from service.store.rows import calibration_of, key_of, values_of
from service.store.tables import api_keys, calibrations
from service.store.tables_beside import enforcements
from service.store.tables_reports import report_samples
from service.store.tables_review import glasses, proposals, reviews

GLASSES_MAX = 10_000
SETTLED_KEPT = 20
"""Settled proposals of a version that can still be looked at; the audit chain keeps what was decided for ever."""


def glass_of(row: RowMapping) -> Glass:
    """Read one."""
    return Glass(**{str(name): value for name, value in row.items()})


def review_of(row: RowMapping) -> Review:
    """Read one."""
    plain = {str(name): value for name, value in row.items()}
    return Review(**plain | {"reviewers": msgspec.json.decode(row["reviewers"], type=tuple[Actor, ...])})


def proposal_of(row: RowMapping) -> Proposal:
    """Read one."""
    plain = {str(name): value for name, value in row.items()}
    return Proposal(
        **plain
        | {
            "columns": msgspec.json.decode(row["columns"], type=tuple[str, ...]),
            "warnings": msgspec.json.decode(row["warnings"], type=tuple[dict[str, str], ...]),
            "signed_by": msgspec.json.decode(row["signed_by"], type=tuple[Actor, ...]),
            "status": ProposalStatus(row["status"]),
        }
    )


def _proposal_values(one: Proposal) -> dict[str, Any]:
    texts = {name: _json(getattr(one, name)) for name in ("columns", "warnings", "signed_by")}
    return values_of(one, status=one.status.value, **texts)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class SqlReviewTx:
    """ReviewTx over one connection that holds the write lock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._control = SqlControlTx(connection)

    @property
    def control(self) -> ControlTx:
        """The rest of what people write, in the same transaction."""
        return self._control

    def quarantine(self, version_id: VersionId) -> Enforcement | None:
        """Return the quarantine that a version is in."""
        t = enforcements
        wanted = select(t).where(t.c.version_id == version_id, t.c.ended_us.is_(None)).order_by(t.c.lock.desc())
        row = self._connection.execute(wanted.limit(1)).mappings().one_or_none()
        return None if row is None else enforcement_of(row)

    def glasses(self, version_id: VersionId, quarantine: int) -> Sequence[Glass]:
        """Return how often the glass was broken in one quarantine, oldest first."""
        t = glasses
        mine = select(t).where(t.c.version_id == version_id, t.c.quarantine == quarantine)
        return [glass_of(row) for row in self._connection.execute(mine.order_by(t.c.opened_us)).mappings()]

    def add_glass(self, glass: Glass) -> None:
        """Insert it; the gate obeys at the next look."""
        self._connection.execute(insert(glasses).values(values_of(glass)))
        bump(self._connection)

    def end_glass(self, glass: Glass) -> bool:
        """Write down its end; False when somebody else has."""
        t = glasses
        still_open = (t.c.id == glass.id) & t.c.ended_us.is_(None)
        values = {"ended_us": glass.ended_us, "ended_by": glass.ended_by}
        if self._connection.execute(update(t).where(still_open).values(values)).rowcount != 1:
            return False
        bump(self._connection)
        return True

    def tell_incident(self, incident_id: str, item: TimelineItem) -> None:
        """Add to an incident's timeline, and with it to the audit chain."""
        add_to_timeline(self._connection, incident_id, item)

    def able(self, model: str, now_us: Micros) -> frozenset[str]:
        """Return the names of the keys that may decide about a model."""
        wanted = select(api_keys).where(api_keys.c.revoked_us.is_(None))
        keys = [key_of(row) for row in self._connection.execute(wanted).mappings()]
        return frozenset(
            key.name
            for key in keys
            if (key.expires_us is None or key.expires_us > now_us)
            and (key.models is None or model in key.models)
            and any(Scope.OPERATE in {scope, *IMPLIED.get(scope, ())} for scope in key.scopes)
        )

    def review(self, version_id: VersionId) -> Review | None:
        """Return what was decided about the version's newest review."""
        wanted = select(reviews).where(reviews.c.version_id == version_id)
        row = self._connection.execute(wanted).mappings().one_or_none()
        return None if row is None else review_of(row)

    def save_review(self, review: Review) -> None:
        """Keep it in place of the one before. Nothing decides by it: no new revision."""
        upsert(self._connection, reviews, [values_of(review, reviewers=_json(review.reviewers))])

    def proposal(self, proposal_id: str) -> Proposal | None:
        """Return one, with its artefact."""
        wanted = select(proposals).where(proposals.c.id == proposal_id)
        row = self._connection.execute(wanted).mappings().one_or_none()
        return None if row is None else proposal_of(row)

    def promises(self, baseline_id: str) -> bool:
        """Return whether a baseline supports a promise about false alarms, as far as that was worked out."""
        wanted = select(calibrations.c.body).where(calibrations.c.baseline_id == baseline_id)
        body = self._connection.execute(wanted).scalar_one_or_none()
        known = None if body is None else calibration_of(body)
        return known is None or known.insufficient is None

    def waiting(self, version_id: VersionId) -> int:
        """Return how many baselines of a version are proposed."""
        t = proposals
        mine = (t.c.version_id == version_id) & (t.c.status == ProposalStatus.PROPOSED.value)
        number: int = self._connection.execute(select(func.count()).select_from(t).where(mine)).scalar_one()
        return number

    def add_proposal(self, proposal: Proposal) -> None:
        """Insert it, and forget the oldest settled ones."""
        t = proposals
        self._connection.execute(insert(t).values(_proposal_values(proposal)))
        settled = (t.c.version_id == proposal.version_id) & (t.c.status != ProposalStatus.PROPOSED.value)
        newest = select(t.c.id).where(settled).order_by(t.c.settled_us.desc(), t.c.id).limit(SETTLED_KEPT)
        self._connection.execute(delete(t).where(settled, t.c.id.not_in(newest)))
        bump(self._connection)

    def save_proposal(self, proposal: Proposal) -> None:
        """Update who has signed it, or how it was settled; of one that was refused no rows are kept."""
        values = _proposal_values(proposal)
        if proposal.status is ProposalStatus.REFUSED:
            self._connection.execute(delete(report_samples).where(report_samples.c.subject == proposal.id))
        self._connection.execute(update(proposals).where(proposals.c.id == proposal.id).values(values))
        bump(self._connection)


class SqlReviewStore:
    """ReviewStore over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self) -> AbstractContextManager[ReviewTx]:
        """Open a write transaction; wait for the lock at most the configured time, then raise Unavailable."""
        return self._write()

    @contextmanager
    def _write(self) -> Iterator[ReviewTx]:
        with self._database.write() as connection:
            yield SqlReviewTx(connection)

    def glasses_open(self) -> Sequence[Glass]:
        """Return those whose end is not written down."""
        wanted = select(glasses).where(glasses.c.ended_us.is_(None)).order_by(glasses.c.version_id)
        with self._database.read() as connection:
            return [glass_of(row) for row in connection.execute(wanted.limit(GLASSES_MAX)).mappings()]

    def glasses(self, version_id: VersionId, limit: int) -> Sequence[Glass]:
        """Return the breakings of a version's glass, newest first."""
        t = glasses
        wanted = select(t).where(t.c.version_id == version_id).order_by(t.c.opened_us.desc(), t.c.id).limit(limit)
        with self._database.read() as connection:
            return [glass_of(row) for row in connection.execute(wanted).mappings()]

    def reviews(self) -> Mapping[VersionId, Review]:
        """Return what was decided about the newest review of each version."""
        with self._database.read() as connection:
            return _reviews(connection)

    def proposals(self, version_id: VersionId, limit: int) -> Sequence[Proposal]:
        """Return the proposals of a version without their artefacts, those that wait first, then the newest."""
        t = proposals
        light = [literal(b"").label("artefact") if column.name == "artefact" else column for column in t.c]
        wanted = (
            select(*light)
            .where(t.c.version_id == version_id)
            .order_by((t.c.status != ProposalStatus.PROPOSED.value), t.c.created_us.desc(), t.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [proposal_of(row) for row in connection.execute(wanted).mappings()]

    def figures(self) -> ReviewFigures:
        """Return what the metrics show, in one transaction."""
        waiting = proposals.c.status == ProposalStatus.PROPOSED.value
        with self._database.read() as connection:
            broken = select(glasses.c.version_id, func.count()).group_by(glasses.c.version_id)
            put = select(proposals.c.version_id, func.count()).where(waiting).group_by(proposals.c.version_id)
            return ReviewFigures(
                broken_total={VersionId(one): number for one, number in connection.execute(broken)},
                escalations=_reviews(connection),
                proposed={VersionId(one): number for one, number in connection.execute(put)},
            )


def _reviews(connection: Connection) -> dict[VersionId, Review]:
    found = [review_of(row) for row in connection.execute(select(reviews)).mappings()]
    return {one.version_id: one for one in found}
