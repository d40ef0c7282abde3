"""What an operator decides about single requests: ``policy.adversarial.requests``."""

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec

from service.domain.errors import Place
from service.domain.texts import bad_text

RULES_MAX = 64
COLUMNS_MAX = 32
NAME_MAX = 300
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX)]


class RuleKind(StrEnum):
    """What a declared rule says."""

    RANGE = "range"
    INTEGER = "integer"
    ONE_HOT = "one_hot"
    ORDER = "order"
    EQUAL = "equal"
    IMMUTABLE = "immutable"
    """For one principal, the column of one ``entity`` never changes."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that holds for every honest request."""

    kind: RuleKind
    columns: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=COLUMNS_MAX)]
    low: float | None = None
    high: float | None = None
    factor: float | None = None
    """Of ``equal``: the first column is so many times the sum of the others; 1 unless it is said."""
    entity: Name | None = None
    """Of ``immutable``: the column that says what a request is about."""


class Requests(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many requests are looked at by themselves, and what is kept of the oddest ones."""

    requests_per_second: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    """Of a version, from at most 50 entries of the log; each request costs about 10 us, each entry 300 us or more."""
    kept: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    """The oddest requests that are listed."""
    keep_hours: Annotated[float, msgspec.Meta(ge=0.01, le=8_760)] = 24.0
    mine: bool = True
    """Whether rules are looked for in the reference."""
    rules: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=RULES_MAX)] = ()


COUNTS = {
    RuleKind.RANGE: (1, 1),
    RuleKind.INTEGER: (1, 1),
    RuleKind.ORDER: (2, 2),
    RuleKind.IMMUTABLE: (1, COLUMNS_MAX),
}
"""Columns, at least and at most."""
OWN = {"low": RuleKind.RANGE, "high": RuleKind.RANGE, "factor": RuleKind.EQUAL, "entity": RuleKind.IMMUTABLE}
"""Which kind of rule each further field is for."""


def bad_requests(chosen: Requests | None, at: str) -> Iterator[Place]:
    """Yield what declared rules say against themselves; ``at`` is where they stand."""
    for number, rule in enumerate(() if chosen is None else chosen.rules):
        yield from _bad_rule(rule, f"{at}rules[{number}]")


def _bad_rule(rule: Rule, at: str) -> Iterator[Place]:
    least, most = COUNTS.get(rule.kind, (2, COLUMNS_MAX))
    if not least <= len(rule.columns) <= most:
        number = str(least) if least == most else f"{least} to {most}"
        reason = f"has {len(rule.columns)}, but a rule of kind '{rule.kind}' is about {number}"
        yield Place(f"{at}.columns", reason)
    seen: set[str] = set()
    for place, name in enumerate(rule.columns):
        yield from bad_text(f"{at}.columns[{place}]", name)
        if name in seen:
            yield Place(f"{at}.columns[{place}]", f"is '{name[:100]}', which stands in the rule already")
        seen.add(name)
    for field, kind in OWN.items():
        if getattr(rule, field) is not None and rule.kind is not kind:
            yield Place(f"{at}.{field}", f"belongs to a rule of kind '{kind}'; this one is of kind '{rule.kind}'")
    if rule.kind is RuleKind.RANGE:
        yield from _bad_range(rule, at)
    elif rule.kind is RuleKind.EQUAL and rule.factor == 0.0:
        yield Place(f"{at}.factor", "is 0: the rule would say that the first column is 0")
    elif rule.kind is RuleKind.IMMUTABLE:
        yield from _bad_entity(rule, at)


def _bad_entity(rule: Rule, at: str) -> Iterator[Place]:
    if rule.entity is None:
        yield Place(f"{at}.entity", "is missing: name the column that says what a request is about")
    elif rule.entity in rule.columns:
        yield Place(f"{at}.entity", f"is '{rule.entity[:100]}', which is among the rule's columns")
    else:
        yield from bad_text(f"{at}.entity", rule.entity)


def _bad_range(rule: Rule, at: str) -> Iterator[Place]:
    for name, end in (("low", rule.low), ("high", rule.high)):
        if end is not None and math.isnan(end):
            yield Place(f"{at}.{name}", "is no number")
    if rule.low is None and rule.high is None:
        yield Place(f"{at}.low", "is missing, and so is 'high': a range has at least one end")
    elif rule.low is not None and rule.high is not None and rule.low > rule.high:
        yield Place(f"{at}.low", f"is {rule.low:g}, above {at}.high, which is {rule.high:g}")
        yield Place(f"{at}.high", f"is {rule.high:g}, below {at}.low, which is {rule.low:g}")


SUSPICIOUS = 0.95
"""Score from which a request may be listed."""
OVER = (0.95, 0.99, 0.999)
"""Scores that are counted from."""
TENTHS = 10


class RuleSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule was broken."""

    rule: str
    kind: RuleKind
    declared: bool
    columns: tuple[str, ...]
    reference: float | None
    """Share of the held-out reference requests that break it; ``None`` for what the reference cannot tell."""
    broken: int = 0


class OddRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One of the oddest requests."""

    at_us: int
    position: int
    """Of its entry in the log."""
    row: int
    event_id: str | None
    principal: str | None
    """Pseudonym."""
    score: float | None
    """``None`` for a request that cannot be judged, and is listed for what it edits."""
    bet: float
    """Tells apart requests that are odder than every reference request."""
    edited: bool
    """Whether it changes what never changes."""
    parts: dict[str, float]
    """The conformal rank of each part; low is odd."""
    reasons: tuple[str, ...]


class RequestsSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of single requests under a baseline, as the worker writes it into the status."""

    baseline_id: str | None = None
    parts: tuple[str, ...] = ()
    """What is looked at."""
    reference_rows: int = 0
    resolution: float = 0.0
    """One less the highest score that there is: one in so many held-out reference requests and one."""
    examined: int = 0
    unexamined: int = 0
    invalid: dict[str, int] = {}
    """Requests that could not be judged, by what is wrong with them."""
    histogram: tuple[int, ...] = (0,) * TENTHS
    """Examined requests by tenths of the score."""
    over: tuple[int, ...] = (0,) * len(OVER)
    """Those with at least the scores of ``OVER``."""
    rules: tuple[RuleSeen, ...] = ()
    oddest: tuple[OddRequest, ...] = ()
