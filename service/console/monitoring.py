"""What the monitor itself is doing, in a sentence."""

from service.console import words
from service.console.facts import Facts, Status
from service.domain.states import SERVING

KINDS_SHOWN = 3


def monitoring_of(facts: Facts) -> tuple[str, str]:
    """Return what the monitor itself is doing, and its tone: silence is never shown as health."""
    status, last_us = facts.status, facts.status.last_us
    if facts.version.baseline_id is None:
        return "Warming: there is no baseline yet, so events are kept and counted, but nothing is judged.", "warn"
    if last_us is None:
        return "No events have arrived yet.", "warn"
    last = f"the last event arrived {words.ago(last_us, facts.now_us)}"
    if facts.version.state not in SERVING:
        return f"The gate is closed; {last}.", "plain"
    return _watching(status, (facts.now_us - last_us) / 1e6, facts.stale_seconds, last)


def _watching(status: Status, quiet_seconds: float, stale_seconds: float, last: str) -> tuple[str, str]:
    missing = status.insufficient or "the baseline is too small or not signed here"
    blind = f"Insufficient, so nothing raises an alert: {missing}" if status.monitoring == "insufficient" else None
    if quiet_seconds > stale_seconds or status.monitoring == "stale":
        stale = f"Stale: no event for {words.duration(quiet_seconds)}. Silence is not health."
        return stale if blind is None else f"{stale} {blind}.", "warn"
    if blind is not None:
        return f"{blind}; {last}.", "warn"
    return f"Watching {len(status.columns):,} columns{_traffic(status)}; {last}.", "plain"


def _traffic(status: Status) -> str:
    traffic = status.traffic
    if traffic is None:
        return ""
    told = f", fields that no schema knows: {', '.join(traffic.unknown_fields)}" if traffic.unknown_fields else ""
    if traffic.error_kinds:
        told += f", latest errors: {', '.join(traffic.error_kinds[:KINDS_SHOWN])}"
    match traffic.state:
        case "watching":
            return f" and the traffic{told}"
        case "warming":
            return f" (the usual traffic is learnt to {traffic.learnt:.0%}){told}"
        case _:
            return f" (the traffic varies too much for a usual rate){told}"
