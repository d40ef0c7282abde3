"""Feature flags over OFREP, hooks of rollouts, the gate that routes, and drills on record."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from service.api.routes import flags as flags_route
from service.domain.records import Scope
from service.gate.flags import FlagKey, Kind, parse_key
from service.gate.targets import Target
from tests.service.api.conftest import World

FLAGS = "/ofrep/v1/evaluate/flags"


def flag(world: World, key: str, **body: Any) -> httpx.Response:
    return world.client.post(f"{FLAGS}/{key}", json=body, headers=world.everything)


def quarantine(world: World, path: str) -> None:
    body = {"event": "quarantine", "reason": "of a test"}
    assert world.client.post(f"{path}/transitions", json=body, headers=world.everything).status_code == 200


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("model.fraud.serving", FlagKey(Target("fraud"), Kind.SERVING)),
        ("model.a.b.mode", FlagKey(Target("a.b"), Kind.MODE)),
        ("model.fraud/2.1.mode", FlagKey(Target("fraud", "2.1"), Kind.MODE)),
        ("model.serving", None),
        ("model..serving", None),
        ("model.fraud/.serving", None),
        ("model.fraud/1/2.serving", None),
        ("model.fraud.other", None),
        ("fraud.serving", None),
        ("", None),
    ],
)
def test_keys_are_read_as_they_are_written(key: str, expected: FlagKey | None) -> None:
    assert parse_key(key) == expected
    if expected is not None:
        assert str(expected) == key


def test_a_flag_follows_the_gate(world: World) -> None:
    path = world.model("flags-one")
    serving = flag(world, "model.flags-one.serving", context={"targetingKey": "client-7"})
    assert serving.status_code == 200
    assert serving.json() == {
        "key": "model.flags-one.serving",
        "value": True,
        "reason": "STATIC",
        "variant": "open",
        "metadata": {"state": "active", "model": "flags-one", "version": "1"},
        "cacheable": False,
    }
    assert flag(world, "model.flags-one/1.mode").json()["value"] == "active"
    quarantine(world, path)
    closed = flag(world, "model.flags-one/1.serving").json()
    assert (closed["value"], closed["variant"], closed["metadata"]["route"]) == (False, "closed", "review")
    assert flag(world, "model.flags-one.mode").json()["value"] == "quarantined"
    # Whoever asks for one flag enforces it: that counts as heard.
    assert [one.decision_id[:5] for one in world.runtime.api.heard.waiting()][-1] == "flag-"


@pytest.mark.parametrize("key", ["model.nobody.serving", "model.flags-none/9.mode", "other", "model.flags-none.colour"])
def test_an_unknown_flag_is_404_so_that_the_client_takes_its_own_default(world: World, key: str) -> None:
    if world.runtime.api.fleet.view.models.get("flags-none") is None:
        world.model("flags-none")
    answer = flag(world, key)
    assert answer.status_code == 404
    assert (answer.json()["key"], answer.json()["errorCode"]) == (key, "FLAG_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"[]", "INVALID_CONTEXT"),
        (b'{"context": 5}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 5}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "' + b"x" * 1_001 + b'"}}', "INVALID_CONTEXT"),
    ],
)
def test_a_bad_context_is_named_as_the_protocol_says(world: World, body: bytes, code: str) -> None:
    headers = {**world.everything, "content-type": "application/json"}
    for path in (f"{FLAGS}/model.x.serving", FLAGS):
        answer = world.client.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
        assert answer.json()["errorDetails"]


def test_all_flags_have_an_etag_that_changes_with_them_alone(world: World) -> None:
    path = world.model("flags-all")
    key = world.key(Scope.READ, models=frozenset({"flags-all"}))
    first = world.client.post(FLAGS, json={}, headers=key)
    assert [one["key"] for one in first.json()["flags"]] == [
        "model.flags-all.serving",
        "model.flags-all.mode",
        "model.flags-all/1.serving",
        "model.flags-all/1.mode",
    ]
    (stream,) = first.json()["eventStreams"]
    assert stream == {"type": "sse", "endpoint": {"requestUri": "/ofrep/v1/events"}, "inactivityDelaySec": 120}
    etag = first.headers["etag"]
    world.model("flags-other")
    same = world.client.post(FLAGS, json={}, headers={**key, "if-none-match": f'"x", {etag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    quarantine(world, path)
    changed = world.client.post(FLAGS, json={}, headers={**key, "if-none-match": etag})
    assert (changed.status_code, changed.json()["flags"][0]["value"]) == (200, False)
    assert changed.headers["etag"] != etag


def test_too_many_streams_are_refused(world: World) -> None:
    streams = world.app.state.flag_desk.streams
    for number in range(world.runtime.api.settings.flag_streams_max):
        streams.add(number)
    try:
        answer = world.client.get("/ofrep/v1/events", headers=world.everything)
    finally:
        streams.clear()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def hook(world: World, which: str, model: str, version: str = "1", **headers: str) -> httpx.Response:
    body = {
        "name": "canary",
        "namespace": "ml",
        "phase": "Progressing",
        "checksum": "85d557f47b",
        "metadata": {"model": model, "version": version, "and": "more"},
    }
    return world.client.post(f"/v1/rollouts/flagger/{which}", json=body, headers=headers or world.everything)


def test_flagger_goes_on_while_active_and_back_once_the_gate_is_closed(world: World) -> None:
    path = world.model("hooks-flagger")
    assert [hook(world, which, "hooks-flagger").status_code for which in ("confirm", "rollback")] == [200, 409]
    body = {"event": "suspect", "reason": "of a test"}
    assert world.client.post(f"{path}/transitions", json=body, headers=world.everything).status_code == 200
    assert [hook(world, which, "hooks-flagger").status_code for which in ("confirm", "rollback")] == [409, 409]
    quarantine(world, path)
    assert [hook(world, which, "hooks-flagger").status_code for which in ("confirm", "rollback")] == [409, 200]
    assert "quarantined" in hook(world, "confirm", "hooks-flagger").json()["detail"]
    # Flagger cannot send a header; a key in the URL arrives as Basic credentials.
    key = world.key(Scope.READ)["authorization"].removeprefix("Bearer ")
    basic = "Basic " + base64.b64encode(f"key:{key}".encode()).decode()
    assert hook(world, "rollback", "hooks-flagger", authorization=basic).status_code == 200


@pytest.mark.parametrize("which", ["confirm", "rollback"])
def test_a_rollout_of_what_nobody_registered_neither_goes_on_nor_back(world: World, which: str) -> None:
    world.model(f"hooks-{which}")
    assert hook(world, which, "hooks-none").status_code == 404
    assert hook(world, which, f"hooks-{which}", "9").status_code == 404
    limited = world.key(Scope.READ, models=frozenset({"another"}))
    assert hook(world, which, f"hooks-{which}", **limited).status_code == 404
    bad = world.client.post(f"/v1/rollouts/flagger/{which}", json={"metadata": {}}, headers=world.everything)
    assert bad.status_code == 422


def test_argo_reads_a_flat_measurement(world: World) -> None:
    path = world.model("hooks-argo")
    data = world.client.get("/v1/rollouts/argo/hooks-argo/1", headers=world.everything).json()["data"]
    assert (data["ok"], data["state"], data["serving"], data["evidence_log10"]) == (True, "active", True, -300.0)
    assert data["threshold_log10"] > 0
    quarantine(world, path)
    data = world.client.get("/v1/rollouts/argo/hooks-argo/1", headers=world.everything).json()["data"]
    assert (data["ok"], data["state"], data["serving"]) == (False, "quarantined", False)
    assert world.client.get("/v1/rollouts/argo/hooks-argo/2", headers=world.everything).status_code == 404
    limited = world.key(Scope.READ, models=frozenset({"another"}))
    assert world.client.get("/v1/rollouts/argo/hooks-argo/1", headers=limited).status_code == 403


def test_only_a_gateway_that_says_it_routes_is_answered_200_for_a_fallback(world: World) -> None:
    path = world.model("routes-one")
    policy = {"fallback": "rules"}
    assert world.client.put("/v1/models/routes-one/policy", json=policy, headers=world.everything).status_code == 200
    quarantine(world, path)
    for target in ("v2/models/routes-one/infer", "routes-one/1"):
        plain = world.client.get(f"/v1/gate/{target}")
        assert (plain.status_code, plain.headers["x-gate-route"]) == (403, "fallback")
        routed = world.client.get(f"/v1/gate-route/{target}")
        assert (routed.status_code, routed.headers["x-gate-route"]) == (200, "fallback")
        assert (routed.headers["x-gate-fallback"], routed.headers["x-gate-state"]) == ("rules", "quarantined")
        assert routed.json()["decision"] == "fallback"
    # No header makes the plain question the other one.
    lies = {"x-gate-route": "fallback", "x-gate-routes": "fallback", "x-forwarded-uri": "/v1/gate-route/routes-one/1"}
    assert world.client.get("/v1/gate/routes-one/1", headers=lies).status_code == 403
    # Without a fallback both say the same.
    other = world.model("routes-two")
    quarantine(world, other)
    assert world.client.get("/v1/gate-route/routes-two/1").status_code == 403
    assert world.client.get("/v1/gate-route", headers={"x-original-uri": "/routes-two/1"}).status_code == 403
    assert world.client.get("/v1/gate-routes/routes-two/1").status_code == 404


def test_a_drill_is_on_record(world: World) -> None:
    path = world.model("drills-one")
    body = {"phase": "end", "drill_id": "d1", "through": "http://gw/x", "steps": {"refused": 2.5}, "outcome": "refused"}
    assert world.client.post(f"{path}/drills", json=body, headers=world.everything).status_code == 200
    newest = world.runtime.store.read.audit(1)[0]
    assert (newest.action, newest.subject) == ("drill.end", "drills-one/1")
    assert json.loads(newest.detail)["steps"] == {"refused": 2.5}
    for wrong in ({"phase": "middle"}, {"steps": {"x": -1}}, {"drill_id": ""}, {"more": 1}):
        answer = world.client.post(f"{path}/drills", json=body | wrong, headers=world.everything)
        assert answer.status_code == 422, wrong


def test_drills_are_listed_with_what_came_of_them(world: World) -> None:
    path = world.model("drills-two")
    for drill_id, phase in (("d1", "begin"), ("d1", "end"), ("d2", "begin")):
        body: dict[str, Any] = {"phase": phase, "drill_id": drill_id, "through": "http://gw/x"}
        if phase == "end":
            body |= {"steps": {"quarantined": 2.25, "refused at the gateway": 2.5}, "outcome": "refused at the gateway"}
        assert world.client.post(f"{path}/drills", json=body, headers=world.everything).status_code == 200
    answer = world.client.get(f"{path}/drills", headers=world.key(Scope.READ))
    going_on, over = answer.json()["drills"]
    assert (going_on["drill_id"], going_on["ended_at"], going_on["seconds_to_refusal"]) == ("d2", None, None)
    assert (over["drill_id"], over["seconds_to_refusal"], over["by"]) == ("d1", 2.5, "ada")
    assert over["begun_at"] < over["ended_at"] < going_on["begun_at"]
    assert world.client.get(f"{path}/drills", headers=world.key(Scope.INGEST)).status_code == 403


class Stream:
    """An open event stream, read in the application's own loop."""

    def __init__(self, world: World, who: dict[str, str], **more: str) -> None:
        self.world = world
        scope = {"type": "http", "headers": [(k.encode(), v.encode()) for k, v in {**who, **more}.items()]}
        api, desk = world.runtime.api, world.app.state.flag_desk
        identity = api.keyring.authenticate(who["authorization"].removeprefix("Bearer "))
        self.parts = flags_route._changes(api, identity, desk, scope)

    def read(self, seconds: float = 10.0) -> str | None:
        """Return the next part; ``None`` when the stream has ended, an empty text when nothing came in time."""
        return self.world.client.portal.call(self._next, seconds)

    def close(self) -> None:
        self.world.client.portal.call(self._close)

    async def _close(self) -> None:
        assert isinstance(self.parts, AsyncGenerator)
        await self.parts.aclose()

    async def _next(self, seconds: float) -> str | None:
        # A part that is waited for is kept: what comes later is the next one.
        self.waiting = getattr(self, "waiting", None) or asyncio.ensure_future(anext(self.parts, None))
        done, _ = await asyncio.wait([self.waiting], timeout=seconds)
        if not done:
            return ""
        part, self.waiting = self.waiting.result(), None
        return None if part is None else part.decode()


def event_id(part: str | None) -> str:
    assert part is not None
    return re.search(r"^id: (\w+)$", part, re.MULTILINE)[1]  # type: ignore[index]  # fails loudly where there is none


def test_a_stream_begins_with_what_holds_unless_the_client_has_seen_it(world: World) -> None:
    world.model("streams-first")
    stream = Stream(world, world.everything)
    assert stream.read() == "retry: 1000\n\n"
    first = stream.read()
    etag = world.client.post(FLAGS, json={}, headers=world.everything).headers["etag"]
    assert event_id(first) == etag.strip('"')
    assert '"refetchEvaluation"' in str(first)
    stream.close()
    known = Stream(world, world.everything, **{"last-event-id": event_id(first)})
    assert [known.read(), known.read(0.3)] == ["retry: 1000\n\n", ""]
    world.model("streams-second")
    assert event_id(known.read()) != event_id(first)
    known.close()


def test_the_end_of_a_broken_glass_is_told_although_nobody_writes_it_down(world: World) -> None:
    path = world.model("streams-glass")
    quarantine(world, path)
    ben = world.key(Scope.OPERATE, name="ben")
    stream = Stream(world, world.everything)
    stream.read()
    held = event_id(stream.read())
    body = {"minutes": 1 / 60, "reason": "of a test"}
    assert world.client.post(f"{path}/break-glass", json=body, headers=ben).status_code == 201
    broken = event_id(stream.read())
    assert broken != held
    # The background thread that would write the end down sleeps for a minute in this world.
    assert event_id(stream.read()) == held
    stream.close()
    known = world.runtime.api.review.store.glasses_open()
    assert [glass.ended_us for glass in known] == [None]


def test_a_revoked_key_hears_no_more(world: World) -> None:
    world.model("streams-revoked")
    key = world.key(Scope.READ)
    stream = Stream(world, key)
    assert [bool(stream.read()), bool(stream.read())] == [True, True]
    key_id = key["authorization"].removeprefix("Bearer lzk_")[:8]
    assert world.client.request("DELETE", f"/v1/keys/{key_id}", headers=world.everything).status_code == 200
    world.runtime.api.keyring.refresh()
    world.model("streams-later")
    assert stream.read() is None
