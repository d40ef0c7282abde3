"""What a policy says about evidence, fitted to one baseline.

A policy holds for all versions of a model, and their baselines differ: what it says about a column that a baseline
does not have, or in a way that does not fit it, has no effect there. It is told as a note, never passed over in
silence, and it never stops the evidence of the other columns.
"""

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

from detectors.baseline import Baseline
from detectors.columns import ColumnGroup, ColumnKind
from detectors.evidence import GROUPS, ColumnOptions, EvidenceOptions
from detectors.evidence.options import QUALITY
from service.domain.errors import Place
from service.domain.policy import ColumnChoice, Direction, Tuning

NOTES_MAX = 100
TRAFFIC = ColumnGroup.TRAFFIC.value
"""Its share is divided off before the baseline's columns get theirs: see ``service.detect.traffic``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Options that an engine takes for sure."""

    options: EvidenceOptions
    notes: tuple[Place, ...]
    """What of the policy has no effect, and why."""
    insufficient: str | None = None
    """Why the policy leaves nothing to watch, if it does; the options then ignore nothing."""


def fit(tuning: Tuning, baseline: Baseline) -> Fitted:
    """Return what a tuning means for a baseline."""
    told = {name: _choice(name, choice, baseline) for name, choice in tuning.columns}
    notes = [note for _, note in told.values() if note is not None]
    notes += [_no_group(group) for group, _ in tuning.shares if group not in GROUPS]
    columns = tuple(options for options, _ in told.values() if options is not None)
    columns += _worse_only(baseline, told)
    ignored = {options.name for options in columns if options.ignore}
    seen, more = _joint(ignored, baseline)
    notes += more
    columns = (*[options for options in columns if options.name not in seen], *[_ignored(name) for name in seen])
    ignored |= set(seen)
    notes += _empty_groups(tuning, baseline, ignored)
    insufficient = None
    if ignored.issuperset(baseline.names):
        insufficient = "the policy ignores every column of the baseline: at least one has to be watched"
        columns = tuple(options for options in columns if not options.ignore)
    options = EvidenceOptions(
        minimum_effect=tuning.minimum_effect,
        columns=columns,
        shares=tuple((group, share) for group, share in tuning.shares if group in GROUPS and group != TRAFFIC),
    )
    return Fitted(options=options, notes=tuple(notes[:NOTES_MAX]), insufficient=insufficient)


def all_lacking(*sentences: str | None) -> str | None:
    """Return all that is missing for a promise, in one sentence; ``None`` when nothing is."""
    return "; ".join(sentence for sentence in sentences if sentence) or None


def _joint(ignored: set[str], baseline: Baseline) -> tuple[list[str], list[Place]]:
    """Return the scores of all inputs together that would see what is ignored, with a note for each such input."""
    names: dict[str, None] = {}
    notes = []
    for space in baseline.spaces:
        for name in sorted(ignored.intersection(space.inputs)):
            names.update(dict.fromkeys(column for column in space.columns if column in baseline.index))
            reason = "the scores of all inputs together look at it too, so they are ignored with it"
            notes.append(Place(f"policy.columns.{name}.ignore", reason))
    return list(names), notes


def _worse_only(baseline: Baseline, told: Collection[str]) -> tuple[ColumnOptions, ...]:
    """Let only worse answers be news of columns that the policy does not speak about."""
    own = (column.spec for column in baseline.columns if column.spec.group is ColumnGroup.PERFORMANCE)
    return tuple(ColumnOptions(name=spec.name, direction="up") for spec in own if spec.name not in told)


def _ignored(name: str) -> ColumnOptions:
    return ColumnOptions(name=name, ignore=True)


def _choice(name: str, choice: ColumnChoice, baseline: Baseline) -> tuple[ColumnOptions | None, Place | None]:
    at = f"policy.columns.{name}"
    if name not in baseline.index:
        return None, Place(at, f"the baseline has no such column{_nearest(name, baseline.names)}; this has no effect")
    direction, note = choice.direction, None
    spec = baseline.columns[baseline.index[name]].spec
    kind = spec.kind
    if direction is Direction.BOTH and spec.group is ColumnGroup.PERFORMANCE:
        direction = Direction.UP
    if direction is not Direction.BOTH and kind is ColumnKind.CATEGORICAL:
        reason = f"is '{direction}', but the baseline's column is categorical: labels have no order; this has no effect"
        direction, note = Direction.BOTH, Place(f"{at}.direction", reason)
    if choice.ignore:
        return ColumnOptions(name=name, ignore=True), note
    options = ColumnOptions(
        name=name,
        direction=str(direction),
        minimum_effect=choice.minimum_effect,
        weight=choice.weight,
    )
    return options, note


def _no_group(group: str) -> Place:
    known = f"known: {', '.join(GROUPS)}; this has no effect"
    return Place(f"policy.shares.{group}", f"there is no such group; {known}")


def _empty_groups(tuning: Tuning, baseline: Baseline, ignored: set[str]) -> list[Place]:
    """Return a note for each group that has a share and no column that is watched."""
    watched = {column.spec.group.value for column in baseline.columns if column.spec.name not in ignored}
    reason = "no column that is watched is of this group: the others have its share"
    return [
        Place(f"policy.shares.{group}", reason)
        for group, _ in tuning.shares
        if group in GROUPS and group not in {QUALITY, TRAFFIC} and group not in watched
    ]


def _nearest(name: str, names: tuple[str, ...]) -> str:
    found = get_close_matches(name, names, n=1)
    return f" (the nearest is '{found[0]}')" if found else ""
