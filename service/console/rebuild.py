"""Whether the change of an alarm lasts, in a sentence."""

from service.console import words
from service.console.facts import Facts, StatusRebuild
from service.domain.policy import SECONDS_PER_DAY


def rebuild_of(facts: Facts) -> str | None:
    """Say what the evidence that started again from zero at the alarm has come to; ``None`` without an alarm."""
    rebuild = facts.status.rebuild
    if rebuild is None:
        return None
    since = f"Evidence started again from zero at the alarm ({_clock(rebuild.since_us, facts.now_us)})"
    if rebuild.last_us is None:
        if not rebuild.ticks:
            return f"{since}, and no events have come since."
        return f"{since}: {_gathered(rebuild)}, so nothing like it has come back so far."
    back = "once" if rebuild.times == 1 else f"{rebuild.times:,} times"
    last = (
        f"last at {_clock(rebuild.last_us, facts.now_us)}"
        if rebuild.times > 1
        else (f"at {_clock(rebuild.last_us, facts.now_us)}")
    )
    lasts = f"{since} and came back {back}, {last}: the change lasted until then at least."
    return f"{lasts} Since then: {_gathered(rebuild)}." if rebuild.ticks else f"{lasts} No events have come since then."


def _gathered(rebuild: StatusRebuild) -> str:
    ticks = "1 tick" if rebuild.ticks == 1 else f"{rebuild.ticks:,} ticks"
    return f"10^{words.exponent(rebuild.log_evidence) or '0.0'} in {ticks}"


def _clock(at_us: int, now_us: int) -> str:
    """Write the time of day, with its date where that is not clear."""
    recent = now_us - at_us < SECONDS_PER_DAY * 1e6
    return words.hour_minute(at_us) if recent else words.moment(at_us)
