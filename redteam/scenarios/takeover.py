"""The monitor as a weapon: a healthy model that somebody wants quarantined, and people drowned in alerts."""

import time

import numpy as np

from redteam.scenarios.base import Checks
from redteam.scenarios.service import COLUMNS, FOLLOWING, QUIET, Service, Target, ordinary, prober

FORBIDDEN = 403
SERVING = {"active", "suspect"}
PROBES, CROWD, TICKS = 240, 12, 8
FLOOD = 12
LOUD, FAR = 40, 8.0
"""So many requests, so far from all others, alarm for sure."""
CAP, OWN_CAP = 3, 2


def _state(target: Target) -> str:
    state: str = target.status["state"]
    return state


def by_probing(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Attack as one client, with everything that alarms, at a model with the policy of a careful owner."""
    target = service.model(rng, {"adversarial": {"follow": FOLLOWING}})
    for number in range(CROWD):
        target.send(ordinary(rng, 40), f"crowd-{number}")
    for _ in range(2):
        target.send(prober(rng, PROBES), "eve")
        target.send(np.repeat(prober(rng, 20), 3, axis=0), "eve")
    target.settled()
    told = [alert for alert in target.alerts() if alert["adversarial"] is not None]
    checks.expect("people are told", f"{len(told)} alerts", held=bool(told))
    checks.expect("the model goes on serving", _state(target), held=_state(target) in SERVING)


def by_drift(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Be the drift: as one client, send most of the traffic, all of it far from the reference, while others go on."""
    target = service.model(rng)
    for _ in range(TICKS):
        for number in range(CROWD):
            target.send(ordinary(rng, 10), f"crowd-{number}")
        target.send(ordinary(rng, 600) + 2.0, "eve")
        time.sleep(1.0)
    target.send(ordinary(rng, 10), "crowd-0")
    target.settled()
    told = target.alerts()
    checks.expect("people are told of the drift", f"{len(told)} alerts", held=bool(told))
    checks.expect("the model goes on serving", _state(target), held=_state(target) in SERVING)


def by_low_scope(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Ask for a quarantine with keys that may not, and let a healthy model's policy be changed."""
    target, other = service.model(rng), service.model(rng)
    wish = {"event": "quarantine", "reason": "because I say so"}
    for tried, key in (
        ("ingest", service.key("ingest")),
        ("read", service.key("read")),
        ("ingest and read", service.key("ingest", "read")),
        ("admin", service.key("admin")),
        ("operate at another model", service.key("operate", models=[other.name])),
    ):
        answer = service.ask_as(key, "POST", f"{target.path}/transitions", json=wish)
        checks.expect(f"a quarantine with the scope {tried}", answer, held=answer.status == FORBIDDEN)
    answer = service.ask_as(None, "POST", f"{target.path}/transitions", json=wish)
    checks.expect("a quarantine without a key", answer, held=answer.status == 401)  # noqa: PLR2004 - unauthenticated
    operator = service.key("operate")
    for method, path, body in (
        ("PUT", f"/v1/models/{target.name}/policy", {"actions": {"latency": "quarantine"}, "confirmations": 1}),
        ("POST", "/v1/keys", {"name": "more", "scopes": ["admin"]}),
        ("POST", "/v1/models", {"name": "another", "owner": "eve"}),
    ):
        answer = service.ask_as(operator, method, path, json=body)
        checks.expect(
            f"{method} {path.rpartition('/')[2]} with the scope operate", answer, held=answer.status == FORBIDDEN
        )
    checks.expect("state", _state(target), held=_state(target) == "active")
    gate = service.ask_gate(f"/v1/gate/v2/models/{target.name}/versions/1/infer", [])
    checks.expect("the gate", gate.status, held=gate.status == 200)  # noqa: PLR2004 - OK


def alert_flood(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Raise alerts for their own sake, from account after account, so that nobody reads them."""
    policy = {"follow": FOLLOWING, "alerts_per_tier": CAP, "alerts_per_principal": OWN_CAP}
    target = service.model(rng, {"adversarial": policy, "actions": QUIET})
    for number in range(FLOOD):
        target.send(rng.uniform(-FAR, FAR, (LOUD, COLUMNS)), f"account-{number}")
    for _ in range(2):
        target.send(prober(rng, PROBES), "account-0")
    status = target.settled()
    uses = [alert["adversarial"] for alert in target.alerts() if alert["adversarial"] is not None]
    tiers: dict[str, int] = {}
    for use in uses:
        tiers[use["tier"]] = tiers.get(use["tier"], 0) + 1
    bounded = bool(tiers) and max(tiers.values()) <= CAP + 1
    checks.expect("alerts of a tier stay under their cap", tiers, held=bounded)
    own = max((sum(use["principals"][:1] == one["principals"][:1] for use in uses) for one in uses), default=0)
    checks.expect("alerts of one principal stay under theirs", own, held=0 < own <= OWN_CAP + 1)
    contained = len(target.contained())
    checks.expect("whom no alert names is contained all the same", contained, held=contained >= FLOOD - 2)
    checks.expect("state", status["state"], held=status["state"] in SERVING)
