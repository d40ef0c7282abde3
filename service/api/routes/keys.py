"""API keys, for those who may not log in to the machine."""

from fastapi import APIRouter, Response

from service.api.bodies import NewKey, decode_body
from service.api.deps import Admin, ApiDep, SmallBody, answer, documented_answer, documented_body
from service.api.views_keys import KeyView, NewKeyView, of_key
from service.domain.errors import Forbidden
from service.domain.keys import Identity
from service.domain.texts import bad_name
from service.office import KeyRequest, issue_key, revoke_key

router = APIRouter(prefix="/v1/keys", tags=["keys"])
CREATED = 201


@router.get("", responses=documented_answer(dict[str, list[KeyView]], "Every key, without its secret."))
def list_keys(api: ApiDep, who: Admin) -> Response:
    """List keys."""
    _unlimited(who)
    uses = api.uses.uses()
    return answer({"keys": [of_key(key, uses.get(key.id)) for key in api.read.keys()[: api.settings.list_max]]})


@router.post(
    "",
    status_code=CREATED,
    openapi_extra=documented_body(NewKey),
    responses=documented_answer(NewKeyView, "The key: shown this once.", CREATED),
)
def create_key(api: ApiDep, who: Admin, content: SmallBody) -> Response:
    """Make a key."""
    _unlimited(who)
    body = decode_body(content, NewKey, {"name": bad_name})
    request = KeyRequest(
        name=body.name,
        scopes=frozenset(body.scopes),
        models=None if body.models is None else frozenset(body.models),
        expires_days=body.expires_days,
    )
    parts = issue_key(api.control, api.clock, api.secrets.pepper, who.actor, request)
    return answer(NewKeyView(key=parts.text, id=parts.id, scopes=sorted(request.scopes)), CREATED)


@router.delete("/{key_id}", responses=documented_answer(dict[str, str], "The key that works no more."))
def delete_key(api: ApiDep, who: Admin, key_id: str) -> Response:
    """Revoke a key; it stays on record."""
    _unlimited(who)
    revoke_key(api.control, api.clock, who.actor, key_id)
    api.keyring.refresh()
    return answer({"id": key_id, "status": "revoked"})


def _unlimited(who: Identity) -> None:
    """Keep an administrator of a few models from making a key for all of them."""
    if who.models is not None:
        raise Forbidden(f"key '{who.key_id}' is limited to some models; keys are managed by keys without that limit")
