"""Who may act on incidents, and on which view of them."""

import re
from typing import Annotated

import anyio.to_thread
from fastapi import Depends, Header, Request

from service.api.deps import Api, ApiDep, Require
from service.domain.errors import BadRequest, Forbidden, Place
from service.domain.keys import Identity
from service.domain.records import Scope

HOLDERS_MAX = 10
TAG = re.compile(r'(?:W/)?"?(\d{1,18})"?')


class RequireOperator(Require):
    """Dependency: a key with scope ``operate``; who lacks it is told who has it, as far as they may know."""

    async def __call__(self, request: Request, api: ApiDep) -> Identity:
        """Return who is asking."""
        identity = await api.keyring.identify(request.scope["headers"])
        if not identity.may(self.scope):
            own = ", ".join(sorted(identity.scopes)) or "none"
            holders = []
            if identity.may(Scope.READ):
                # The gate is answered from this loop: it waits for no store.
                holders = await anyio.to_thread.run_sync(_holders, api, identity, self.scope)
            who = f"; it is held by: {', '.join(holders)}" if holders else ""
            detail = f"this needs a key with scope '{self.scope}'; key '{identity.key_id}' has: {own}{who}"
            raise Forbidden(detail, extra={"needs": self.scope.value, "holders": holders})
        model = request.path_params.get("model")
        if model is not None:
            identity.require_model(model)
        return identity


IncidentOperator = Annotated[Identity, Depends(RequireOperator(Scope.OPERATE))]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The incident's `lock` as you saw it: the action is refused when it has changed since.",
    ),
]


def expected_of(if_match: str | None) -> int | None:
    """Return the number of changes that a request says it saw; ``None`` where it does not say.

    Raises
    ------
    BadRequest
        When the header is no number of changes.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = TAG.fullmatch(if_match.strip())
    if found is None:
        reason = f"must be the incident's lock, such as \"3\", not '{if_match[:100]}'"
        raise BadRequest(f"the header 'If-Match' {reason}", places=[Place("If-Match", reason)])
    return int(found.group(1))


def _holders(api: Api, identity: Identity, scope: Scope) -> list[str]:
    """Return the names of keys that have a scope and reach a model that this key reaches."""
    now_us = api.clock.now_us()
    everyone = api.read.keys()
    names = {
        key.name
        for key in everyone
        if scope in key.scopes
        and key.revoked_us is None
        and (key.expires_us is None or key.expires_us > now_us)
        and (key.models is None or identity.models is None or key.models & identity.models)
    }
    return sorted(names)[:HOLDERS_MAX]
