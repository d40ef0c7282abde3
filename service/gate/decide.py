"""May this request go to the model? Exactly 200 or 403, because gateways make something else of any other code."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

import msgspec

from service.domain.ids import Micros, VersionId
from service.domain.policy import FailMode
from service.domain.records import Version
from service.domain.states import HELD, SERVING
from service.gate.fleet import FleetView
from service.gate.jitter import Jitter
from service.gate.targets import Ambiguous, Reading, Target

ALLOW = 200
DENY = 403
UNKNOWN = "unknown"

RETRY_UNDER_REVIEW = 30
"""Seconds; somebody is looking, and the answer may change at any moment."""
RETRY_OUT_OF_USE = 3600
RETRY_CONTAINED = 3600
"""Not the rest of the containment: when it ends is not for its principal to learn."""
NAME_LENGTH_MAX = 128

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What was decided, and why."""

    allowed: bool
    state: str
    reason: str
    model: str | None = None
    version: str | None = None
    fallback: str | None = None
    retry_after: int = RETRY_UNDER_REVIEW
    contained: bool | None = None
    """Whether the principal that the gateway names is contained; ``None`` when it names none."""
    enforced: bool = False
    """Refused for nothing else than that."""
    held: tuple[VersionId, int] | None = None
    """The version in quarantine that this answer keeps traffic from, and its lock."""

    @property
    def answer(self) -> str:
        """The answer as the metric counts it."""
        word = "allow" if self.allowed else "deny"
        return f"{word}_unknown" if self.state == UNKNOWN else word

    @property
    def route(self) -> str | None:
        """Where a gateway may send a refused request instead."""
        if self.allowed:
            return None
        if self.enforced:
            return "review"
        if self.fallback:
            return "fallback"
        return "review" if self.state in HELD else None


ANSWERS = ("allow", "deny", "allow_unknown", "deny_unknown")


def decide(view: FleetView, readings: Sequence[Reading], unknown: FailMode) -> Ruling:
    """Return the strictest ruling over everything that the request may be about.

    Parameters
    ----------
    view
        The last known picture of the fleet.
    readings
        From ``read_targets``; at least one.
    unknown
        What to say of a model that is not registered.
    """
    rulings = [_rule(view, reading, unknown) for reading in readings]
    return min(rulings, key=_leniency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks, and when."""

    principals: Sequence[str]
    """Pseudonyms that the gateway names, at least one; of several the worst counts."""
    now_us: Micros
    jitter: Jitter


def heed(ruling: Ruling, view: FleetView, readings: Sequence[Reading], asking: Asking) -> Ruling:
    """Add to a ruling whether the principal is contained at anything that the request may be about.

    A recommendation: it changes nothing else, unless the policy of one of these models enforces containment; and then
    not at once, so that nobody learns which request was noticed.

    Parameters
    ----------
    ruling
        From ``decide``, over the same readings.
    """
    contained, enforced = False, False
    for reading in readings:
        found = _version_of(view, reading)
        if found is None:
            continue
        chosen = view.models[found.model].policy.adversarial
        for principal, since_us in view.held(found.id, asking.principals, asking.now_us):
            contained = True
            if chosen.enforce_containment and not enforced:
                enforced = asking.jitter.refuses(found.id, principal, since_us, asking.now_us, chosen)
    if not (enforced and ruling.allowed):
        return replace(ruling, contained=contained)
    return replace(
        ruling,
        allowed=False,
        contained=True,
        enforced=True,
        reason="the principal is contained",
        retry_after=RETRY_CONTAINED,
    )


def _version_of(view: FleetView, reading: Reading) -> Version | None:
    """Return the version that a reading is about, as ``_rule`` finds it."""
    if not isinstance(reading, Target) or reading.model not in view.models:
        return None
    if reading.version is None:
        return view.default_version(reading.model)
    return view.versions.get((reading.model, reading.version)) or view.default_version(reading.model)


def _leniency(ruling: Ruling) -> tuple[bool, bool]:
    return ruling.allowed, ruling.state != UNKNOWN


def _rule(view: FleetView, reading: Reading, unknown: FailMode) -> Ruling:
    if isinstance(reading, Ambiguous):
        return Ruling(allowed=False, state=UNKNOWN, reason=reading.reason)
    if reading is None:
        return _unknown(unknown, "no model is named", None, None)
    model = view.models.get(reading.model)
    if model is None:
        return _unknown(unknown, "the model is not registered", reading.model, reading.version)
    standing = view.default_version(model.name)
    found = standing if reading.version is None else view.versions.get((model.name, reading.version))
    if found is None and standing is not None and standing.state not in SERVING and not view.lets_through(standing):
        # A name that nobody registered (or a verb in its place: /digits/predict) must not open what is closed.
        found = standing
    if found is None:
        return _unknown(model.policy.fail, "the version is not registered", model.name, reading.version)
    return _known(found, model.policy.fallback, through=view.lets_through(found))


def _known(version: Version, fallback: str | None, *, through: bool) -> Ruling:
    return Ruling(
        allowed=version.state in SERVING or through,
        state=version.state.value,
        reason=version.reason,
        model=version.model,
        version=version.version,
        fallback=fallback,
        retry_after=RETRY_UNDER_REVIEW if version.state in HELD else RETRY_OUT_OF_USE,
        held=(version.id, version.lock) if version.state in HELD and not through else None,
    )


def _unknown(mode: FailMode, reason: str, model: str | None, version: str | None) -> Ruling:
    return Ruling(allowed=mode is FailMode.OPEN, state=UNKNOWN, reason=reason, model=model, version=version)


def render(ruling: Ruling, decision_id: str, *, routes: bool = False) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of a ruling.

    Parameters
    ----------
    ruling
        From ``decide`` or ``heed``.
    decision_id
        Names this answer.
    routes
        Whether the gateway sends a request on by ``x-gate-route``: then what may go to the fallback is answered 200.
    """
    headers: Headers = [
        (b"x-gate-state", ruling.state.encode()),
        (b"x-gate-decision-id", decision_id.encode()),
        (b"cache-control", b"no-store"),
    ]
    if ruling.contained is not None:
        headers.append((b"x-gate-principal-state", b"contained" if ruling.contained else b"normal"))
    for name, value in (
        (b"x-gate-model", ruling.model),
        (b"x-gate-version", ruling.version),
        (b"x-gate-route", ruling.route),
        (b"x-gate-fallback", ruling.fallback if ruling.route == "fallback" else None),
    ):
        if value:
            headers.append((name, _header_value(value)))
    rerouted = routes and ruling.route == "fallback"
    if ruling.allowed or rerouted:
        decision = "fallback" if rerouted else "allow"
        body = msgspec.json.encode({"decision": decision, "state": ruling.state, "decision_id": decision_id})
        headers.append((b"content-type", b"application/json"))
    else:
        body = _problem(ruling, decision_id)
        headers.append((b"content-type", b"application/problem+json"))
        headers.append((b"retry-after", str(ruling.retry_after).encode()))
    headers.append((b"content-length", str(len(body)).encode()))
    return ALLOW if ruling.allowed or rerouted else DENY, headers, body


def _problem(ruling: Ruling, decision_id: str) -> bytes:
    """Say no more than the state: why a model is held is not for its clients to learn."""
    if ruling.enforced:
        detail = "this principal is not let through for now"
    elif ruling.state == UNKNOWN:
        detail = f"not let through: {ruling.reason}"
    else:
        detail = f"version '{ruling.version}' of model '{ruling.model}' takes no traffic: it is {ruling.state}"
    return msgspec.json.encode(
        {
            "type": "urn:lazaretto:problem:gate-closed",
            "title": "The gate is closed",
            "status": DENY,
            "detail": detail,
            "state": ruling.state,
            "decision_id": decision_id,
        }
    )


def _header_value(text: str) -> bytes:
    """Anything a client can put into a path must be a legal header value."""
    return quote(text[:NAME_LENGTH_MAX], safe=" !#$&'()*+,/:;=?@[]~").strip().encode()
