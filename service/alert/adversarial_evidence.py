"""Findings about adversarial use in one form: what each says, when two are one, and when one is worse."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from service.domain.adversarial import HOUR_US, Transcript
from service.domain.atlas import atlas
from service.domain.ids import Micros
from service.domain.principals import PRINCIPALS_MAX, AdversarialUse, Kind, ModelFinding, PrincipalFinding
from service.domain.records import Version

REASONS_MAX = 10
REASON_LENGTH_MAX = 300
SHOWN = 12
"""Digits of a pseudonym that people read."""
STEP = 0.01
"""What a margin or a fidelity must gain to be news."""
TITLES = {
    Kind.PROBING: "Probing",
    Kind.INTENT: "Adversarial intent",
    Kind.EXTRACTION: "Model extraction",
    Kind.PERSISTENCE: "Attack after attack",
    Kind.MEMBERSHIP: "Membership inference",
    Kind.COST: "Costly queries",
    Kind.POISONING: "Poisoning",
    Kind.CANARY: "Canaries answered otherwise",
    Kind.ARTEFACT: "Changed model artefact",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One finding, of a principal or of the model."""

    use: AdversarialUse
    log_evidence: float
    log_threshold: float
    since_us: Micros


def of_principal(finding: PrincipalFinding, version: Version, transcript: Transcript) -> Evidence:
    """Return the evidence of a principal's finding; ids that ATLAS does not have are left out."""
    campaign, own = finding.campaign, (finding.principal,)
    subject = finding.principal if campaign is None else f"campaign {campaign}"
    use = AdversarialUse(
        kind=Kind(finding.tier.value),
        subject=subject,
        atlas=atlas().version,
        techniques=atlas().known(finding.techniques),
        tactics=_tactics(finding.techniques),
        principals=_together(own, finding.members),
        transcript=_reference(transcript, version, subject, finding.since_us, finding.until_us),
        until_us=finding.until_us,
        best_margin=finding.best_margin,
        fidelity=finding.fidelity,
        queries=finding.queries,
        queries_at_alarm=finding.queries,
        flips=finding.flips,
        flipped_by=own if finding.flips > 0 else (),
        reused_by=own if finding.reused else (),
        calibrated=finding.calibrated,
        reasons=_short(finding.reasons),
    )
    return Evidence(
        use=use,
        log_evidence=finding.log_evidence,
        log_threshold=finding.log_threshold,
        since_us=Micros(finding.since_us),
    )


def of_model(finding: ModelFinding, version: Version, transcript: Transcript) -> Evidence:
    """Return the evidence of a finding about the model itself."""
    # Evidence of all traffic and that of named principals are two things: only the second one has someone behind it.
    subject = f"{finding.kind} by principals" if finding.principals else str(finding.kind)
    use = AdversarialUse(
        kind=finding.kind,
        subject=subject,
        atlas=atlas().version,
        techniques=atlas().known(finding.techniques),
        tactics=_tactics(finding.techniques),
        principals=_together(finding.principals),
        transcript=_reference(transcript, version, subject, finding.since_us, finding.until_us),
        until_us=finding.until_us,
        queries=finding.queries,
        queries_at_alarm=finding.queries,
        reasons=_short(finding.reasons),
    )
    return Evidence(
        use=use,
        log_evidence=finding.log_evidence,
        log_threshold=finding.log_threshold,
        since_us=Micros(finding.since_us),
    )


def grown(
    before: AdversarialUse, new: AdversarialUse, version: Version, transcript: Transcript, since_us: Micros
) -> AdversarialUse:
    """Return what an alert says after one more finding about the same attacker."""
    techniques = (*before.techniques, *new.techniques)
    until_us = max(before.until_us, new.until_us)
    return msgspec.structs.replace(
        before,
        atlas=new.atlas,
        techniques=atlas().known(techniques),
        tactics=_tactics(techniques),
        principals=_together(before.principals, new.principals),
        transcript=_reference(transcript, version, before.subject, since_us, until_us),
        until_us=until_us,
        best_margin=min(_known(before.best_margin, new.best_margin), default=None),
        fidelity=max(_known(before.fidelity, new.fidelity), default=None),
        queries=max(before.queries, new.queries),
        flips=max(before.flips, new.flips),
        flipped_by=_together(before.flipped_by, new.flipped_by),
        reused_by=_together(before.reused_by, new.reused_by),
        calibrated=before.calibrated and new.calibrated,
        reasons=new.reasons or before.reasons,
    )


def is_worse(before: AdversarialUse, after: AdversarialUse) -> bool:
    """Tell whether a finding says something graver: a first flip, twice as many, one more who flips or uses again."""
    if after.flips >= 2 * max(1, before.flips) or (after.flips and not before.flips):
        return True
    return bool({*after.flipped_by} - {*before.flipped_by} or {*after.reused_by} - {*before.reused_by})


def is_news(before: AdversarialUse, after: AdversarialUse) -> bool:
    """Tell whether an alert that has grown is worth writing: each one that is written wakes everybody who reads."""
    if is_worse(before, after) or after.until_us - before.until_us >= HOUR_US:
        return True
    told = (after.techniques, after.principals, after.calibrated) != (
        before.techniques,
        before.principals,
        before.calibrated,
    )
    return told or _gain(after.best_margin, before.best_margin) or _gain(before.fidelity, after.fidelity)


def titled(use: AdversarialUse, version: Version) -> str:
    """Return the title of an incident."""
    title = f"{TITLES[use.kind]} in {version.model} {version.version}"
    return f"{title}: {who(use)}" if use.principals else title


def who(use: AdversarialUse) -> str:
    """Name the principals in a few words."""
    first = use.principals[0][:SHOWN]
    if len(use.principals) == 1:
        return f"principal {first}"
    return f"principal {first} and {len(use.principals) - 1} more"


def _tactics(techniques: Iterable[str]) -> tuple[str, ...]:
    return tuple(stage.tactic.id for stage in atlas().kill_chain(techniques))


def _together(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for group in groups for one in group))[:PRINCIPALS_MAX]


def _reference(transcript: Transcript, version: Version, subject: str, since_us: int, until_us: int) -> str:
    place = f"{version.model}/{version.version}/{subject.replace(' ', '/')}"
    return f"{transcript}:{place}/{since_us}-{until_us}"


def _short(reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(reason[:REASON_LENGTH_MAX] for reason in reasons)[:REASONS_MAX]


def _known(*numbers: float | None) -> list[float]:
    return [number for number in numbers if number is not None]


def _gain(low: float | None, high: float | None) -> bool:
    """Tell whether the first is lower than the second by a step, or is there where the other is not."""
    if low is None or high is None:
        return low is not high
    return high - low >= STEP or (low < 0 <= high)
