"""How much comes, and how oddly it is made: what the worker has learnt of a version's traffic, in lines."""

from dataclasses import dataclass

from service.console import words
from service.console.facts import Facts

NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficRow:
    """One thing that is counted."""

    name: str
    evidence: str | None
    now: str
    usual: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSection:
    """The section."""

    text: str
    notes: tuple[str, ...]
    rows: tuple[TrafficRow, ...]


def traffic_section(facts: Facts) -> TrafficSection | None:
    """Decide what the page shows; ``None`` before the first event, and where nothing is watched."""
    traffic = facts.status.traffic
    if traffic is None or facts.status.last_us is None:
        return None
    match traffic.state:
        case "watching":
            text = "What is usual has been learnt: more, less and oddly made traffic is evidence."
        case "warming":
            text = f"What is usual is being learnt, {traffic.learnt:.0%} of the time is over."
        case _:
            text = "The traffic varies too much for a usual rate."
    return TrafficSection(
        text=text,
        notes=tuple(_notes(facts)),
        rows=tuple(
            TrafficRow(
                name=column.name,
                evidence=words.exponent(column.log_evidence),
                now=column.text or "nothing yet",
                usual="not learnt yet" if column.tolerance is None else f"up to {words.number(column.tolerance)} times",
            )
            for column in traffic.columns
        ),
    )


def _notes(facts: Facts) -> list[str]:
    traffic = facts.status.traffic
    notes: list[str] = []
    if traffic is None:
        return notes
    if traffic.stale_after_seconds is not None:
        notes.append(f"A pause of {words.duration(traffic.stale_after_seconds)} is told.")
    if traffic.unknown_fields:
        notes.append(f"Fields that no schema knows: {', '.join(traffic.unknown_fields[:NAMED])}.")
    if traffic.errors_total:
        kinds = f", latest kinds: {', '.join(traffic.error_kinds[:NAMED])}" if traffic.error_kinds else ""
        notes.append(f"{traffic.errors_total:,} events with an error{kinds}.")
    if traffic.odd_probabilities:
        notes.append(f"{traffic.odd_probabilities:,} events whose class probabilities do not add up to one.")
    return notes


def labels_sentence(facts: Facts) -> str | None:
    """Say how far those who report labels can be compared; ``None`` where nobody is, or no label has come."""
    total = facts.snapshot.labels_total if facts.snapshot else 0
    if not total or facts.model.policy.adversarial.follow is None:
        return None
    conduct = facts.status.conduct
    return (
        f"{total:,} labels have come. Since the worker started, {conduct.labels_joined:,} met the answer to a followed "
        f"principal, and tell something of who reports them; {conduct.labels_unknown:,} did not."
    )
