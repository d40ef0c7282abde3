"""Policies from TOML files, and what contradicts what."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from service.detect.choices import bad_choices
from service.domain.misfits import bad_places
from service.domain.policy import Policy
from service.replay.sources import ReplayError

BYTES_MAX = 1024 * 1024
DEFAULT = "the default policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A policy and where it is from."""

    name: str
    policy: Policy
    told: frozenset[str]
    """The fields that its file names."""


def default_policy() -> Given:
    """Return what a model has when nobody said anything."""
    return Given(name=DEFAULT, policy=Policy(), told=frozenset())


def read_policy(path: Path) -> Given:
    """Read a policy: the fields of a model's ``policy``, as TOML.

    Raises
    ------
    ReplayError
        When it cannot be read, a field is unknown or out of range, or two of them contradict each other.
    """
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror or error}") from error
    if len(content) > BYTES_MAX:
        raise ReplayError(f"{path}: more than {BYTES_MAX} bytes")
    try:
        told = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReplayError(f"{path}: no TOML: {error}") from error
    _check_names(path, told, Policy, "")
    misfits = list(bad_places(told, Policy))
    if misfits:
        raise ReplayError(f"{path}: {'; '.join(f'{misfit.at}: {misfit.reason}' for misfit in misfits)}")
    policy = msgspec.convert(told, Policy)
    places = bad_choices(policy)
    if places:
        raise ReplayError(f"{path}: {'; '.join(f'{place.at} {place.reason}' for place in places)}")
    return Given(name=str(path), policy=policy, told=frozenset(told))


def with_tick(given: Given, seconds: float, option: str) -> Given:
    """Give a policy the tick of the command line.

    Raises
    ------
    ReplayError
        When its file says another, no policy may have it, or it contradicts the rest of this one.
    """
    if "tick_seconds" in given.told and given.policy.tick_seconds != seconds:
        own = given.policy.tick_seconds
        raise ReplayError(f"{option} is {seconds:g} s, but tick_seconds of {given.name} is {own:g}: say one")
    try:
        policy = msgspec.convert({**msgspec.to_builtins(given.policy), "tick_seconds": seconds}, Policy)
    except msgspec.ValidationError as error:
        raise ReplayError(f"{option} is {seconds:g} s, which no policy may have as tick_seconds: {error}") from error
    places = bad_choices(policy)
    if places:
        raise ReplayError(f"{option} with {given.name}: {'; '.join(f'{place.at} {place.reason}' for place in places)}")
    return Given(name=given.name, policy=policy, told=given.told)


def check_pair(current: Given, new: Given) -> None:
    """Refuse two policies with different ticks for rows that have no time.

    Raises
    ------
    ReplayError
        When the ticks differ.
    """
    if current.policy.tick_seconds != new.policy.tick_seconds:
        places = " but ".join(f"tick_seconds of {g.name} is {g.policy.tick_seconds:g}" for g in (current, new))
        raise ReplayError(f"{places}: ticks of rows have one length; say --time COLUMN, or the same tick_seconds")


def _check_names(path: Path, told: Mapping[str, Any], kind: type[msgspec.Struct], prefix: str) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in told.items():
        if name not in fields:
            near = get_close_matches(name, fields, n=3) or list(fields)
            raise ReplayError(f"{path}: {prefix}{name}: a policy has no such field; near: {', '.join(near)}")
        inner = fields[name]
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            _check_names(path, value, inner, f"{prefix}{name}.")
