"""What detectors cost, and whether a goal is met, as the page says it."""

from bench.adversarial.results import Results
from bench.report import table

PER_CORE = 3_000
RED = "\N{LARGE RED SQUARE}"


def goal_row(goal: str, text: str, met: bool, *, shown: bool = True) -> list[str]:  # noqa: FBT001 - a formatter's only question
    """Return a goal and whether it is met; one that too few sessions speak for is not."""
    verdict = f"{RED} **missed**" if not met else "met" if shown else "**not shown: too few sessions**"
    return [goal, text if met and shown else f"**{text}**", verdict]


def speeds(results: Results, victim: str) -> list[list[str]]:
    """Return the goal of speed, where it was measured."""
    return [
        goal_row("at least 3,000 requests a second and core", f"{1e6 / cost.microseconds:,.0f}",
             1e6 / cost.microseconds >= PER_CORE)
        for cost in results.costs
        if cost.victim == victim and cost.detector == "monitor, all tiers"
    ]  # fmt: skip


def costs(results: Results) -> str:
    """Return what detectors cost."""
    rows = [
        [each.victim, each.detector, f"{each.microseconds:,.1f}", f"{each.slowest:,.1f}", f"{each.kilobytes:,.1f}"]
        for each in results.costs
    ]
    return table(["victim", "detector", "µs a request, median", "slowest", "kB kept after 1,000 requests"], rows)
