"""What people vouch for: the artefact of a version, and inputs whose answers are known."""

from dataclasses import replace

import msgspec

from service.domain.errors import NotFound, Unprocessable
from service.domain.ids import Actor
from service.domain.marks import Marks, check_mark, mark_of
from service.domain.records import Version
from service.domain.vouched import Vouched, bad_vouched, digest_of
from service.office import OfficeStages


def vouch(
    office: OfficeStages, actor: Actor, model: str, version: str, vouched: Vouched, seen: Marks | None = None
) -> Version:
    """Replace what is vouched for about a version; it holds for every event after the log's head.

    With ``seen`` only what has such a mark is replaced.

    Raises
    ------
    NotFound
        When there is no such version.
    Unprocessable
        When something of it cannot hold for the version; every place is named.
    Replaced
        When somebody else has replaced it meanwhile.
    """
    with office.control.write() as tx:
        found = tx.version(model, version)
        if found is None:
            raise NotFound(f"no version '{version}' of model '{model}'")
        check_mark(seen, found.vouched, f"what is vouched for about {model}/{version}")
        places = list(bad_vouched(vouched, found.schema))
        if places:
            raise Unprocessable("this cannot be vouched for", places=places)
        artefact = None if vouched.artefact is None else digest_of(vouched.artefact)
        settled = msgspec.structs.replace(vouched, artefact=artefact, from_position=office.head())
        tx.set_vouched(found.id, settled)
        # With its mark, so that somebody who comes too late hears only of what came after the one that they saw.
        what = f"artefact {artefact or 'any'}, {len(vouched.canaries)} canaries, mark {mark_of(settled)}"
        tx.audit(actor, "version.vouch", f"{model}/{version}", what, office.clock.now_us())
        return replace(found, vouched=settled)
