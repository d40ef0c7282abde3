"""Declared rules that contradict each other: no request could keep both, or nobody could tell which one holds."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from service.domain.errors import Place
from service.domain.requests import Rule, RuleKind


def rules_apart(rules: Sequence[Rule], at: str) -> Iterator[Place]:
    """Yield both places of each contradiction between two rules; ``at`` is where the list stands.

    One pass over pairs of at most 64 rules.
    """
    for (one, first), (two, second) in combinations(enumerate(rules), 2):
        here, there = f"{at}[{one}]", f"{at}[{two}]"
        if _about(first) == _about(second):
            yield Place(here, f"says of the same columns what {there} says: say it once")
            yield Place(there, f"says of the same columns what {here} says: say it once")
            continue
        told = _against(first, second)
        if told is not None:
            yield Place(here, f"{told}, as {there} says: no request could keep both")
            yield Place(there, f"{told}, as {here} says: no request could keep both")
    yield from _orders(rules, at)


def _about(rule: Rule) -> tuple[object, ...]:
    """Return what two rules have in common of which one must go."""
    first, *others = rule.columns or ("",)
    if rule.kind is RuleKind.ORDER:
        return rule.kind, rule.columns
    if rule.kind is RuleKind.EQUAL and len(others) > 1:
        return rule.kind, first, frozenset(others)
    return rule.kind, frozenset(rule.columns), rule.entity


def _against(first: Rule, second: Rule) -> str | None:
    """Say in which column a range leaves nothing for the other rule."""
    for ranged, other in ((first, second), (second, first)):
        if ranged.kind is not RuleKind.RANGE or not ranged.columns or ranged.columns[0] not in other.columns:
            continue
        name, low, high = ranged.columns[0], _low(ranged), _high(ranged)
        span = f"'{name[:100]}' lies between {low:g} and {high:g}"
        if low > high:
            continue
        if other.kind is RuleKind.INTEGER and _whole_above(low) > high:
            return f"{span}, where there is no whole number"
        if other.kind is RuleKind.ONE_HOT and not (low <= 0.0 <= high or low <= 1.0 <= high):
            return f"{span}, but is 0 or 1"
    return None


def _orders(rules: Sequence[Rule], at: str) -> Iterator[Place]:
    """Yield the ranges whose order is the other way round: the smaller column lies above the larger one."""
    ranges = {
        rule.columns[0]: (i, rule) for i, rule in enumerate(rules) if rule.kind is RuleKind.RANGE and rule.columns
    }
    for number, rule in enumerate(rules):
        if rule.kind is not RuleKind.ORDER or not set(rule.columns) <= ranges.keys():
            continue
        (one, small), (two, large) = (ranges[name] for name in rule.columns)
        if _low(small) > _high(large):
            least, most = f"{at}[{one}].low", f"{at}[{two}].high"
            reason = f"but {least} is {_low(small):g} and {most} is {_high(large):g}: no request could keep them all"
            first, second = (name[:100] for name in rule.columns)
            yield Place(f"{at}[{number}]", f"says '{first}' <= '{second}', {reason}")
            yield Place(
                least, f"is {_low(small):g}, above {most}, although {at}[{number}] says '{first}' <= '{second}'"
            )
            yield Place(
                most, f"is {_high(large):g}, below {least}, although {at}[{number}] says '{first}' <= '{second}'"
            )


def _low(rule: Rule) -> float:
    return -math.inf if rule.low is None else rule.low


def _high(rule: Rule) -> float:
    return math.inf if rule.high is None else rule.high


def _whole_above(low: float) -> float:
    return math.ceil(low) if math.isfinite(low) else low
