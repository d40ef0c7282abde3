"""The evidence frozen with an incident, as its page shows it: what was known at the alarm, and stays as it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from service.console import words
from service.console.histograms import Bar, bars
from service.console.read_models import EFFECTS, When
from service.detect.baselines import ColumnView
from service.domain.ids import Micros
from service.domain.incidents import Frozen, FrozenColumn, FrozenHistogram

COLUMNS_SHOWN = 8
LEFT_OUT_SHOWN = 12
NAMED_SHOWN = 5
NUMERIC = frozenset({"below", "above"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenCard:
    """One blamed column with both histograms."""

    name: str
    direction: str
    since: When | None
    evidence: str | None
    effects: tuple[tuple[str, str], ...]
    events: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenSection:
    """What was kept, and how one knows that it is unchanged."""

    digest: str
    at: When | None
    facts: tuple[tuple[str, str], ...]
    cards: tuple[FrozenCard, ...]
    left_out: str
    """Names of columns that are blamed and have no histogram here."""
    readable: bool


def frozen_section(kept: tuple[str, str] | None, now_us: Micros) -> FrozenSection | None:
    """Decide what the page shows; nothing where an earlier release opened the incident."""
    if kept is None:
        return None
    digest, body = kept
    try:
        frozen = msgspec.json.decode(body, type=Frozen)
    except (msgspec.DecodeError, msgspec.ValidationError):  # of another release: the API gives it byte for byte
        return FrozenSection(digest=digest, at=None, facts=(), cards=(), left_out="", readable=False)
    blamed = {one.name: one for one in frozen.columns if one.segment is None}
    shown = {one.name for one in frozen.histograms[:COLUMNS_SHOWN]}
    left = [_words(one) for one in frozen.columns if one.segment is not None or one.name not in shown]
    more = f" and {len(left) - LEFT_OUT_SHOWN} more" if len(left) > LEFT_OUT_SHOWN else ""
    return FrozenSection(
        digest=digest,
        at=When.of(frozen.at_us, now_us),
        facts=_facts(frozen),
        cards=tuple(_card(one, blamed.get(one.name), now_us) for one in frozen.histograms[:COLUMNS_SHOWN]),
        left_out=", ".join(left[:LEFT_OUT_SHOWN]) + more,
        readable=True,
    )


def _facts(frozen: Frozen) -> tuple[tuple[str, str], ...]:
    facts = [("State before", frozen.state.replace("_", " "))]
    if frozen.baseline_digest:
        facts.append(("Baseline", frozen.baseline_digest[:12]))
    budget = words.budget_sentence(frozen.policy.budget)
    facts.append(("Policy", f"{budget}, {frozen.policy.reviewers} to release{', dry run' * frozen.policy.dry_run}"))
    if frozen.redteam is None:
        facts.append(("Red team", "no run was filed"))
    else:
        blind, broken = frozen.redteam.blind, frozen.redteam.broken
        named = f": {', '.join(blind[:NAMED_SHOWN])}" if blind else ""
        facts.append(("Red team", f"{len(blind)} blind spots{named}; {len(broken)} broken defences"))
    facts.append(("Position", f"{frozen.position:,} in the log"))
    return tuple(facts)


def _card(histogram: FrozenHistogram, column: FrozenColumn | None, now_us: Micros) -> FrozenCard:
    view = ColumnView(
        name=histogram.name,
        kind="numeric" if set(histogram.bins) >= NUMERIC else "categorical",
        group=column.group if column else "",
        bins=histogram.bins,
        counts=histogram.baseline,
        place=slice(0, len(histogram.bins)),
    )
    return FrozenCard(
        name=histogram.name,
        direction=column.direction if column else "",
        since=When.of(column.since_us, now_us) if column else None,
        evidence=words.exponent(column.log_evidence) if column else None,
        effects=effects_of(histogram.effects, histogram.intervals),
        events=f"{sum(histogram.current):,} events since the change, {sum(histogram.baseline):,} reference rows",
        bars=bars(view, np.array(histogram.current, np.int64)),
    )


def effects_of(
    values: Mapping[str, float | None], intervals: Mapping[str, tuple[float, float] | None]
) -> tuple[tuple[str, str], ...]:
    """Write effect sizes with their limits."""
    return tuple(
        (label, words.with_interval(value, intervals.get(key)))
        for key, label in EFFECTS
        if (value := values.get(key)) is not None
    )


def _words(column: FrozenColumn) -> str:
    changed = f"{column.name} ({column.direction})"
    return changed if column.segment is None else f"{changed} in {column.segment}"


def names_of(columns: Sequence[str], shown: int) -> str:
    """Write the first few of some names."""
    rest = f" and {len(columns) - shown} more" if len(columns) > shown else ""
    return f"{', '.join(columns[:shown])}{rest}"
