"""Doubles of receivers that look at every request as strictly as their vendors say, and behave as theirs do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.channel_settings import AlertmanagerSettings
from service.notify.alertmanager import AlertmanagerChannel
from service.notify.compose import time_of
from service.notify.pagerduty import PagerDutyChannel
from service.notify.slack import SlackChannel
from service.notify.webhook import WebhookChannel
from service.ports import Clock
from service.ports_notify import Channel
from tests.service.notify.receivers import answer
from tests.service.notify.schemas import (
    ALERTMANAGER,
    PAGERDUTY,
    PAGERDUTY_BYTES_MAX,
    SLACK,
    SLACK_BLOCKS_CHARACTERS_MAX,
    WEBHOOK,
    check,
)
from tests.service.notify.wire import check_signed

ROUTING_KEY = "r0ut1ngk3y"
KEYS = (b"0123456789abcdef0123456789abcdef", b"fedcba9876543210")


@dataclass(frozen=True)
class Sent:
    """One request."""

    path: str
    headers: Mapping[str, str]
    content: bytes
    body: Any


@dataclass
class Double:
    """Takes JSON, looks at it, and remembers it, and what was wrong with it: whoever sends may try again for ever."""

    clock: Clock
    bodies: list[Any] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        body = json.loads(content)
        try:
            assert request.method == "POST"
            assert request.headers["content-type"] == "application/json"
            self.look(Sent(request.url.path, request.headers, content, body))
        except AssertionError as error:
            self.problems.append(f"{error}: {content[:500]!r}")
            return answer(400, b"bad")
        self.bodies.append(body)
        return answer(200, b"ok")

    @property
    def transport(self) -> httpx.MockTransport:
        """Return what carries requests to it."""
        return httpx.MockTransport(self)

    def look(self, sent: Sent) -> None:
        """Raise AssertionError when something does not fit."""
        raise NotImplementedError

    def channel(self) -> Channel:
        """Return a channel that leads to it."""
        raise NotImplementedError


@dataclass
class PagerDuty(Double):
    """Opens, acknowledges and resolves incidents by their keys."""

    incidents: dict[str, str] = field(default_factory=dict)
    """Key to ``triggered``, ``acknowledged`` or ``resolved``; a key that was never triggered has none."""

    def look(self, sent: Sent) -> None:
        """Look at an event, and do what it asks for."""
        check(sent.body, PAGERDUTY)
        assert len(sent.content) <= PAGERDUTY_BYTES_MAX
        assert sent.body["routing_key"] == ROUTING_KEY
        key, action = sent.body["dedup_key"], sent.body["event_action"]
        state = self.incidents.get(key, "resolved")
        if action == "trigger" and state == "resolved":
            self.incidents[key] = "triggered"
        elif action == "acknowledge" and state == "triggered":
            self.incidents[key] = "acknowledged"
        elif action == "resolve" and key in self.incidents:
            self.incidents[key] = "resolved"

    @property
    def still_open(self) -> list[str]:
        """Return the keys of what nobody has resolved."""
        return [key for key, state in self.incidents.items() if state != "resolved"]

    def channel(self) -> Channel:
        """Return a channel that leads to it."""
        url = "https://events.pagerduty.com/v2/enqueue"
        return PagerDutyChannel("pager", url, ROUTING_KEY, self.clock, transport=self.transport)


@dataclass
class Slack(Double):
    """An incoming webhook."""

    def look(self, sent: Sent) -> None:
        """Look at a message."""
        check(sent.body, SLACK)
        assert len(json.dumps(sent.body["blocks"], ensure_ascii=False)) <= SLACK_BLOCKS_CHARACTERS_MAX

    def channel(self) -> Channel:
        """Return a channel that leads to it."""
        return SlackChannel("chat", "https://hooks.slack.com/services/T0/B0/x", self.clock, transport=self.transport)


@dataclass
class Alertmanager(Double):
    """Knows alerts by their labels: what has begun again is never undone by what was before."""

    alerts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Labels to beginning and end."""

    def look(self, sent: Sent) -> None:
        """Look at alerts: none that is firing goes back to an earlier beginning."""
        check(sent.body, ALERTMANAGER)
        assert sent.path == "/api/v2/alerts"
        firing = self.firing
        for alert in sent.body:
            labels, starts, ends = json.dumps(alert["labels"], sort_keys=True), alert["startsAt"], alert["endsAt"]
            assert starts <= ends
            if labels in firing:
                assert starts >= self.alerts[labels][0], f"began at {self.alerts[labels][0]}, not at {starts}"
            self.alerts[labels] = (starts, ends)

    @property
    def firing(self) -> list[str]:
        """Return the labels of what has not ended."""
        now = time_of(self.clock.now_us())
        return [labels for labels, (_, ends) in self.alerts.items() if ends > now]

    def channel(self) -> Channel:
        """Return a channel that leads to it."""
        chosen = AlertmanagerSettings(kind="alertmanager", urls=("http://am.example.org:9093",))
        return AlertmanagerChannel("am", chosen, None, self.clock, transport=self.transport)


@dataclass
class Webhook(Double):
    """Verifies signatures, and knows deliveries by their ids."""

    keys: Sequence[bytes] = KEYS

    def look(self, sent: Sent) -> None:
        """Look at a signed message."""
        check(sent.body, WEBHOOK)
        check_signed(sent.headers, sent.content, self.keys, self.clock.now_us() // 1_000_000)
        firing = any(alert["status"] == "firing" for alert in sent.body["alerts"])
        assert sent.body["status"] == ("firing" if firing else "resolved")

    def channel(self) -> Channel:
        """Return a channel that leads to it."""
        return WebhookChannel("hook", "https://example.org/", self.keys, self.clock, transport=self.transport)


DOUBLES: dict[str, type[Double]] = {
    "pagerduty": PagerDuty,
    "slack": Slack,
    "alertmanager": Alertmanager,
    "webhook": Webhook,
}
