"""What is found of one principal by itself, in the form of every finding."""

from collections.abc import Callable
from dataclasses import replace
from math import inf, tanh
from typing import Any

import msgspec

from detectors.principals.monitor import Principal
from service.domain.evaluation import UseFound
from service.domain.ids import Micros
from service.domain.principals import PrincipalFinding, PrincipalTier


def margin_of(principal: Principal) -> float | None:
    """Return the best margin: 1 for answers that are sure, 0 for one between two labels.

    Below 0 the label of the attacked input has changed. ``None`` where there was no request but duplicates.
    """
    worst = principal.worst
    if worst is None:
        return None if principal.nearest == inf else tanh(principal.nearest / 2.0)
    return tanh(worst.lowest / 2.0)


def known(use: UseFound, find: Callable[[str], tuple[Principal, Micros] | None]) -> UseFound:
    """Return what was found by looking at something else, with the margins and the fidelity of whoever is followed."""
    told = []
    for one in use.principals:
        followed = find(one.principal)
        if followed is not None and one.fidelity is None:
            fidelity = followed[0].extraction.fidelity()
            told.append(msgspec.structs.replace(one, best_margin=margin_of(followed[0]), fidelity=fidelity))
        else:
            told.append(one)
    return replace(use, principals=tuple(told))


def alone(
    name: str, principal: Principal, tier: PrincipalTier, since_us: Micros, at_us: Micros, **said: Any
) -> PrincipalFinding:
    """Return a finding that names nobody else, and tells of no flip; ``said`` is the evidence, and what it means."""
    return PrincipalFinding(
        principal=name,
        tier=tier,
        queries=principal.queries,
        since_us=since_us,
        until_us=at_us,
        best_margin=margin_of(principal),
        flips=0,
        reused=False,
        campaign=None,
        members=(),
        fidelity=principal.extraction.fidelity(),
        **said,
    )
