"""What people send: small JSON bodies, decoded by msgspec, with every bad place named."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from service.domain.errors import BadRequest, Place, Unprocessable
from service.domain.misfits import ADDRESS, bad_places, place_of
from service.domain.policy import Policy
from service.domain.records import Scope, Verdict
from service.domain.states import Event

PLACES_MAX = 100
BYTE = re.compile(r"\(byte (\d+)\)")


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body with named members only."""


class NewModel(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/models``."""

    name: str
    owner: str
    description: str = ""
    policy: Policy = Policy()


class NewVersion(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/models/{model}/versions``; the schema is read by the ingest stage."""

    version: str
    schema: dict[str, Any]
    deployed_by: str | None = None


class Transition(Body, frozen=True, kw_only=True):
    """Of ``POST .../transitions``."""

    event: Event
    reason: str
    incident_id: str | None = None
    change: int | None = None
    """The number of the newest change that the asker knows; refused when there is a newer one."""


class BreakGlass(Body, frozen=True, kw_only=True):
    """Of ``POST .../break-glass``."""

    minutes: float
    reason: str
    change: int | None = None


class Because(Body, frozen=True, kw_only=True):
    """Of an action that takes nothing but a reason."""

    reason: str


class DraftBaseline(Body, frozen=True, kw_only=True):
    """Of ``POST .../baselines/draft``."""

    start: str | None = None
    """Of the traffic that is to be normal; by default the beginning of the change that is alerted."""
    end: str | None = None
    """By default now."""
    reason: str


class NameReviewers(Body, frozen=True, kw_only=True):
    """Of ``PUT .../review``."""

    reviewers: list[str]
    reason: str
    hours: float | None = None
    change: int | None = None


class Replay(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/notifications/replay``: of one message, of one channel, of both, or all that is dead."""

    message: str | None = None
    channel: str | None = None


class Acknowledge(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/incidents/{id}/ack``."""

    note: str = ""


class Assign(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/incidents/{id}/assign``."""

    assignee: str
    note: str = ""


class Comment(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/incidents/{id}/comment``."""

    note: str


class Resolve(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/incidents/{id}/resolve``."""

    verdict: Verdict
    note: str = ""


class SnoozeBody(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/incidents/{id}/snooze``: until a time, until it is worse, or until either."""

    until: str | None = None
    until_worse: bool = False
    note: str = ""


class Merge(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/incidents/{id}/merge``."""

    into: str
    note: str = ""


class PlanMaintenance(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/models/{model}/maintenance``."""

    start: str | None = None
    """By default now."""
    end: str
    reason: str
    quarantine: bool = True


class Lift(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/models/{model}/versions/{version}/principals/{principal}/lift``."""

    reason: str


class NewKey(Body, frozen=True, kw_only=True):
    """Of ``POST /v1/keys``."""

    name: str
    scopes: list[Scope]
    models: list[str] | None = None
    expires_days: float | None = None


T = TypeVar("T", bound=msgspec.Struct)
Check = Callable[[str, Any], Iterable[Place]]
"""From a place and the value there, which has its type already, to what else is wrong with it."""


def decode_body(content: bytes, kind: type[T], checks: Mapping[str, Check] | None = None) -> T:
    """Return the body as its type.

    Parameters
    ----------
    content
        As it came.
    kind
        What it shall be.
    checks
        By member: what its type cannot say, looked at here so that one answer names everything.

    Raises
    ------
    BadRequest
        Not JSON; the detail names the byte.
    Unprocessable
        Not of the type; every bad place is named.
    """
    raw = decode_json(content)
    places = list(bad_places(raw, kind))
    misfits = {place.at.partition(".")[0].partition("[")[0] for place in places}
    for name, check in (checks or {}).items() if isinstance(raw, dict) else ():
        if raw.get(name) is not None and name not in misfits:
            places += check(name, raw[name])
    if places:
        raise Unprocessable(f"{len(places)} bad place(s) in the body", places=places[:PLACES_MAX])
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise Unprocessable("a bad place in the body", places=[place_of(str(error))]) from None


def decode_json(content: bytes) -> Any:
    """Return parsed JSON; raise BadRequest with the byte offset."""
    try:
        return msgspec.json.decode(content)
    except RecursionError:
        raise BadRequest("the body is nested too deeply", extra={"offset": 0}) from None
    except msgspec.DecodeError as error:
        found = BYTE.search(str(error))
        offset = int(found.group(1)) if found else len(content)
        reason = ADDRESS.sub(r"\g<reason>", BYTE.sub("", str(error))).removeprefix("JSON is malformed:").strip()
        raise BadRequest(f"malformed JSON at byte {offset}: {reason}", extra={"offset": offset}) from None
    except UnicodeDecodeError:
        offset = _first_bad_byte(content)
        raise BadRequest(f"malformed JSON at byte {offset}: not UTF-8", extra={"offset": offset}) from None


def _first_bad_byte(content: bytes) -> int:
    """Return where UTF-8 breaks in the whole body; the decoder counts within one string only."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0
