"""Baselines that wait for people: put, accepted, refused."""

from dataclasses import dataclass, replace

import msgspec

from service.detect.baselines import verify
from service.detect.moved import MOVED
from service.detect.reference import CompiledReference
from service.domain.calibration import Calibration
from service.domain.errors import Conflict, NotFound
from service.domain.ids import Actor, Micros
from service.domain.policy import BaselineReview
from service.domain.records import BaselineRecord, Model, Version
from service.domain.reviews import Proposal, ProposalStatus
from service.in_force import in_words, put_in_force, signed
from service.notify.compose import compose
from service.notify.reviews import baseline_proposed, baseline_settled
from service.office import new_id
from service.ports_review import ReviewTx
from service.quarantine.proposals import check_draft, check_room, check_settle, signatures_needed, waits
from service.review.stages import ReviewStages, of_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What became of a baseline that was put."""

    record: BaselineRecord
    need: int | None
    """How many people must sign it before it is in force; ``None`` when it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Where a proposal stands after somebody has decided."""

    proposal: Proposal
    need: int


def offer_baseline(
    stages: ReviewStages,
    actor: Actor,
    version: Version,
    compiled: CompiledReference,
    compared: str | None,
    drafted: str | None = None,
) -> Offered:
    """Sign a compiled baseline, and put it in force or propose it, as the policy says.

    ``compared`` is the baseline that its warnings compare it with. One that was drafted from traffic, with ``drafted``
    as the reason, is proposed whatever the policy says: nobody makes alone normal what has just come.

    Raises
    ------
    NotFound
        When the version is gone.
    Conflict
        When too many wait already, it was compared with a baseline that is in force no more, or it is a draft and the
        version is retired.
    """
    office = stages.office
    with stages.store.write() as tx:
        owner, current = of_version(tx, version.model, version.version)
        if drafted is not None:
            check_draft(current)
        strict = drafted is not None or owner.policy.baseline_review is not BaselineReview.NEVER
        if current.baseline_id != compared and strict:
            detail = (
                f"another baseline came into force meanwhile: '{current.baseline_id}', not '{compared}'; put it again"
            )
            raise Conflict(detail, extra={"in_force": current.baseline_id, "compared_with": compared})
        now_us = office.clock.now_us()
        record = signed(
            compiled,
            baseline_id=new_id(),
            version=current,
            signing_key=office.signing_key,
            head=office.head(),
            now_us=now_us,
            actor=actor,
        )
        subject = f"{version.model}/{version.version}"
        promises = current.baseline_id is not None and tx.promises(current.baseline_id)
        if drafted is None and not waits(current, owner.policy, record.warnings, promises=promises):
            put_in_force(tx.control, record, compiled.calibration, subject=subject, actor=actor, now_us=now_us)
            return Offered(record=record, need=None)
        _propose(tx, owner, current, record, compiled.calibration, drafted)
        return Offered(record=record, need=signatures_needed(owner.policy))


def _propose(
    tx: ReviewTx,
    owner: Model,
    version: Version,
    record: BaselineRecord,
    calibration: Calibration | None,
    drafted: str | None,
) -> None:
    check_room(version, tx.waiting(version.id))
    proposal = Proposal(
        id=record.id,
        version_id=version.id,
        replaces=version.baseline_id or "",
        digest=record.digest,
        signature=record.signature,
        artefact=record.artefact,
        rows=record.rows,
        columns=record.columns,
        warnings=record.warnings,
        calibration=None if calibration is None else msgspec.json.encode(calibration).decode(),
        signed_by=(record.created_by,),
        status=ProposalStatus.PROPOSED,
        created_us=record.created_us,
        created_by=record.created_by,
    )
    tx.add_proposal(proposal)
    subject = f"{version.model}/{version.version}"
    detail = in_words(record) + ("" if drafted is None else f"; drafted from the log: {drafted}")
    tx.control.audit(record.created_by, "baseline.propose", subject, detail, record.created_us)
    moved = tuple(warning["column"] or "others" for warning in record.warnings if warning["code"] == MOVED)
    tx.control.add_message(compose(baseline_proposed(proposal, version, signatures_needed(owner.policy), moved)))


def settle_baseline(  # noqa: PLR0913 - what the request says, word for word
    stages: ReviewStages, actor: Actor, model: str, version: str, proposal_id: str, reason: str, *, accept: bool
) -> Settled:
    """Accept or refuse a proposed baseline; it comes into force when enough different people have signed it.

    Raises
    ------
    NotFound
        When there is no such version or proposal.
    Unprocessable, Conflict, Forbidden
        As ``check_settle`` says, or when the artefact does not have its signature any more.
    """
    with stages.store.write() as tx:
        owner, current = of_version(tx, model, version)
        proposal = tx.proposal(proposal_id)
        if proposal is None or proposal.version_id != current.id:
            raise NotFound(f"no proposed baseline '{proposal_id[:100]}' of version '{version}' of model '{model}'")
        check_settle(current, proposal, actor, reason, accept=accept)
        need = signatures_needed(owner.policy)
        if accept:
            return Settled(proposal=_sign(stages, tx, current, proposal, actor, reason.strip(), need), need=need)
        now_us = stages.office.clock.now_us()
        refused = _settled(proposal, actor, reason, ProposalStatus.REFUSED, now_us)
        tx.save_proposal(refused)
        tx.control.audit(actor, "baseline.refuse", f"{model}/{version}", f"{proposal.id}: {refused.reason}", now_us)
        _tell_settled(tx, current, refused, now_us)
        return Settled(proposal=refused, need=need)


def _sign(  # noqa: PLR0913, PLR0917 - one fact each
    stages: ReviewStages, tx: ReviewTx, version: Version, proposal: Proposal, actor: Actor, reason: str, need: int
) -> Proposal:
    office = stages.office
    if not verify(office.signing_key, proposal.artefact, proposal.signature):
        raise Conflict(f"baseline '{proposal.id}' does not have its signature: refuse it and put it again")
    now_us, subject = office.clock.now_us(), f"{version.model}/{version.version}"
    agreed = replace(proposal, signed_by=(*proposal.signed_by, actor))
    count = f"{len(agreed.signed_by)} of {need}"
    if len(agreed.signed_by) < need:
        tx.save_proposal(agreed)
        tx.control.audit(actor, "baseline.sign", subject, f"{proposal.id}, {count}: {reason}", now_us)
        return agreed
    accepted = _settled(agreed, actor, reason, ProposalStatus.ACCEPTED, now_us)
    tx.save_proposal(accepted)
    record = BaselineRecord(
        id=proposal.id,
        version_id=version.id,
        digest=proposal.digest,
        signature=proposal.signature,
        artefact=proposal.artefact,
        rows=proposal.rows,
        from_position=office.head(),
        columns=proposal.columns,
        warnings=proposal.warnings,
        created_us=now_us,
        created_by=proposal.created_by,
    )
    why = f"; put by {proposal.created_by}, signed by {', '.join(agreed.signed_by[1:])}: {reason}"
    put_in_force(
        tx.control,
        record,
        calibration_of(proposal),
        subject=subject,
        actor=actor,
        now_us=now_us,
        action="baseline.accept",
        why=why,
    )
    _tell_settled(tx, version, accepted, now_us)
    return accepted


def _tell_settled(tx: ReviewTx, version: Version, proposal: Proposal, now_us: Micros) -> None:
    tx.control.add_message(compose(baseline_settled(proposal, version, tx.waiting(version.id), now_us)))


def calibration_of(proposal: Proposal) -> Calibration | None:
    """Return what a proposed baseline tolerates; one that another release wrote is worked out anew when asked for."""
    if proposal.calibration is None:
        return None
    try:
        return msgspec.json.decode(proposal.calibration, type=Calibration)
    except msgspec.ValidationError:
        return None


def _settled(proposal: Proposal, actor: Actor, reason: str, status: ProposalStatus, now_us: Micros) -> Proposal:
    return replace(
        proposal,
        status=status,
        settled_us=now_us,
        settled_by=actor,
        reason=reason.strip(),
        artefact=b"",
        calibration=None,
    )
