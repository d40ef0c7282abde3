"""The monitor under test, over its own HTTP interface: a shadow version takes the telemetry, and tells what it saw."""

import secrets
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.principals.fingerprint import Fingerprinter
from redteam.attacks import ATTACKS, Family
from redteam.company import ROUND_SECONDS, company, wants_company
from redteam.honest import honest
from redteam.leaving import leave, truth_of
from redteam.leftovers import OWNER, PREFIX, described
from redteam.places import label_of, place_of
from redteam.problems import Stopped
from redteam.session import DAY_SECONDS, Kind, Session, spans_of, takes_days
from redteam.telemetry import ARROW, arrow_of, beside, class_of, maker_of, schema_of
from redteam.victims import Victim

TIMEOUT_SECONDS = 60.0
WAIT_SECONDS = 120.0
"""How long the worker may do nothing: a busy machine is waited for."""
POLL_SECONDS = 0.02
BUSY_SECONDS, BUSY_PAUSE_SECONDS = 30.0, 0.2
"""How long a monitor is asked again that answers 503."""
BODY_ROWS = 500
LIST_MAX = 500
"""What a list holds at most unless an operator chose otherwise."""
TIER_ALERTS_MAX = 1_000
ROOM = 400
"""A version begins anew when a tier has no room for so many more alerts: what is over the cap is not told."""
CAMPAIGN = "campaign "
"""How the subject of an alert about several accounts begins."""
COST = "cost"
TIERS = ("probing", "intent", "extraction", "membership", COST, "persistence")
DRIFT, DRIFTS = "drift", frozenset({"data_drift", "prediction_drift"})
"""Not of a principal, but of the traffic as a whole; and the causes of such alerts."""
TICK_SECONDS = 1.0
"""Evidence of the whole is counted a tick at a time."""
POISONING = "poisoning"
"""Not of a principal's requests, but of its labels."""
POLICY: dict[str, Any] = {
    "adversarial": {
        **dict.fromkeys(TIERS, "contain"),
        # Everything is looked at, everything is told, and nothing that one session does changes what another finds.
        "follow": {"requests_per_second": 10_000, "share_of_one": 1.0, "principals_max": 1_000},
        "alerts_per_principal": 100,
        "alerts_per_tier": TIER_ALERTS_MAX,
        "contained_max": 10_000,
        "quarantine": False,
    },
    "actions": dict.fromkeys(
        ("data_drift", "prediction_drift", "data_quality", "latency", "performance", "traffic", "stale"), "record"
    ),
    "traffic": {"learn_days": 0},
}


class MonitorFailed(Stopped):
    """The monitor did not do what it must, so that nothing can be said of what it sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the monitor said of one session."""

    alarm: int | None
    """Place of the first request at which it alarmed."""
    tiers: dict[str, int]
    """Of each tier that was told of: the place of its first alarm."""
    contained: int
    """Of the client's accounts."""
    campaign: int | None = None
    """Place of the first alarm about several accounts together."""

    def told_of_drift(self, place: int) -> "Seen":
        """Return the same where the traffic as a whole was told of, too, at this place."""
        alarm = place if self.alarm is None else min(self.alarm, place)
        return replace(self, alarm=alarm, tiers={**self.tiers, DRIFT: place})


@dataclass
class Monitor:
    """A running Lazaretto.

    Parameters
    ----------
    http : httpx.Client
        With its address and a key of scopes ``admin``, ``ingest``, ``read`` and ``operate``.
    rate : float
        Events a second that are sent at most.
    """

    http: httpx.Client
    rate: float
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    """Part of every name that is made, so that nothing that stands there already is touched."""
    ends: datetime | None = None
    """When the run is over for certain: what it registered is left over then."""
    _next: float = 0.0

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """Return the answer's JSON.

        Raises
        ------
        MonitorFailed
            When there is none, or it is an error.
        """
        try:
            answer = self._answer(method, path, **given)
            body = msgspec.json.decode(answer.content) if answer.content else {}
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            text = str(error) or type(error).__name__
            raise MonitorFailed(f"no answer from {self.http.base_url}: {text}") from error
        except msgspec.DecodeError as error:
            raise MonitorFailed(f"{self.http.base_url} answered something else than JSON; is it Lazaretto?") from error
        if not answer.is_success:
            detail = body.get("detail") if isinstance(body, dict) else None
            places = "".join(f"\n  {one['at']}: {one['reason']}" for one in body.get("errors", []))
            raise MonitorFailed(f"{method} {path} was refused with {answer.status_code}: {detail}{places}")
        return body

    def _answer(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Ask, and ask again while the monitor says that it is busy."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            answer = self.http.request(method, path, **given)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() >= deadline:
                return answer
            time.sleep(BUSY_PAUSE_SECONDS)

    def file(self, model: str, version: str, summary: Any) -> None:
        """Put the summary of a run on record at a version."""
        path = f"/v1/models/{quote(model, safe='')}/versions/{quote(version, safe='')}/redteam"
        self.ask("POST", path, json=summary)

    def pace(self, events: int) -> None:
        """Wait until so many more events may be sent."""
        now = time.monotonic()
        if self._next > now:
            time.sleep(self._next - now)
        self._next = max(self._next, now) + events / self.rate


@dataclass
class Shadow:
    """A model of its own in a monitor, for one victim; its version begins anew before alerts are capped."""

    monitor: Monitor
    victim: Victim
    salt: bytes | None = None
    """The secret of the victim's deployment; without one, telemetry has no fingerprints."""
    version: str = ""
    _serial: int = 0
    _posted: int = 0
    _labels: int = 0
    _seen: set[str] = field(default_factory=set)
    _contained: set[str] = field(default_factory=set)
    _sources: set[int] = field(default_factory=set)
    _stale: bool = False
    """Whether the next session needs a new version."""
    _alerts: Counter[str] = field(default_factory=Counter)
    _sessions: int = 0
    _maker: Fingerprinter | None = None
    _reference: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    """What the victim answers to the inputs of its reference: it is asked once, before anything is registered."""
    _truths: dict[str, str] = field(default_factory=dict)
    """Of each incident: what it was."""
    _kind: Kind = Kind.ATTACK
    """Of the last session: what the incidents are that nothing was read of."""

    def __post_init__(self) -> None:
        self._maker = None if self.salt is None else maker_of(self.victim, self.salt)
        self._reference = self.victim.predict(self.victim.reference[0])
        what = described("shadow of a victim of the red team", self.monitor.ends)
        body = {"name": self.model, "owner": OWNER, "description": what}
        self.monitor.ask("POST", "/v1/models", json=body | {"policy": POLICY})
        self._renew()

    @property
    def model(self) -> str:
        """Its name."""
        return f"{PREFIX}{self.victim.name}-{self.monitor.run}"

    @property
    def path(self) -> str:
        """Of the version."""
        return f"/v1/models/{quote(self.model, safe='')}/versions/{quote(self.version, safe='')}"

    def leave(self) -> None:
        """Resolve what was raised, saying what it was, and retire the model."""
        with suppress(Stopped):  # what is not worked off yet would be told of afterwards, and wait for people
            self._wait()
        leave(self.monitor.ask, self.model, self._truths, truth_of(self._kind))

    def _renew(self) -> None:
        self._serial += 1
        self.version = str(self._serial)
        self._posted, self._labels, self._alerts = 0, 0, Counter()
        self._seen, self._contained, self._sources = set(), set(), set()
        body = {"version": self.version, "schema": schema_of(self.victim), "deployed_by": OWNER}
        self.monitor.ask("POST", f"/v1/models/{quote(self.model, safe='')}/versions", json=body)
        inputs, _ = self.victim.reference
        more = beside(inputs, None, self._maker)
        content = arrow_of(self.victim, inputs, self._reference, more=more)
        put = self.monitor.ask("PUT", f"{self.path}/baseline", content=content, headers={"content-type": ARROW})
        for warning in put["warnings"]:
            if warning["code"] == "principals":
                raise MonitorFailed(f"the monitor cannot follow principals of {self.victim.name}: {warning['text']}")

    def watch(self, session: Session) -> Seen:
        """Send a session as telemetry, wait until it is worked off, and return what the monitor said of it."""
        # Of an input that an earlier session went around, the campaigns know already.
        self._kind = session.kind
        known = session.source >= 0 and session.source in self._sources
        # All who poison with labels are one alert of a version, what others have sent would be a drift, and who poisons
        # has asked around every input afterwards; so have those who keep an attack company.
        apart = poisons(session) or wants_company(session)
        if known or apart or self._stale or max(self._alerts.values(), default=0) > TIER_ALERTS_MAX - ROOM:
            self._renew()
        self._stale = apart
        self._sources.add(session.source)
        if session.feedback is not None:
            self._send(honest(self.victim))
        names = self._names(session)
        drifted = costs = None
        if takes_days(session):
            drifted = self._over_days(session, names)
        elif wants_company(session):
            costs = self._in_company(session, names)
        else:
            self._post(session, names)
        self._wait()
        seen = self._seen_of(session, names, costs)
        return seen if drifted is None else seen.told_of_drift(drifted)

    def _send(self, session: Session) -> None:
        self._post(session, self._names(session))

    def _names(self, session: Session) -> dict[int, str]:
        """Name the accounts of the next session."""
        self._sessions += 1
        accounts = list(dict.fromkeys(session.accounts.tolist()))
        return {one: f"redteam-{self.monitor.run}-{self._sessions}-{one}" for one in accounts}

    def _over_days(self, session: Session, names: dict[int, str]) -> int | None:
        """Send a day's requests a tick, until the traffic as a whole has drifted; return the last place until then."""
        for day in spans_of(session, DAY_SECONDS):
            self._post(session, names, day)
            self._wait()
            time.sleep(TICK_SECONDS)
            if any(one["cause"] in DRIFTS for one in self._alerts_now()):
                return int(day.stop) - 1
        return None

    def _in_company(self, session: Session, names: dict[int, str]) -> int | None:
        """Send a session round by round beside other clients; return the place at which its cost was told of.

        A round is over with the first request of the next one, and that is where its alarm stands.
        """
        spans = spans_of(session, ROUND_SECONDS)
        others = company(self.victim, session, len(spans) + 1)
        beside_it = self._names(others)
        accounts = self._accounts_of(names)
        for number, part in enumerate(spans_of(others, ROUND_SECONDS)):
            if number < len(spans):
                self._post(session, names, spans[number])
            self._post(others, beside_it, part)
            self._wait()
            uses = [one["adversarial"] or {} for one in self._alerts_now()]
            if any(use.get("tier") == COST and use["principals"][0] in accounts for use in uses):
                if number >= len(spans):
                    return len(session) - 1
                self._post(session, names, slice(spans[number].stop, None))
                return int(spans[number].start)
            time.sleep(TICK_SECONDS)
        return None

    def _alerts_now(self) -> list[dict[str, Any]]:
        alerts: list[dict[str, Any]] = self.monitor.ask("GET", "/v1/alerts", params=self._which)["alerts"]
        return alerts

    @property
    def _which(self) -> dict[str, Any]:
        return {"model": self.model, "version": self.version, "limit": LIST_MAX}

    def _post(self, session: Session, names: dict[int, str], rows: slice | None = None) -> None:
        principals = [names[one] for one in session.accounts.tolist()]
        ids = [f"{principal}-{i}" for i, principal in enumerate(principals)]
        inputs, answers = session.inputs.astype(np.float64), session.probabilities.astype(np.float64)
        begin, end, _ = (rows or slice(None)).indices(len(session))
        for first in range(begin, end, BODY_ROWS):
            part = slice(first, min(first + BODY_ROWS, end))
            late = None if session.latency_ms is None else session.latency_ms[part]
            more = beside(inputs[part], late, self._maker)
            content = arrow_of(self.victim, inputs[part], answers[part], ids[part], principals[part], more)
            self.monitor.pace(len(ids[part]))
            # The key lets a body that is sent again count once.
            headers = {"content-type": ARROW, "idempotency-key": f"{ids[first]}-{len(content)}"}
            took = self.monitor.ask("POST", f"{self.path}/events", content=content, headers=headers)
            if took["accepted"] != len(ids[part]):
                raise MonitorFailed(f"the monitor refused {took['rejected']} of {len(ids[part])} events")
            self._posted += took["accepted"]
        if session.feedback is not None:
            told = [
                {"event_id": ids[i], "label": class_of(k)} for i, k in enumerate(session.feedback.tolist()) if k >= 0
            ]
            for first in range(0, len(told), BODY_ROWS):
                self.monitor.ask("POST", f"{self.path}/labels", json={"labels": told[first : first + BODY_ROWS]})
            self._labels += len(told)

    def _wait(self) -> None:
        """Wait until all that was sent is worked off, as long as something is."""
        deadline, before = time.monotonic() + WAIT_SECONDS, (-1, -1)
        while True:
            status = self.monitor.ask("GET", f"{self.path}/status")
            done = status["events_total"], status["labels_total"]
            if done[0] >= self._posted and done[1] >= self._labels:
                return
            if done > before:
                deadline, before = time.monotonic() + WAIT_SECONDS, done
            if time.monotonic() > deadline:
                rest = f"{self._posted - done[0]} of {self._posted} events"
                raise MonitorFailed(
                    f"the monitor worked off none of {rest} in {WAIT_SECONDS:g} s; does its worker run?"
                )
            time.sleep(POLL_SECONDS)

    def _seen_of(self, session: Session, names: dict[int, str], costs: int | None) -> Seen:
        alerts = [one for one in self._list("/v1/alerts", "alerts", "id") if one["adversarial"] is not None]
        held = self._list(f"{self.path}/principals?state=all", "principals", "principal")
        uses = [one["adversarial"] for one in alerts]
        self._alerts.update(use["tier"] for use in uses)
        accounts = self._accounts_of(names) if uses else {}
        tiers: dict[str, int] = {}
        campaign: int | None = None
        for one in alerts:
            use = one["adversarial"]
            account = accounts.get(use["principals"][0])
            if account is None:
                continue  # what one more client of an input says of an earlier session is no alarm of this one
            self._truths.setdefault(one["incident_id"], truth_of(session.kind))
            asked = place_of if use["tier"] != POISONING else label_of
            place = asked(session, account, use["queries_at_alarm"])
            if use["tier"] == COST and costs is not None:
                place = costs
            tiers[use["tier"]] = min(tiers.get(use["tier"], place), place)
            if use["subject"].startswith(CAMPAIGN):
                campaign = place if campaign is None else min(campaign, place)
        return Seen(alarm=min(tiers.values(), default=None), tiers=tiers, contained=len(held), campaign=campaign)

    def _list(self, path: str, what: str, key: str) -> list[dict[str, Any]]:
        """Return what is new in a list."""
        known = self._seen if what == "alerts" else self._contained
        given = self._which if what == "alerts" else {"state": "all", "limit": LIST_MAX}
        whole = self.monitor.ask("GET", path.partition("?")[0], params=given)[what]
        new = [one for one in whole if one[key] not in known]
        if len(new) == LIST_MAX:
            raise MonitorFailed(f"one session raised more {what} than a list holds")
        known.update(one[key] for one in new)
        return new

    def _accounts_of(self, names: dict[int, str]) -> dict[str, int]:
        """Return the accounts by pseudonym: a policy that names clients is kept with their pseudonyms, in order."""
        path = f"/v1/models/{quote(self.model, safe='')}/policy"
        named = POLICY["adversarial"] | {"explainers": list(names.values())}
        self.monitor.ask("PUT", path, json=POLICY | {"adversarial": named})
        sealed = self.monitor.ask("GET", path)["adversarial"]["explainers"]
        self.monitor.ask("PUT", path, json=POLICY)
        pseudonyms = [one.removeprefix("pseudonym:") for one in sealed]
        return dict(zip(pseudonyms, names, strict=True))


def poisons(session: Session) -> bool:
    """Tell whether a session works on labels, or on the traffic as a whole."""
    attack = ATTACKS.get(session.workload) if session.kind is Kind.ATTACK else None
    return session.feedback is not None or (attack is not None and attack.family is Family.POISONING)
