"""What is found of one principal by itself, in the form of every finding."""

from math import tanh
from typing import Any

from detectors.principals.monitor import Principal
from service.domain.ids import Micros
from service.domain.principals import PrincipalFinding, PrincipalTier


def alone(
    name: str, principal: Principal, tier: PrincipalTier, since_us: Micros, at_us: Micros, **said: Any
) -> PrincipalFinding:
    """Return a finding that names nobody else, and tells of no flip; ``said`` is the evidence, and what it means."""
    worst = principal.worst
    return PrincipalFinding(
        principal=name,
        tier=tier,
        queries=principal.queries,
        since_us=since_us,
        until_us=at_us,
        best_margin=None if worst is None else tanh(worst.lowest / 2.0),
        flips=0,
        reused=False,
        campaign=None,
        members=(),
        fidelity=principal.extraction.fidelity(),
        **said,
    )
