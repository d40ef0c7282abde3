"""Who may do what: every role on every route of the router, and the documentation's word on it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.api.deps import Require
from service.app import ROUTERS
from service.domain.records import Scope
from tests.service.api.conftest import World

DOCS = Path(__file__).parents[3] / "docs" / "api.md"
OPEN = {
    "/v1/gate",
    "/v1/gate/{rest}",
    "/v1/gate-route",
    "/v1/gate-route/{rest}",
    "/metrics",
    "/healthz",
    "/readyz",
    "/openapi.json",
}
PARTS = {
    "model": "roles",
    "version": "1",
    "principal": "0" * 32,
    "incident_id": "none",
    "window_id": "none",
    "baseline_id": "none",
    "report_id": "none",
    "key_id": "none",
    "channel": "log",
    "rest:path": "roles",
    "key:path": "model.roles.serving",
}


def required(dependant: Dependant) -> Iterator[Scope]:
    for inner in dependant.dependencies:
        if isinstance(inner.call, Require):
            yield inner.call.scope
        yield from required(inner)


def all_routes() -> list[tuple[str, str, Scope | None]]:
    """Return method, path and scope of every route of the API."""
    found: list[tuple[str, str, Scope | None]] = []
    for route in (route for router in ROUTERS for route in router.routes):
        if isinstance(route, APIRoute):
            scope = next(required(route.dependant), None)
            found += [(method, route.path, scope) for method in sorted(route.methods or ()) if route.include_in_schema]
    return found


def documented() -> dict[tuple[str, str], Scope | None]:
    rows = re.findall(r"^\| `(\w+) (/\S+)` \| (\S+) \|", DOCS.read_text(), re.MULTILINE)
    return {(method, path): None if scope == "-" else Scope(scope) for method, path, scope in rows}


def test_the_documentation_lists_every_route_with_its_scope() -> None:
    actual = {}
    for method, path, scope in all_routes():
        gate = path.startswith("/v1/gate")
        actual["ANY" if gate else method, path.replace(":path}", "}")] = scope
    actual["GET", "/openapi.json"] = None
    assert actual == documented()


def test_only_what_is_meant_to_be_open_is_open() -> None:
    found = {path.replace(":path", "") for _, path, scope in all_routes() if scope is None}
    assert found <= OPEN


@pytest.mark.parametrize("role", [None, *Scope])
def test_each_role_reaches_exactly_its_routes(
    world: World, role: Scope | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stream ends at once in a process that has been asked to end.
    monkeypatch.setattr(world.runtime.api.ending, "is_set", lambda: True)
    headers = world.key(role) if role else {}
    for method, template, scope in all_routes():
        path = re.sub(r"{([^}]+)}", lambda part: PARTS[part.group(1)], template)
        answer = world.client.request(method, path, headers=headers, content=b"")
        where = f"{role} {method} {template}: {answer.status_code} {answer.text[:200]}"
        if scope is None:
            assert answer.status_code == 200, where
        elif role is None:
            assert answer.status_code == 401, where
            assert answer.headers["www-authenticate"].startswith("Bearer")
        elif role is scope or (role is Scope.ADMIN and scope is Scope.READ):
            assert answer.status_code not in {401, 403}, where
            assert answer.status_code < 500, where
        else:
            assert answer.status_code == 403, where
            assert f"scope '{scope}'" in answer.json()["detail"]


def test_a_key_for_one_model_sees_and_touches_no_other(world: World) -> None:
    own, other = world.model("limited-own"), world.model("limited-other")
    headers = world.key(*Scope, models=frozenset({"limited-own"}))
    listed = world.client.get("/v1/models", headers=headers).json()["models"]
    assert [model["name"] for model in listed] == ["limited-own"]
    assert world.client.get(f"{own}/status", headers=headers).status_code == 200
    for path in (other, "/v1/models/limited-none/versions/1"):
        assert world.client.get(f"{path}/status", headers=headers).status_code == 403
        assert world.client.post(f"{path}/events", headers=headers, json={}).status_code == 403
        assert world.client.post(f"{path}/transitions", headers=headers, json={}).status_code == 403
    assert world.client.post("/v1/models", headers=headers, json={"name": "x", "owner": "y"}).status_code == 403
    assert world.client.post("/v1/keys", headers=headers, json={"name": "x", "scopes": ["admin"]}).status_code == 403
