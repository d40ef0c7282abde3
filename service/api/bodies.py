"""What people send: small JSON bodies, decoded by msgspec, with every bad place named."""

import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from service.domain.errors import BadRequest, Place, Unprocessable
from service.domain.policy import Policy
from service.domain.records import Scope, Verdict
from service.domain.states import Event

PLACES_MAX = 100
ADDRESS = re.compile(r"^(?P<reason>.*?)(?: - at `\$(?P<at>.*)`)?$", re.DOTALL)
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
    places = list(_bad_places(raw, kind, ""))
    misfits = {place.at.partition(".")[0].partition("[")[0] for place in places}
    for name, check in (checks or {}).items() if isinstance(raw, dict) else ():
        if raw.get(name) is not None and name not in misfits:
            places += check(name, raw[name])
    if places:
        raise Unprocessable(f"{len(places)} bad place(s) in the body", places=places[:PLACES_MAX])
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        place = _place(str(error), "")
        raise Unprocessable("a bad place in the body", places=[place]) from None


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


def _bad_places(value: Any, kind: Any, at: str) -> typing.Iterator[Place]:
    """Yield each place where a value does not fit, going down into structs so that one error does not hide another."""
    struct, inner, named = _struct_in(kind), _inner_of(kind), _named_in(kind)
    if isinstance(value, dict) and named is not None:
        yield from _bad_entries(value, named, at)
        return
    if isinstance(value, list) and inner is not None:
        for number, item in enumerate(value):
            yield from _bad_places(item, inner, f"{at}[{number}]")
        return
    if struct is None or not isinstance(value, dict):
        place = _misfit(value, kind, at)
        if place is not None:
            yield place
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for name in value.keys() - fields.keys():
        yield Place(_join(at, str(name)), f"unknown member; known: {', '.join(fields)}")
    for name, field in fields.items():
        if name in value:
            yield from _bad_places(value[name], field.type, _join(at, name))
        elif field.required:
            yield Place(_join(at, name), "is required")


def _bad_entries(value: dict[Any, Any], kinds: tuple[Any, Any], at: str) -> typing.Iterator[Place]:
    """Yield each bad name and each bad place below a name."""
    for name, item in value.items():
        here = _join(at, str(name))
        misfit = _misfit(name, kinds[0], here)
        yield from _bad_places(item, kinds[1], here) if misfit is None else [misfit]


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a type is, or that it is when not null."""
    structs = [option for option in _options(kind) if isinstance(option, type) and issubclass(option, msgspec.Struct)]
    return structs[0] if structs else None


def _inner_of(kind: Any) -> Any:
    """Return of what a type is a list, or of what it is one when not null."""
    inner = [get_args(option)[0] for option in _options(kind) if get_origin(option) is list]
    return inner[0] if inner else None


def _named_in(kind: Any) -> tuple[Any, Any] | None:
    """Return the names and the values of what a type maps, unless anything may stand there."""
    found = [get_args(option) for option in _options(kind) if get_origin(option) is dict]
    return found[0] if found and found[0][1] is not Any else None


def _options(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    return get_args(kind) if get_origin(kind) in {types.UnionType, typing.Union} else (kind,)


def _misfit(value: Any, kind: Any, at: str) -> Place | None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return _place(str(error), at)
    return None


def _place(text: str, at: str) -> Place:
    found = ADDRESS.match(text)
    below = (found.group("at") or "") if found else ""
    reason = found.group("reason") if found else text
    return Place(f"{at}{below}".lstrip(".") or "body", reason)


def _join(at: str, name: str) -> str:
    name = name[:100]
    return f"{at}.{name}" if at else name
