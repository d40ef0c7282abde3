"""What is wrong with the segments that a policy declares: contradictions, and columns that have no values to name.

As with other choices, a column is refused only when it fits none of the model's versions.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from service.domain.errors import Place
from service.domain.policy import Policy, Segments
from service.domain.records import Version
from service.domain.schema import PREDICTION, FeatureKind, PredictionKind, Schema, Treatment
from service.domain.texts import bad_text

BUCKETED = 2
"""A label whose treatment is ``bucket`` has its first character and a star."""


def bad_segments(policy: Policy, at: str) -> Iterator[Place]:
    """Yield what a policy's segments say against themselves; ``at`` is where the policy stands."""
    segments, place = policy.segments, f"{at}segments"
    if segments is None:
        return
    yield from bad_text(f"{place}.column", segments.column)
    if segments.key == "":
        yield Place(f"{place}.column", "names no key of the events' 'segment': write one after the dot")
    first: dict[str, int] = {}
    for number, value in enumerate(segments.values):
        yield from bad_text(f"{place}.values[{number}]", value)
        if value in first:
            yield Place(f"{place}.values[{number}]", f"is '{value}', as {place}.values[{first[value]}] is: say it once")
            yield Place(f"{place}.values[{first[value]}]", f"is '{value}', as {place}.values[{number}] is: say it once")
        first.setdefault(value, number)


def bad_segments_for(versions: Sequence[Version], policy: Policy, at: str) -> list[Place]:
    """Return why the column of a policy's segments fits none of a model's versions; nothing when it fits one."""
    segments = policy.segments
    if segments is None or segments.key is not None:
        return []
    found: list[Place] = []
    known: dict[str, None] = {}
    for version in versions:
        columns = dict(_columns_of(version.schema))
        known.update(dict.fromkeys(columns))
        if segments.column not in columns:
            continue
        misfits = list(_misfits(segments, f"{at}segments", columns[segments.column], version))
        if not misfits:
            return []
        found += misfits
    return found or [Place(f"{at}segments.column", _unknown(segments.column, list(known)))]


def _misfits(segments: Segments, at: str, column: tuple[FeatureKind, Treatment], version: Version) -> Iterator[Place]:
    kind, treatment = column
    place = "prediction" if segments.column == PREDICTION else f"features.{segments.column}"
    other = f"versions.{version.version}.schema.{place}"
    if kind is not FeatureKind.CATEGORICAL:
        yield Place(f"{at}.column", f"is '{segments.column}', but {other}.kind is {kind}: segments are labels")
        yield Place(f"{other}.kind", f"is {kind}, but {at}.column is '{segments.column}'")
        return
    if treatment is Treatment.HASH:
        yield Place(f"{at}.values", f"are labels, but {other}.treatment is 'hash': none is stored that could be named")
        yield Place(f"{other}.treatment", f"is 'hash', but {at}.values names labels of this column")
    if treatment is Treatment.BUCKET:
        whole = [value for value in segments.values if len(value) != BUCKETED or value[-1] != "*"]
        if whole:
            reason = f"names '{whole[0][:100]}', but {other}.treatment is 'bucket': write '{whole[0][:1]}*'"
            yield Place(f"{at}.values", reason)
            yield Place(f"{other}.treatment", f"is 'bucket', but {at}.values names '{whole[0][:100]}'")


def _columns_of(schema: Schema) -> Iterator[tuple[str, tuple[FeatureKind, Treatment]]]:
    """Yield the columns that a schema declares, with kind and treatment."""
    for feature in schema.features:
        if feature.treatment is not Treatment.DROP:
            yield feature.name, (feature.kind, feature.treatment)
    kind = FeatureKind.CATEGORICAL if schema.prediction.kind is PredictionKind.CLASS else FeatureKind.NUMERIC
    yield PREDICTION, (kind, Treatment.KEEP)


def _unknown(name: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(name, known, n=1)
    hint = f"; the nearest is '{nearest[0]}'" if nearest else ""
    return f"no version has such a column{hint}; a key of the events' 'segment' is written 'segment.{name[:100]}'"
