"""The oddest single requests, on the page of a version: for people to look at, nobody is accused by them."""

from dataclasses import dataclass

from service.console.facts import Facts
from service.console.read_models import When
from service.domain.requests import OVER, OddRequest, RequestsSeen

SHOWN = 10
RULES_SHOWN = 5
REASONS_SHOWN = 3
PSEUDONYM = 12
"""Digits of a pseudonym that people compare by eye."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """A request in a line."""

    at: When
    event: str
    principal: str
    score: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSection:
    """Single requests in a few lines."""

    summary: str
    invalid: str
    broken: tuple[tuple[str, str], ...]
    """Rules that requests break more often than the reference does, and how often."""
    requests: tuple[Odd, ...]
    requests_left: int


def request_section(facts: Facts) -> RequestSection | None:
    """Decide what the section shows; nothing where no request is looked at."""
    seen = facts.status.requests
    if seen is None:
        return None
    counted = ", ".join(f"{number:,} of {score:g} or more" for score, number in zip(OVER, seen.over, strict=False))
    return RequestSection(
        summary=f"{seen.examined:,} requests were looked at, {seen.unexamined:,} were not; scores: {counted}",
        invalid=", ".join(f"{what}: {number:,}" for what, number in seen.invalid.items()),
        broken=_broken(seen),
        requests=tuple(_odd(one, facts) for one in seen.oddest[:SHOWN]),
        requests_left=max(0, len(seen.oddest) - SHOWN),
    )


def _broken(seen: RequestsSeen) -> tuple[tuple[str, str], ...]:
    usual = [(one, one.broken - (one.reference or 0.0) * seen.examined) for one in seen.rules if one.broken]
    worst = sorted((pair for pair in usual if pair[1] > 0.0), key=lambda pair: -pair[1])[:RULES_SHOWN]
    return tuple((one.rule, f"{one.broken:,}") for one, _ in worst)


def _odd(one: OddRequest, facts: Facts) -> Odd:
    return Odd(
        at=When.of(one.at_us, facts.now_us),
        event=one.event_id or f"{one.position}, row {one.row}",
        principal="" if one.principal is None else one.principal[:PSEUDONYM],
        score="" if one.score is None else f"{one.score:.4g}",
        reasons=one.reasons[:REASONS_SHOWN],
    )
