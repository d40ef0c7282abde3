"""Which threats are watched, and by what: the table of the threat model as data, against the techniques of ATLAS."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import msgspec

from service.domain.atlas import Atlas, Technique, atlas
from service.domain.redteam import AttackRow

STRIDE = {
    "S": "Spoofing",
    "T": "Tampering",
    "R": "Repudiation",
    "I": "Information disclosure",
    "D": "Denial of service",
    "E": "Elevation of privilege",
}
SEEN_ENOUGH = 0.5


class StrideRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One threat to the service itself."""

    element: str
    stride: tuple[str, ...]
    threat: str
    now: str
    where: tuple[str, ...]
    not_yet: str

    @property
    def kinds(self) -> str:
        """The kinds of threat, in words."""
        return ", ".join(STRIDE[letter] for letter in self.stride)


class DetectorRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that sees techniques."""

    name: str
    techniques: tuple[str, ...]
    partly: bool
    """Whether it sees only some of what the technique can be."""
    where: str
    needs: str
    how: str


class Threats(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table."""

    stride: tuple[StrideRow, ...]
    detectors: tuple[DetectorRow, ...]


@cache
def threats() -> Threats:
    """Return the table, read once."""
    content = resources.files("service.console").joinpath("threats.json").read_bytes()
    return msgspec.json.decode(content, type=Threats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One technique, who sees it, and what red-team runs say of that."""

    id: str
    name: str
    detectors: tuple[str, ...]
    partly: bool
    tried: int
    """Attacks with this technique that were tried and succeed."""
    seen: int
    """Of these, seen in time in at least half of their successes."""

    @property
    def tone(self) -> str:
        """Whether what was tried was seen."""
        if not self.tried:
            return "plain"
        return "good" if self.seen == self.tried else "bad" if not self.seen else "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class TacticRow:
    """One tactic with the techniques of it that are watched."""

    id: str
    name: str
    watched: tuple[Watched, ...]
    techniques: int
    """That ATLAS has for it, parts of techniques left out."""
    unwatched: tuple[str, ...]


def coverage(attacks: tuple[AttackRow, ...] = ()) -> tuple[TacticRow, ...]:
    """Return for each tactic of ATLAS what is watched, with what red-team runs have found."""
    table = atlas()
    by_technique: dict[str, list[DetectorRow]] = {}
    for detector in threats().detectors:
        for technique in detector.techniques:
            by_technique.setdefault(technique, []).append(detector)
    tried = _tried(attacks)
    for technique in tried:
        by_technique.setdefault(technique, [])
    watched = {
        one: _watched(table.techniques[one], detectors, tried.get(one, (0, 0)))
        for one, detectors in by_technique.items()
        if one in table.techniques
    }
    return tuple(_tactic(table, tactic_id, watched) for tactic_id in (tactic.id for tactic in table.tactics))


def _tried(attacks: tuple[AttackRow, ...]) -> Mapping[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for row in attacks:
        if row.successes:
            is_seen = (row.timely.ratio or 0.0) >= SEEN_ENOUGH
            for technique in row.techniques:
                number, seen = found.get(technique.id, (0, 0))
                found[technique.id] = (number + 1, seen + is_seen)
    return found


def _watched(technique: Technique, detectors: list[DetectorRow], tried: tuple[int, int]) -> Watched:
    return Watched(
        id=technique.id,
        name=technique.name,
        detectors=tuple(one.name for one in detectors),
        partly=bool(detectors) and all(one.partly for one in detectors),
        tried=tried[0],
        seen=tried[1],
    )


def _tactic(table: Atlas, tactic_id: str, watched: Mapping[str, Watched]) -> TacticRow:
    own = [one for one in table.techniques.values() if any(tactic.id == tactic_id for tactic in one.tactics)]
    whole = [one for one in own if one.id.count(".") == 1]
    shown = tuple(watched[one.id] for one in own if one.id in watched)
    covered = {one.id.rsplit(".", 1)[0] if one.id.count(".") > 1 else one.id for one in shown}
    name = next(tactic.name for tactic in table.tactics if tactic.id == tactic_id)
    return TacticRow(
        id=tactic_id,
        name=name,
        watched=shown,
        techniques=len(whole),
        unwatched=tuple(f"{one.id} {one.name}" for one in whole if one.id not in covered),
    )
