"""``/v1/gate``: a plain ASGI callable that answers 200 or 403 from memory, whatever it is asked.

``/v1/gate-route`` is the same question of a gateway that sends requests on by ``x-gate-route``. It is a path of its
own, and no header, because a client can add a header and so let itself through to a model in quarantine.
"""

import itertools
import logging
import os
from collections.abc import Callable

from service.api.asgi import REQUEST_ID_HEADER, Receive, Scope, Send, header, respond
from service.domain.policy import FailMode
from service.gate.acknowledge import Acknowledgements
from service.gate.decide import Asking, Ruling, decide, heed, render
from service.gate.jitter import Jitter
from service.gate.refresh import Fleet
from service.gate.targets import read_targets
from service.observability import Counters
from service.ports import Clock

logger = logging.getLogger(__name__)

PREFIX = "/v1/gate"
ROUTE_PREFIX = "/v1/gate-route"
ORIGINAL_URI = (b"x-forwarded-uri", b"x-original-uri")


PRINCIPALS_MAX = 8
"""How many values of the header count; a gateway sends one."""


class Principals:
    """Who a gateway says is asking, as the pseudonyms that telemetry is stored under.

    Parameters
    ----------
    header_name
        Of the request header in which gateways name the principal.
    pseudonym
        Makes a pseudonym of a name, with the same key as the ingest path.
    clock
        Says whether a containment is over.
    jitter
        Says whether it is enforced yet.
    """

    def __init__(self, header_name: str, pseudonym: Callable[[str], str], clock: Clock, jitter: Jitter) -> None:
        self._header = header_name.lower().encode()
        self._pseudonym = pseudonym
        self._clock, self._jitter = clock, jitter

    def asking(self, scope: Scope) -> Asking | None:
        """Return who asks, one pseudonym for each value of the header: a client may have added one."""
        values = [value for name, value in scope["headers"] if name == self._header and value]
        if not values:
            return None
        named = [self._pseudonym(value.decode(errors="replace")) for value in values[:PRINCIPALS_MAX]]
        return Asking(principals=named, now_us=self._clock.now_us(), jitter=self._jitter)


def is_gate(path: str) -> bool:
    """Tell whether a path belongs to the gate."""
    if not path.startswith(PREFIX):
        return False
    rest = path[len(PREFIX) :]
    return not rest or rest[0] == "/" or path == ROUTE_PREFIX or path.startswith(ROUTE_PREFIX + "/")


class GateEndpoint:
    """Answers a gateway.

    Parameters
    ----------
    fleet
        The last known picture.
    counters
        Counts the answers.
    unknown
        What to say of a model that is not registered.
    principals
        Knows who is asking, where gateways say so.
    heard
        Is told that a gateway has heard of a quarantine.
    """

    def __init__(
        self,
        fleet: Fleet,
        counters: Counters,
        unknown: FailMode,
        principals: Principals | None = None,
        heard: Acknowledgements | None = None,
    ) -> None:
        self._fleet = fleet
        self._answers = counters.gate
        self._unknown = unknown
        self._principals = principals
        self._heard = heard
        self._process = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - no body is needed
        """Answer one question."""
        decision_id = f"{self._process}-{next(self._numbers):x}"
        prefix = ROUTE_PREFIX if scope["path"].startswith(ROUTE_PREFIX) else PREFIX
        ruling = self._rule(scope, prefix)
        self._answers[ruling.answer].inc()
        if ruling.held is not None and self._heard is not None:
            self._heard.note(ruling.held, decision_id)
        status, headers, body = render(ruling, decision_id, routes=prefix is ROUTE_PREFIX)
        request_id = header(scope, REQUEST_ID_HEADER)
        if request_id is not None and request_id.isalnum():
            headers.append((REQUEST_ID_HEADER, request_id[:64]))
        await respond(send, status, headers, body)

    def _rule(self, scope: Scope, prefix: str) -> Ruling:
        try:
            tail = scope["path"][len(prefix) :].lstrip("/")
            forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name in ORIGINAL_URI]
            view, readings = self._fleet.view, read_targets(tail, forwarded)
            ruling = decide(view, readings, self._unknown)
            if self._principals is None:
                return ruling
            asking = self._principals.asking(scope)
            return ruling if asking is None else heed(ruling, view, readings, asking)
        except Exception:  # gateways let a 5xx through or turn it into an outage: fail closed, loudly
            logger.exception("the gate could not decide")
            return Ruling(allowed=False, state="unknown", reason="the gate could not decide")
