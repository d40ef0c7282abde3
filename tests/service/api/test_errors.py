"""What bad input gets: every status the contract names, as a problem that names the place."""

import gzip
from typing import Any

import httpx
import pytest

from tests.service.api.conftest import EVENTS, SCHEMA, World


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "errors"} <= set(body)
    assert body["status"] == status
    return body


def test_an_unknown_model_or_version_is_404_with_the_nearest_names(world: World) -> None:
    path = world.model("errors-fraud", "2026-11-02")
    headers = world.everything
    for call in (world.client.get, world.client.post):
        end = "status" if call == world.client.get else "events"
        wrong = problem(call(f"/v1/models/errors-fruad/versions/1/{end}", headers=headers), 404)
        assert "errors-fraud" in wrong["nearest"]
        wrong = problem(call(f"/v1/models/errors-fraud/versions/2026-11-03/{end}", headers=headers), 404)
        assert wrong["nearest"] == ["2026-11-02"]
        assert "2026-11-02" in wrong["detail"]
    assert world.client.get(f"{path}/status", headers=headers).status_code == 200


def test_an_unknown_path_and_method_are_problems_too(world: World) -> None:
    assert "/v1/models" in problem(world.client.get("/v1/model"), 404)["nearest"]
    answer = world.client.request("DELETE", "/v1/models")
    problem(answer, 405)
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("where", ["/v1/models", "events", "labels"])
def test_malformed_json_is_400_with_the_byte_offset(world: World, where: str) -> None:
    path = where if where.startswith("/") else f"{world.model(f'errors-json-{where}')}/{where}"
    headers = {**world.everything, "content-type": "application/json"}
    body = problem(world.client.post(path, content=b'{"name": }', headers=headers), 400)
    assert "byte 9" in body["detail"]
    assert body["offset"] == 9


def test_a_wrong_envelope_is_422_with_every_bad_place(world: World) -> None:
    body = problem(world.client.post("/v1/models", json={"name": 1, "oops": 2}, headers=world.everything), 422)
    assert {place["at"] for place in body["errors"]} == {"name", "owner", "oops"}


def test_a_bad_schema_names_its_places_from_the_body_on(world: World) -> None:
    world.model("errors-schema")
    features = [{"name": "a", "kind": "numeric"}, {"name": "b", "kind": "embedding"}, {"name": "c", "kind": "colour"}]
    schema = {"features": features, "prediction": {"kind": "class"}}
    body = {"version": "2", "schema": schema}
    answer = world.client.post("/v1/models/errors-schema/versions", json=body, headers=world.everything)
    places = {place["at"] for place in problem(answer, 422)["errors"]}
    assert "schema.features[2].kind" in places


def test_what_a_type_cannot_say_is_told_together_with_what_it_can(world: World) -> None:
    body: dict[str, Any] = {"name": "a b", "owner": " ", "oops": 2, "policy": {"reviewers": 0}}
    answer = world.client.post("/v1/models", json=body, headers=world.everything)
    places = {place["at"] for place in problem(answer, 422)["errors"]}
    assert places == {"name", "owner", "oops", "policy.reviewers"}
    world.model("errors-together")
    schema = {"features": [{"name": "c", "kind": "colour"}], "prediction": {"kind": "class"}}
    for body, also in (({"schema": schema}, "version"), ({"schema": schema, "version": "a b"}, "version")):
        answer = world.client.post("/v1/models/errors-together/versions", json=body, headers=world.everything)
        assert {place["at"] for place in problem(answer, 422)["errors"]} == {"schema.features[0].kind", also}
    body = {"name": "", "scopes": ["read", "root", "boss"]}
    answer = world.client.post("/v1/keys", json=body, headers=world.everything)
    assert {place["at"] for place in problem(answer, 422)["errors"]} == {"name", "scopes[1]", "scopes[2]"}


@pytest.mark.parametrize("content_type", ["application/xml", "text/plain; charset=utf-8", "application/x-ndjson"])
def test_a_small_body_of_another_type_is_415_and_curls_default_is_not(world: World, content_type: str) -> None:
    body = b'{"name": "errors-415", "owner": "risk"}'
    headers = {**world.everything, "content-type": content_type}
    assert "application/json" in problem(world.client.post("/v1/models", content=body, headers=headers), 415)["detail"]
    headers["content-type"] = "application/x-www-form-urlencoded"
    assert world.client.post("/v1/models", content=body, headers=headers).status_code in {201, 409}


def test_a_bad_event_envelope_names_the_event(world: World) -> None:
    path = world.model("errors-envelope")
    body = {"events": [EVENTS["events"][0], {"features": 3}, "x"]}
    answer = world.client.post(f"{path}/events", json=body, headers=world.everything)
    assert answer.status_code in {202, 422}
    places = {place["at"].split(".")[0] for place in answer.json()["errors"]}
    assert {"events[1]", "events[2]"} <= places


def test_too_large_a_body_is_413_whether_or_not_it_says_so(world: World) -> None:
    path = f"{world.model('errors-large')}/events"
    headers = {**world.everything, "content-type": "application/json"}
    body = problem(world.client.post(path, content=b" " * 100_001, headers=headers), 413)
    assert (body["limit"], body["value"]) == (100_000, 100_001)
    assert body["errors"] == [{"at": "body", "reason": "has 100001 bytes; limit body_bytes_max: 100000"}]

    async def chunks() -> Any:
        for _ in range(30):
            yield b" " * 10_000

    problem(world.client.post(path, content=chunks(), headers=headers), 413)
    body = problem(world.client.post("/v1/models", content=b" " * 10_001, headers=headers), 413)
    assert "limit admin_bytes_max: 10000" in body["detail"]
    csv = {**world.everything, "content-type": "text/csv"}
    body = problem(world.client.put(path.replace("events", "baseline"), content=b"a" * 200_001, headers=csv), 413)
    assert body["detail"] == "the body has 200001 bytes; limit baseline_bytes_max: 200000"


def test_a_gzip_bomb_is_413(world: World) -> None:
    path = f"{world.model('errors-bomb')}/events"
    headers = {**world.everything, "content-type": "application/json", "content-encoding": "gzip"}
    problem(world.client.post(path, content=gzip.compress(b" " * 80_000_000), headers=headers), 413)


@pytest.mark.parametrize(
    ("end", "extra"),
    [
        ("events", {"content-type": "application/xml"}),
        ("events", {"content-type": "application/json", "content-encoding": "br"}),
        ("labels", {"content-type": "text/html"}),
    ],
)
def test_an_unsupported_type_is_415_naming_what_is_supported(world: World, end: str, extra: dict[str, str]) -> None:
    name = f"errors-{end}-{len(extra)}"
    body = problem(
        world.client.post(f"{world.model(name)}/{end}", content=b"x", headers={**world.everything, **extra}), 415
    )
    assert "supported" in body["detail"]


def test_an_unsupported_baseline_is_415_before_it_is_read(world: World) -> None:
    path = f"{world.model('errors-baseline-type')}/baseline"
    for extra in ({"content-type": "image/png"}, {"content-type": "text/csv", "content-encoding": "br"}):
        body = problem(world.client.put(path, content=b"x", headers={**world.everything, **extra}), 415)
        assert "supported" in body["detail"]


@pytest.mark.parametrize("value", ["Bearer lzk_nonsense", "Bearer ", "Digest x"])
def test_a_bad_key_is_401_and_says_how_to_present_one(world: World, value: str) -> None:
    path = f"{world.model('errors-key')}/events" if value == "Bearer " else "/v1/models"
    answer = world.client.post(path, json=EVENTS, headers={"authorization": value})
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == 'Bearer realm="lazaretto"'


def test_what_exists_already_is_409(world: World) -> None:
    world.model("errors-twice")
    headers = world.everything
    problem(world.client.post("/v1/models", json={"name": "errors-twice", "owner": "risk"}, headers=headers), 409)
    other = {**SCHEMA, "features": [{"name": "age", "kind": "categorical"}]}
    versions = "/v1/models/errors-twice/versions"
    body = problem(world.client.post(versions, json={"version": "1", "schema": other}, headers=headers), 409)
    assert "features.age" in body["detail"]
    (kind, lacking) = body["errors"]
    assert kind == {
        "at": "schema.features[0].kind",
        "reason": "is 'categorical', but the version has 'numeric'",
    }
    assert lacking == {"at": "schema.features", "reason": "lacks 'country', which the version has"}
    features: list[Any] = list(SCHEMA["features"])
    more = {**SCHEMA, "features": [*features, {"name": "new", "kind": "numeric"}]}
    turned = {**SCHEMA, "features": features[::-1]}
    classes = {**SCHEMA, "prediction": {"kind": "class", "classes": ["x"]}}
    number = len(features)
    for schema, at in (
        (more, f"schema.features[{number}].name"),
        (turned, "schema.features"),
        (classes, "schema.prediction.classes"),
    ):
        body = problem(world.client.post(versions, json={"version": "1", "schema": schema}, headers=headers), 409)
        assert [place["at"] for place in body["errors"]] == [at]
    assert world.client.post(versions, json={"version": "1", "schema": SCHEMA}, headers=world.everything).is_success


def test_an_impossible_event_is_409_and_names_the_possible_ones(world: World) -> None:
    path = f"{world.model('errors-event')}/transitions"
    body = {"event": "release", "reason": "it is fine"}
    answer = problem(world.client.post(path, json=body, headers=world.everything), 409)
    assert answer["state"] == "active"
    assert answer["possible"] == ["suspect", "quarantine", "retire"]
    assert [place["at"] for place in answer["errors"]] == ["event"]


def test_the_same_idempotency_key_with_another_body_is_409(world: World) -> None:
    path = f"{world.model('errors-idempotent')}/events"
    headers = {**world.everything, "idempotency-key": "batch-1"}
    first = world.client.post(path, json=EVENTS, headers=headers)
    again = world.client.post(path, json=EVENTS, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["batch_id"] == first.json()["batch_id"]
    assert (first.json()["duplicates"], again.json()["duplicates"]) == (0, 1)
    body = problem(world.client.post(path, json={"events": [{"features": {"age": 1}}]}, headers=headers), 409)
    assert body["errors"] == [{"at": "header Idempotency-Key", "reason": "was used before with another body"}]


@pytest.mark.parametrize("key", ["", "x" * 201, "caf\xe9"])
def test_a_bad_idempotency_key_is_400(world: World, key: str) -> None:
    path = f"{world.model(f'errors-idem-{len(key)}')}/events"
    headers = [*world.everything.items(), ("idempotency-key", key.encode("latin-1"))]
    problem(world.client.post(path, json=EVENTS, headers=headers), 400)


def test_a_bad_parameter_is_422_with_its_name(world: World) -> None:
    for query, at, reason in (
        ("limit=0", "limit", "must be at least 1, not 0"),
        ("limit=10001", "limit", "must be at most 10000, not 10001"),
        ("limit=many", "limit", "must be a whole number, not 'many'"),
        ("limit=1.5", "limit", "must be a whole number, not '1.5'"),
        ("limit=", "limit", "must be a whole number, not ''"),
        ("status=ajar", "status", "must be one of open, acknowledged, resolved, not 'ajar'"),
        (f"status={'x' * 500}", "status", f"must be one of open, acknowledged, resolved, not '{'x' * 59}..."),
    ):
        body = problem(world.client.get(f"/v1/incidents?{query}", headers=world.everything), 422)
        assert body["errors"] == [{"at": f"query.{at}", "reason": reason}]
    path = f"{world.model('errors-history')}/history"
    body = problem(world.client.get(f"{path}?from=soon", headers=world.everything), 422)
    assert body["errors"] == [{"at": "from", "reason": "must be ISO 8601, as 2026-11-23T10:00:00Z, not 'soon'"}]
    body = problem(world.client.get(f"{path}?window=1y", headers=world.everything), 422)
    assert body["errors"] == [{"at": "query.window", "reason": "must be one of 1m, 5m, 1h, 1d, not '1y'"}]


def test_a_baseline_that_does_not_fit_the_schema_is_422_naming_both_sides(world: World) -> None:
    path = f"{world.model('errors-baseline')}/baseline"
    headers = {**world.everything, "content-type": "text/csv"}
    body = problem(world.client.put(path, content=b"height,town\n1,x\n2,y\n", headers=headers), 422)
    told = f"{body['detail']} {body['errors']}"
    assert "age" in told
    assert "height" in told
    uploads = world.runtime.api.settings.uploads_dir
    assert list(uploads.iterdir()) == []


def test_every_answer_has_a_request_id_and_a_sane_one_is_kept(world: World) -> None:
    path = f"{world.model('errors-id')}/events"
    for method, where in (("GET", "/v1/models"), ("POST", path), ("GET", "/nowhere")):
        given = world.client.request(method, where, headers={"x-request-id": "trace-1:a.b"})
        assert given.headers["x-request-id"] == "trace-1:a.b"
        made = world.client.request(method, where, headers={"x-request-id": "<script>"})
        assert made.headers["x-request-id"].isalnum()
