"""Earlier incidents like one, and what people said they were: the first thing to look at when one is woken."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from service.console import words
from service.console.read_models import When
from service.domain.ids import Micros
from service.domain.records import Incident, Verdict
from service.ports_pages import Alike

READ = 200
SHOWN = 5
TONES = {
    Verdict.REAL_DRIFT: "bad",
    Verdict.DATA_BUG: "warn",
    Verdict.ATTACK: "bad",
    Verdict.BENIGN: "good",
    Verdict.FALSE_ALARM: "off",
}
SAME_VERSION, SAME_MODEL = 1.0, 0.5
"""What nearness counts beside the share of the columns that both blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRow:
    """One earlier incident."""

    id: str
    title: str
    where: str
    opened: When
    verdict: str
    tone: str
    shared: str
    took: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The section."""

    rows: tuple[PastRow, ...]
    summary: str
    left: int


def past_of(alike: Sequence[Alike], incident: Incident, columns: frozenset[str], now_us: Micros) -> Past:
    """Rank earlier incidents of the same cause: those of the same version and model, and those of the same columns."""
    near = [(_nearness(one, incident, columns), one) for one in alike]
    ranked = [one for value, one in sorted(near, key=lambda pair: -pair[0]) if value > 0]
    said = Counter(one.incident.verdict for one in ranked if one.incident.verdict is not None)
    judged = sum(said.values())
    told = ", ".join(so_many(verdict, number) for verdict, number in said.most_common())
    if not ranked:
        summary = "None is on record: this is the first of its kind."
    elif not judged:
        summary = f"{_count(len(ranked))} on record; nobody has judged any of them."
    else:
        summary = f"{_count(len(ranked))} on record; of {judged} judged: {told}."
    return Past(
        rows=tuple(_row(one, incident, columns, now_us) for one in ranked[:SHOWN]),
        summary=summary,
        left=max(0, len(ranked) - SHOWN),
    )


def _nearness(one: Alike, incident: Incident, columns: frozenset[str]) -> float:
    together = columns | one.columns
    value = len(columns & one.columns) / len(together) if together else 0.0
    if one.incident.version_id == incident.version_id:
        return value + SAME_VERSION
    return value + SAME_MODEL if one.incident.model == incident.model else value


def _row(one: Alike, incident: Incident, columns: frozenset[str], now_us: Micros) -> PastRow:
    past = one.incident
    shared = len(columns & one.columns)
    over_us = past.resolved_us
    same = past.version_id == incident.version_id
    return PastRow(
        id=past.id,
        title=past.title,
        where="this version" if same else f"{past.model} {past.version}",
        opened=When.of(past.opened_us, now_us),
        verdict=str(past.verdict) if past.verdict else "not judged" if over_us else str(past.status),
        tone=TONES[past.verdict] if past.verdict else "plain",
        shared=f"{shared} of these {len(columns)} columns" if len(columns) > 1 else "the same column" * bool(shared),
        took="" if over_us is None else words.duration((over_us - past.opened_us) / 1e6),
        note=past.note or "",
    )


def so_many(verdict: Verdict, number: int) -> str:
    """Write how often people gave a verdict."""
    return f"{number:,} {verdict}{'s' * (number != 1 and verdict is not Verdict.BENIGN)}"


def _count(number: int) -> str:
    return "1 is" if number == 1 else f"{number} are"
