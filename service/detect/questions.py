"""Who asks about records rather than about the world: what is told of a principal's membership inference."""

from detectors.principals.membership import LIMIT
from detectors.principals.monitor import Principal
from service.detect.alone import alone
from service.domain.ids import Micros
from service.domain.principals import PrincipalFinding, PrincipalTier

INFER = "AML.T0024.000"


def membership(name: str, principal: Principal, since_us: Micros, at_us: Micros) -> list[PrincipalFinding]:
    """Return what the last request adds about a principal, told once until there is no evidence any more."""
    told = principal.membership
    if told.strongest < LIMIT or told.told:
        return []
    told.told = True
    reasons = []
    if told.evidence >= LIMIT:
        reasons.append(f"it asks around one record after another, {told.records} so far; explaining many does that too")
    if told.equal_evidence >= LIMIT:
        reasons.append(f"{told.equals} of its requests equal rows of the reference")
    found = alone(
        name,
        principal,
        PrincipalTier.MEMBERSHIP,
        since_us,
        at_us,
        techniques=(INFER,),
        log_evidence=told.strongest,
        log_threshold=LIMIT,
        calibrated=False,
        reasons=tuple(reasons),
    )
    return [found]
