"""Alertmanager, API v2: alerts with a beginning and an end, sent again while they are firing.

Every alert is always sent whole: the same labels, the same annotations, its first ``startsAt``; otherwise what tells of
the end would lose what the beginning told. While firing it ends ``ENDS_AFTER`` intervals from now: should this service
die, its alerts end late rather than never.
"""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Sequence

import httpx
import msgspec

from service.channel_settings import AlertmanagerSettings
from service.domain.ids import Micros
from service.domain.notices import FIRING, NEVER, AlertBody, Told, payload_of
from service.domain.records import Message
from service.notify.compose import time_of
from service.notify.http import client, post
from service.notify.routing import alert_body
from service.notify.texts import cut, lines, one_line
from service.ports import Clock
from service.ports_notify import DeliveryFailed

ENDS_AFTER = 4
PATH = "/api/v2/alerts"
LABEL_MAX, ANNOTATION_MAX = 256, 2_000
ALERTS_AT_ONCE = 100
REMEMBERED_MAX = 10_000
"""Alerts of which it is known what was posted last."""
NO_LABEL_NAME = re.compile(r"[^a-zA-Z0-9_]")

_logger = logging.getLogger("lazaretto.notify")


class AlertmanagerChannel:
    """Posts alerts to every replica; one that takes them is enough, the others hear of them with the next repetition.

    Parameters
    ----------
    name
        Of the channel.
    settings
        The replicas and how often to repeat.
    authorization
        Value of the header, or ``None``.
    clock
        Says when firing alerts would end.
    transport
        Carries the requests.
    """

    def __init__(
        self,
        name: str,
        settings: AlertmanagerSettings,
        authorization: str | None,
        clock: Clock,
        *,
        transport: httpx.AsyncBaseTransport,
    ) -> None:
        self.name = name
        self.resend_seconds = settings.resend_seconds
        self._urls = tuple(url.rstrip("/") + PATH for url in settings.urls)
        self._headers = {} if authorization is None else {"authorization": authorization}
        self._clock = clock
        self._http = client(transport)
        self._posted: OrderedDict[str, tuple[str, bool]] = OrderedDict()
        """Fingerprint to the beginning that was posted last, and whether it was over."""

    async def deliver(self, message: Message) -> None:
        """Post the alerts of a message; where there are none, ask all the same whether Alertmanager is there."""
        await self._post([alert for alert in payload_of(message).alerts if not self._is_past(alert)])

    async def repeat(self, told: Sequence[Told]) -> None:
        """Post what is firing, and what has just ended, once more; none at all asks whether Alertmanager is there.

        The store knows what is true: nothing that was posted before makes it past.
        """
        now_us = self._clock.now_us()
        alerts = [alert_body(one, one.firing(now_us)) for one in told]
        for start in range(0, max(1, len(alerts)), ALERTS_AT_ONCE):
            await self._post(alerts[start : start + ALERTS_AT_ONCE])

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, alerts: Sequence[AlertBody]) -> None:
        body = msgspec.json.encode([self._written(alert) for alert in alerts])
        answers = await asyncio.gather(*(self._one(url, body) for url in self._urls))
        failures = [failure for failure in answers if failure is not None]
        if len(failures) == len(self._urls):
            raise max(failures, key=lambda failure: failure.recoverable)
        for alert in alerts:
            self._posted[alert.fingerprint] = (alert.starts_at, alert.status != FIRING)
            self._posted.move_to_end(alert.fingerprint)
        while len(self._posted) > REMEMBERED_MAX:
            self._posted.popitem(last=False)
        for failure in failures:
            _logger.warning("a replica did not take alerts", extra={"channel": self.name, "reason": str(failure)})

    def _is_past(self, alert: AlertBody) -> bool:
        """Return whether a message tells of what a repetition has overtaken: it would undo what is true by now."""
        starts_at, over = self._posted.get(alert.fingerprint, ("", False))
        return alert.starts_at < starts_at or (alert.starts_at == starts_at and over and alert.status == FIRING)

    async def _one(self, url: str, body: bytes) -> DeliveryFailed | None:
        try:
            await post(self._http, url, body, self._clock, secret=False, headers=self._headers)
        except DeliveryFailed as failure:
            return failure
        return None

    def _written(self, alert: AlertBody) -> dict[str, object]:
        ends_at = alert.ends_at
        if alert.status == FIRING or ends_at == NEVER:
            ends_at = time_of(Micros(self._clock.now_us() + round(ENDS_AFTER * self.resend_seconds * 1e6)))
        written: dict[str, object] = {
            # Empty labels would be dropped, and with them the identity.
            "labels": {label_name(k): one_line(v, LABEL_MAX) or "-" for k, v in alert.labels.items()},
            "annotations": {label_name(k): lines(v, ANNOTATION_MAX) for k, v in alert.annotations.items()},
            "startsAt": alert.starts_at,
            "endsAt": ends_at,
        }
        if alert.generator_url:
            written["generatorURL"] = alert.generator_url
        return written


def label_name(name: str) -> str:
    """Return a name that every version of Alertmanager takes."""
    plain = NO_LABEL_NAME.sub("_", cut(name, LABEL_MAX).replace("\N{HORIZONTAL ELLIPSIS}", "_"))
    return plain if plain and not plain[0].isdigit() else f"_{plain}"
