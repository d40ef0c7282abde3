"""What stands beside an incident on its page: its snooze, what it belongs to, and the evidence frozen with it."""

from dataclasses import dataclass

import msgspec

from service.console.read_models import When
from service.domain.ids import Micros
from service.domain.incidents import Frozen, LinkKind
from service.domain.records import Incident, IncidentStatus
from service.ports_incidents import IncidentDesk

DIGEST_SHOWN = 16
COLUMNS_SHOWN = 5
SAID = {
    (LinkKind.MERGED, True): "Part of",
    (LinkKind.MERGED, False): "Includes",
    (LinkKind.REGRESSED, True): "Return of",
    (LinkKind.REGRESSED, False): "Came back as",
}
"""By kind, and whether the incident of the page is the one that points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What the page shows beside the incident itself."""

    lock: int
    snoozed: str | None
    """Until when, in words."""
    links: tuple[tuple[str, str], ...]
    """What the other incident is, and its id."""
    digest: str | None
    frozen: tuple[str, ...]
    """What was frozen, a line each."""


def beside_of(desk: IncidentDesk | None, incident: Incident, now_us: Micros) -> Beside:
    """Read what stands beside an incident."""
    if desk is None:
        return Beside(lock=incident.lock, snoozed=None, links=(), digest=None, frozen=())
    snooze = desk.snooze(incident.id)
    snoozed = None
    if snooze is not None and incident.status is not IncidentStatus.RESOLVED and snooze.until_us > now_us:
        until = When.of(snooze.until_us, now_us)
        snoozed = f"{until.text}{' or until it is worse' if snooze.until_worse else ''}, by {snooze.actor}"
    links = []
    for one in desk.links(incident.id):
        mine = one.incident_id == incident.id
        links.append((SAID[one.kind, mine], one.other_id if mine else one.incident_id))
    found = desk.evidence(incident.id)
    return Beside(
        lock=incident.lock,
        snoozed=snoozed,
        links=tuple(links),
        digest=None if found is None else found[0][:DIGEST_SHOWN],
        frozen=() if found is None else _lines(found[1]),
    )


def _lines(body: str) -> tuple[str, ...]:
    try:
        frozen = msgspec.json.decode(body, type=Frozen)
    except msgspec.ValidationError:  # of another release: the API still gives it as it is
        return ()
    lines = []
    for one in frozen.histograms[:COLUMNS_SHOWN]:
        psi, limits = one.effects.get("psi"), one.intervals.get("psi")
        between = "" if limits is None else f" ({limits[0]:.2f} to {limits[1]:.2f})"
        size = "" if psi is None else f": PSI {psi:.2f}{between}"
        lines.append(f"{one.name}{size}, {sum(one.current):,} events since the change")
    if frozen.baseline_digest:
        lines.append(f"baseline {frozen.baseline_digest[:DIGEST_SHOWN]}")
    if frozen.redteam is not None:
        lines.append(f"red team: {len(frozen.redteam.blind)} blind spots, {len(frozen.redteam.broken)} broken defences")
    return tuple(lines)
