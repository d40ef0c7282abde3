"""How odd single requests were, as the API answers it; and the policy that asks for it."""

import json
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from service.api.status import Moment, status_of
from service.domain.ids import Micros
from service.domain.policy import Policy
from service.domain.records import Scope, Snapshot
from tests.fakes.clock import NOVEMBER
from tests.service.api.conftest import World
from tests.service.api.snapshots import a_snapshot
from tests.service.gate.fleets import a_version

ODD = {
    "at_us": NOVEMBER,
    "position": 7,
    "row": 3,
    "event_id": "e1",
    "principal": "a" * 32,
    "score": 0.9991,
    "bet": 3.5,
    "edited": False,
    "parts": {"rules": 0.001},
    "reasons": ["age is 200, not from 18 to 90"],
}
RULE = {"rule": "range of age", "kind": "range", "declared": True, "columns": ["age"], "reference": 0.001, "broken": 5}
SEEN: dict[str, Any] = {
    "baseline_id": "b",
    "parts": ["rules", "margin"],
    "reference_rows": 2_000,
    "resolution": 0.000999,
    "examined": 100,
    "unexamined": 20,
    "invalid": {"probabilities": 4},
    "histogram": [10] * 10,
    "over": [6, 2, 1],
    "rules": [RULE],
    "oddest": [ODD, ODD | {"event_id": None, "row": 4}],
}


def with_requests(seen: object = SEEN) -> Snapshot:
    plain = a_snapshot(1)
    return replace(plain, status=json.dumps(json.loads(plain.status) | {"requests": seen}))


@pytest.fixture
def path(world: World, request: pytest.FixtureRequest) -> str:
    """Register a version for one test, and return where its requests are told of."""
    return world.model(f"r{crc32(request.node.name.encode())}") + "/requests"


def test_odd_requests_are_answered_with_rules_and_counts(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(world.runtime.api.read), "snapshot", lambda *_: with_requests())
    shown = world.client.get(path, headers=world.everything).json()
    assert shown["over"] == {"0.95": 6, "0.99": 2, "0.999": 1}
    assert shown["invalid"] == {"probabilities": 4}
    assert shown["highest_score"] == pytest.approx(0.999001)
    (rule,) = shown["rules"]
    assert (rule["rule"], rule["declared"], rule["reference_share"], rule["share"]) == (
        "range of age",
        True,
        0.001,
        0.05,
    )
    first, second = shown["requests"]
    assert first["at"].startswith("2026-11-23T")
    assert (first["event_id"], first["principal"], first["score"]) == ("e1", "a" * 32, 0.9991)
    assert first["reasons"] == ["age is 200, not from 18 to 90"]
    assert (second["event_id"], second["row"]) == (None, 4)
    assert "bet" not in first
    assert len(world.client.get(path + "?limit=1", headers=world.everything).json()["requests"]) == 1


def test_where_no_request_is_looked_at_the_answer_says_why(world: World, path: str) -> None:
    answer = world.client.get(path, headers=world.everything)
    assert answer.status_code == 404
    assert "adversarial.requests" in answer.json()["detail"]
    assert world.client.get(path.replace("/versions/1/", "/versions/2/"), headers=world.everything).status_code == 404
    assert world.client.get(path, headers=world.key(Scope.INGEST)).status_code == 403


def test_the_status_counts_them() -> None:
    moment = Moment(now_us=Micros(0), stale_seconds=60.0, lag_seconds=0.0)
    status = status_of(a_version("fraud", "1"), Policy(), with_requests(), moment)
    assert status.requests is not None
    assert (status.requests.examined, status.requests.unexamined) == (100, 20)
    assert status.requests.invalid == {"probabilities": 4}
    assert status_of(a_version("fraud", "1"), Policy(), a_snapshot(1), moment).requests is None


@pytest.mark.parametrize(
    ("rule", "place", "said"),
    [
        ({"kind": "order", "columns": ["age"]}, "columns", "has 1, but a rule of kind 'order' is about 2"),
        ({"kind": "range", "columns": ["age"]}, "low", "a range has at least one end"),
        ({"kind": "range", "columns": ["age"], "low": 5, "high": 4}, "high", "is 4, below"),
        ({"kind": "integer", "columns": ["age"], "low": 5}, "low", "belongs to a rule of kind 'range'"),
        ({"kind": "equal", "columns": ["age", "age"]}, "columns[1]", "stands in the rule already"),
        ({"kind": "immutable", "columns": ["age"]}, "entity", "is missing"),
        ({"kind": "integer", "columns": ["agee"]}, "columns[0]", "the nearest is 'age'"),
        ({"kind": "integer", "columns": ["country"]}, "columns[0]", "which is categorical: it must be numeric"),
        ({"kind": "immutable", "columns": ["country"], "entity": "age"}, "entity", "it must be categorical"),
        ({"kind": "equal", "columns": ["age", "country"], "factor": 0}, "factor", "is 0"),
    ],
)
def test_rules_that_mean_nothing_are_refused_with_their_place(
    world: World, path: str, rule: dict[str, Any], place: str, said: str
) -> None:
    model = path.split("/versions", maxsplit=1)[0]
    policy = {"adversarial": {"requests": {"rules": [{"kind": "integer", "columns": ["age"]}, rule]}}}
    answer = world.client.put(f"{model}/policy", json=policy, headers=world.everything)
    assert answer.status_code == 422
    places = {one["at"]: one["reason"] for one in answer.json()["errors"]}
    assert said in places[f"adversarial.requests.rules[1].{place}"]


def test_a_baseline_put_under_such_a_policy_watches_requests_and_shows_its_columns(world: World, path: str) -> None:
    model, version = path.split("/versions", maxsplit=1)[0], path.removesuffix("/requests")
    policy = {"adversarial": {"requests": {"rules": [{"kind": "range", "columns": ["age"], "low": 18}]}}}
    assert world.client.put(f"{model}/policy", json=policy, headers=world.everything).status_code == 200
    shown = world.client.get(f"{model}/policy", headers=world.everything).json()
    assert shown["adversarial"]["requests"]["rules"] == [{"kind": "range", "columns": ["age"], "low": 18.0}]
    rng = np.random.default_rng(0)
    rows = [
        f"{age},{country},ok"
        for age, country in zip(rng.integers(18, 90, 600), rng.choice(["DE", "FR"], 600), strict=True)
    ]
    content = "age,country,prediction\n" + "\n".join(rows)
    headers = world.everything | {"content-type": "text/csv"}
    put = world.client.put(f"{version}/baseline", content=content.encode(), headers=headers)
    assert put.status_code == 200, put.text
    assert {"score.request", "score.rule"} <= set(put.json()["columns"])
    assert any(one["code"] == "requests" and "margin" in one["text"] for one in put.json()["warnings"])
