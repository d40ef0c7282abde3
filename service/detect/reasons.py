"""What people read of a finding about a principal."""

from detectors.principals.monitor import Principal, Tier


def reasons_of(principal: Principal, tier: Tier, *, reused: bool) -> tuple[str, ...]:
    """Say in plain words what was seen."""
    if reused:
        return ("an input whose label had flipped among near-duplicates came again",)
    if tier is Tier.PROBING:
        what = "lie close to each other, and what near-duplicates tell again and again is more like an attack than not"
        return (f"of {principal.queries} requests many {what}",)
    if tier is Tier.EXTRACTION:
        number, share = principal.extraction.distinct, principal.extraction.fidelity()
        worth = f"a copy trained on them would agree with the model on up to {share:.0%} of inputs"
        return (f"{number} requests are spread out, and distributed as no client's are; {worth}",)
    worst = principal.worst
    if worst is None:
        return ()
    fallen = f"the log-odds of its class fell by {worst.odds - worst.lowest:.1f}"
    story = f"{worst.size} near-duplicates of one request went the way of an attack: {fallen}"
    return (story, f"the label flipped in {worst.flips} of them") if worst.flips else (story,)
