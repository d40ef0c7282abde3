"""Why a value from outside does not fit its type: every bad place, in words a person can act on."""

import re
import types
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from service.domain.errors import Place

ADDRESS = re.compile(r"^(?P<reason>.*?)(?: - at `\$(?P<at>.*)`)?$", re.DOTALL)
BOUND = re.compile(r"^Expected `(?:int|float)` (?P<how>>=|<=|>|<) (?P<limit>[-+.e0-9]+)$")
LENGTH = re.compile(r"^Expected `(?P<type>\w+)` of length (?P<how>>=|<=) (?P<limit>\d+)$")
MISTYPED = re.compile(r"^Expected `(?P<wanted>[^`]+)`, got `(?P<got>\w+)`$")
TYPE = re.compile(r"\w+")
BOUNDS = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}
WORDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
WHOLE = "body"
SHOWN_MAX = 60


def bad_places(value: Any, kind: Any, at: str = "") -> Iterator[Place]:
    """Yield each place where a value does not fit, going down into structs so that one error does not hide another."""
    struct, inner, named = _struct_in(kind), _inner_of(kind), _named_in(kind)
    if isinstance(value, dict) and named is not None:
        yield from _bad_entries(value, named, at)
        return
    if isinstance(value, list) and inner is not None:
        misfits = [place for i, item in enumerate(value) for place in bad_places(item, inner, f"{at}[{i}]")]
        yield from misfits or filter(None, [_misfit(value, kind, at)])
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
            yield from bad_places(value[name], field.type, _join(at, name))
        elif field.required:
            yield Place(_join(at, name), "is required")


def _bad_entries(value: dict[Any, Any], kinds: tuple[Any, Any], at: str) -> Iterator[Place]:
    """Yield each bad name and each bad place below a name."""
    for name, item in value.items():
        here = _join(at, str(name))
        misfit = _misfit(name, kinds[0], here)
        yield from bad_places(item, kinds[1], here) if misfit is None else [misfit]


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a type is, or that it is when not null."""
    structs = [option for option in _options(kind) if isinstance(option, type) and issubclass(option, msgspec.Struct)]
    return structs[0] if structs else None


def _inner_of(kind: Any) -> Any:
    """Return of what a type is a list, or of what it is one when not null."""
    inner = [
        get_args(option)[0]
        for option in _options(kind)
        if get_origin(option) is list or (get_origin(option) is tuple and get_args(option)[-1] is Ellipsis)
    ]
    return inner[0] if inner else None


def _named_in(kind: Any) -> tuple[Any, Any] | None:
    """Return the names and the values of what a type maps, unless anything may stand there."""
    found = [get_args(option) for option in _options(kind) if get_origin(option) is dict]
    return found[0] if found and found[0][1] is not Any else None


def _options(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    return get_args(kind) if get_origin(kind) in {types.UnionType, Union} else (kind,)


def _misfit(value: Any, kind: Any, at: str) -> Place | None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        place = place_of(str(error), at)
        # A place deeper down holds another value of another type, which nobody looked up.
        return Place(place.at, in_words(place.reason, value, kind)) if place.at == (at or WHOLE) else place
    return None


def place_of(text: str, at: str = "") -> Place:
    """Return the place that a decoder's message names, and why, in the decoder's own words."""
    found = ADDRESS.match(text)
    below = (found.group("at") or "") if found else ""
    reason = found.group("reason") if found else text
    return Place(f"{at}{below}".lstrip(".") or WHOLE, reason)


def in_words(reason: str, value: Any, kind: Any) -> str:
    """Say in plain words why a value is not of its type, with the value; else as the decoder."""
    if reason.startswith("Invalid enum value"):
        names = [str(member.value) for option in _options(kind) if _is_enum(option) for member in option]
        return f"must be one of {', '.join(names)}, not {shown(value)}" if names else reason
    if found := BOUND.match(reason):
        return f"must be {BOUNDS[found['how']]} {float(found['limit']):g}, not {shown(value)}"
    if found := LENGTH.match(reason):
        one, more = ("character", "characters") if found["type"] == "str" else ("entry", "entries")
        what = one if found["limit"] == "1" else more
        return f"must have {BOUNDS[found['how']]} {found['limit']} {what}, has {len(value)}"
    if found := MISTYPED.match(reason):
        wanted = [WORDS.get(name, name) for name in TYPE.findall(found["wanted"])]
        return f"must be {' or '.join(dict.fromkeys(wanted))}, not {WORDS.get(found['got'], found['got'])}"
    return reason


def _is_enum(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, Enum)


def shown(value: Any) -> str:
    """Return a value as an answer repeats it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


def _join(at: str, name: str) -> str:
    name = name[:100]
    return f"{at}.{name}" if at else name
