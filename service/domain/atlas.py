"""The techniques and tactics of MITRE ATLAS: ids, names and order, as data of one named version beside this file.

Copyright 2021-2025 MITRE, Apache-2.0; ``atlas.json`` says where it is from and what was left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

import msgspec


class AtlasError(Exception):
    """The table contradicts itself, or lacks what was asked for."""


@dataclass(frozen=True, slots=True)
class Tactic:
    """What an attacker wants to reach with a technique."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Technique:
    """How an attacker reaches it."""

    id: str
    name: str
    """With the name of what it is a part of: ``Craft Adversarial Data: Black-Box Optimization``."""
    tactics: tuple[Tactic, ...]
    """In the order of ATLAS; a part of a technique has those of the whole."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One tactic of a kill chain, with the techniques that reached it."""

    tactic: Tactic
    techniques: tuple[Technique, ...]


class _Named(msgspec.Struct, frozen=True):
    id: str
    name: str


class _Row(msgspec.Struct, frozen=True):
    id: str
    name: str
    tactics: tuple[str, ...]
    parent: str | None


class _File(msgspec.Struct, frozen=True):
    version: str
    licence: str
    tactics: tuple[_Named, ...]
    techniques: tuple[_Row, ...]
    mitigations: tuple[_Named, ...]


@dataclass(frozen=True, slots=True)
class Atlas:
    """The whole table."""

    version: str
    licence: str
    tactics: tuple[Tactic, ...]
    """In the order of ATLAS."""
    techniques: Mapping[str, Technique]
    mitigations: Mapping[str, str]
    """Names by id."""

    def technique(self, technique_id: str) -> Technique:
        """Return a technique by its id.

        Raises
        ------
        AtlasError
            When this version of ATLAS has no such technique.
        """
        found = self.techniques.get(technique_id)
        if found is None:
            raise AtlasError(f"ATLAS {self.version} has no technique '{technique_id[:40]}'")
        return found

    def known(self, technique_ids: Iterable[str]) -> tuple[str, ...]:
        """Return those ids that the table has, once each, in the order of the tactics that they reach first."""
        place = {tactic: number for number, tactic in enumerate(self.tactics)}
        found = {one: self.techniques[one] for one in technique_ids if one in self.techniques}
        return tuple(sorted(found, key=lambda one: (min(place[tactic] for tactic in found[one].tactics), one)))

    def kill_chain(self, technique_ids: Iterable[str]) -> tuple[Stage, ...]:
        """Return the tactics that techniques reach, in the order of ATLAS; ids that the table lacks are left out."""
        reached = [self.techniques[one] for one in self.known(technique_ids)]
        stages = (Stage(tactic, tuple(one for one in reached if tactic in one.tactics)) for tactic in self.tactics)
        return tuple(stage for stage in stages if stage.techniques)


@cache
def atlas() -> Atlas:
    """Return the table, read and checked once.

    Raises
    ------
    AtlasError
        When an id stands twice, or names a tactic or a parent that is not there.
    """
    return parse(resources.files("service.domain").joinpath("atlas.json").read_bytes())


def parse(content: bytes) -> Atlas:
    """Read a table and check it; raises as ``atlas``."""
    try:
        file = msgspec.json.decode(content, type=_File)
    except msgspec.DecodeError as error:
        raise AtlasError(f"the table cannot be read: {error}") from None
    for ids in ([t.id for t in file.tactics], [t.id for t in file.techniques], [m.id for m in file.mitigations]):
        _once(ids)
    rows = {row.id: row for row in file.techniques}
    tactics = tuple(Tactic(row.id, row.name) for row in file.tactics)
    return Atlas(
        version=file.version,
        licence=file.licence,
        tactics=tactics,
        techniques=MappingProxyType({row.id: _technique(row, rows, tactics) for row in file.techniques}),
        mitigations=MappingProxyType({row.id: row.name for row in file.mitigations}),
    )


def _once(ids: list[str]) -> None:
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise AtlasError(f"'{twice}' stands twice")


def _technique(row: _Row, rows: Mapping[str, _Row], tactics: tuple[Tactic, ...]) -> Technique:
    whole = row
    if row.parent is not None:
        if row.parent not in rows:
            raise AtlasError(f"'{row.id}' is a part of '{row.parent}', which is not there")
        whole = rows[row.parent]
    named = {*row.tactics, *whole.tactics}
    own = tuple(tactic for tactic in tactics if tactic.id in named)
    if len(own) < len(named) or not own:
        raise AtlasError(f"'{row.id}' has no tactic, or one that is not there")
    return Technique(row.id, row.name if whole is row else f"{whole.name}: {row.name}", own)
