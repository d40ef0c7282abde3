"""Notifications over the API: what waits, what was given up, how channels are; replay and tests."""

import asyncio
from typing import Any

import pytest

from service.domain.ids import Actor
from service.domain.records import Scope
from service.notify.routing import Router
from service.ports_notify import DeliveryFailed
from service.worker.delivery import Dispatcher
from service.worker.stats import WorkerStats
from tests.service.api.conftest import World
from tests.service.notify.desk import Recorder


def deliver(world: World, channel: Recorder) -> None:
    """Let a dispatcher look once, as the worker does."""
    api = world.runtime.api
    dispatcher = Dispatcher(
        outbox=world.runtime.store.outbox,
        channels={"log": channel},
        route=Router(settings=api.settings.notifications, channels=("log",)),
        clock=api.clock,
        stats=WorkerStats(),
        owner="test",
    )

    async def work() -> None:
        dispatcher.step()
        await dispatcher.settle()

    asyncio.run(work())


def listed(world: World, **query: str) -> list[dict[str, Any]]:
    answer = world.client.get("/v1/notifications", params=query, headers=world.everything)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["notifications"]
    return found


def unfinished(world: World) -> int:
    """Count what waits to be routed or delivered: a channel that works again is told of in a new message."""
    backlog = world.runtime.store.desk.backlog(world.runtime.api.clock.now_us())
    return backlog.unrouted + sum(channel.pending for channel in backlog.channels.values())


@pytest.fixture(autouse=True)
def _nothing_else_waits(world: World) -> None:
    """What other tests over the same service have left is delivered, and what that tells of in turn."""
    for _ in range(20):
        if not unfinished(world):
            return
        deliver(world, Recorder("log"))
    raise AssertionError(unfinished(world))


def test_a_test_is_delivered_and_listed(world: World) -> None:
    answer = world.client.post("/v1/notifications/channels/log/test", headers=world.everything)
    assert answer.status_code == 202, answer.text
    sent = answer.json()["message_id"]
    (one,) = listed(world, message=sent)
    assert (one["status"], one["channel"], one["kind"]) == ("pending", "log", "test")
    channel = Recorder("log")
    deliver(world, channel)
    assert channel.ids == [sent]
    (one,) = listed(world, message=sent, status="delivered")
    assert one["delivered"] is not None
    assert listed(world, status="dead") == []


def test_a_dead_letter_is_listed_with_its_reason_and_replayed(world: World) -> None:
    sent = world.client.post("/v1/notifications/channels/log/test", headers=world.everything).json()["message_id"]
    deliver(world, Recorder("log", failure=DeliveryFailed("400: no", recoverable=False)))
    (one,) = listed(world, status="dead", channel="log")
    assert (one["message_id"], one["detail"]) == (sent, "400: no")
    channels = world.client.get("/v1/notifications/channels", headers=world.everything).json()["channels"]
    assert [(c["name"], c["dead"], c["configured"]) for c in channels] == [("log", 1, True)]
    assert channels[0]["failing_since"] is not None
    answer = world.client.post("/v1/notifications/replay", json={"message": sent}, headers=world.everything)
    assert answer.json() == {"replayed": 1}
    channel = Recorder("log")
    deliver(world, channel)
    assert sent in channel.ids
    again = world.client.post("/v1/notifications/replay", json={"message": sent}, headers=world.everything)
    assert again.status_code == 404
    assert world.client.post("/v1/notifications/replay", json={}, headers=world.everything).json() == {"replayed": 0}
    actions = [(entry.action, entry.actor) for entry in world.runtime.store.read.audit(20)]
    assert ("notification.replay", Actor("ada")) in actions
    assert ("notification.test", Actor("ada")) in actions


def test_an_unknown_channel_is_named_with_the_nearest(world: World) -> None:
    answer = world.client.post("/v1/notifications/channels/lag/test", headers=world.everything)
    assert answer.status_code == 404
    assert answer.json()["nearest"] == ["log"]
    body = {"channel": "lag"}
    assert world.client.post("/v1/notifications/replay", json=body, headers=world.everything).status_code == 404
    assert (
        world.client.post("/v1/notifications/replay", json={"chanel": "x"}, headers=world.everything).status_code == 422
    )


@pytest.mark.parametrize("models", [None, frozenset({"fraud"})])
def test_who_may_only_read_replays_nothing_and_who_has_some_models_sees_nothing(
    world: World, models: frozenset[str] | None
) -> None:
    headers = world.key(Scope.READ, models=models)
    expected = 200 if models is None else 403
    assert world.client.get("/v1/notifications", headers=headers).status_code == expected
    assert world.client.get("/v1/notifications/channels", headers=headers).status_code == expected
    assert world.client.post("/v1/notifications/replay", json={}, headers=headers).status_code == 403
    assert world.client.post("/v1/notifications/channels/log/test", headers=headers).status_code == 403


def test_acknowledging_and_resolving_an_incident_is_told_once_each(world: World) -> None:
    from tests.integration.store import samples

    world.model("fraud-scorer", "2026-11-02")
    store = world.runtime.store
    version = store.read.version("fraud-scorer", "2026-11-02")
    assert version is not None
    incident = samples.incident(version, "i1")
    from service.clock import SystemClock
    from service.ports import Outcome

    worker = store.worker("w", 10.0, SystemClock())
    first = worker.position()
    worker.commit(Outcome(first=first, last=first, revision=worker.revision(), incidents=[incident]))
    headers = world.everything
    for action, body in (("ack", {}), ("comment", {"note": "hm"}), ("ack", {}), ("resolve", {"verdict": "benign"})):
        answer = world.client.post(f"/v1/incidents/i1/{action}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
    channel = Recorder("log")
    for _ in range(3):
        deliver(world, channel)
    assert [kind for kind in channel.kinds if kind.startswith("incident")] == [
        "incident_acknowledged",
        "incident_resolved",
    ]
