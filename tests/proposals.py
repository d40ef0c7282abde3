"""A proposed baseline for tests, which say of it only what they are about."""

from dataclasses import replace
from typing import Any

from service.domain.ids import Actor
from service.domain.records import Version
from service.domain.reviews import Proposal, ProposalStatus

ADA = Actor("ada")


def proposal(version: Version, name: str, **known: Any) -> Proposal:
    """Return one of a version, by its id, put by ada; ``known`` are fields that shall be otherwise."""
    one = Proposal(
        id=name,
        version_id=version.id,
        replaces="b1",
        digest="d" * 64,
        signature="s" * 64,
        artefact=b"a",
        rows=9,
        columns=(),
        warnings=(),
        calibration=None,
        signed_by=(ADA,),
        status=ProposalStatus.PROPOSED,
        created_us=version.created_us,
        created_by=ADA,
    )
    return replace(one, **known)
