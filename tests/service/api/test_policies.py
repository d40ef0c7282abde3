"""What a policy may say, and what is 422 with every place named."""

from typing import Any

import pytest

from tests.service.api.conftest import World


def test_a_policy_is_replaced_whole(world: World) -> None:
    world.model("ends-policy")
    headers = world.everything
    put = world.client.put("/v1/models/ends-policy/policy", json={"dry_run": True, "reviewers": 1}, headers=headers)
    assert put.json()["policy"]["dry_run"] is True
    put = world.client.put("/v1/models/ends-policy/policy", json={"fail": "closed"}, headers=headers)
    policy = world.client.get("/v1/models/ends-policy/policy", headers=headers).json()
    assert (policy["dry_run"], policy["reviewers"], policy["fail"]) == (False, 2, "closed")
    assert world.client.get("/v1/gate/ends-policy/9").status_code == 403


def test_a_policy_speaks_about_columns_and_groups(world: World) -> None:
    world.model("ends-columns")
    policy = {"columns": {"age": {"direction": "up", "weight": 2}}, "shares": {"prediction": 3, "quality": 0.5}}
    put = world.client.put("/v1/models/ends-columns/policy", json=policy, headers=world.everything)
    assert put.status_code == 200
    shown = world.client.get("/v1/models/ends-columns/policy", headers=world.everything).json()
    assert shown["columns"] == {"age": {"direction": "up", "minimum_effect": None, "weight": 2.0, "ignore": False}}
    assert shown["shares"] == policy["shares"]


@pytest.mark.parametrize(
    ("policy", "places"),
    [
        (
            {"columns": {"age": {"ignore": True, "weight": 2, "direction": "up"}}},
            ["age.direction", "age.ignore", "age.weight", "age.ignore"],
        ),
        ({"columns": {"age": {"weight": 0}, "country": {"colour": "red"}}}, ["age.weight", "country.colour"]),
        ({"columns": {"age": {"direction": "sideways"}}}, ["age.direction"]),
    ],
)
def test_contradictions_of_a_policy_are_422_with_both_places(
    world: World, policy: dict[str, Any], places: list[str]
) -> None:
    name = f"ends-bad-{len(places)}-{places[-1].replace('.', '-')}"
    refused = world.client.post(
        "/v1/models", json={"name": name, "owner": "risk", "policy": policy}, headers=world.everything
    )
    assert refused.status_code == 422
    assert [error["at"] for error in refused.json()["errors"]] == [f"policy.columns.{place}" for place in places]
    world.model(name)
    refused = world.client.put(f"/v1/models/{name}/policy", json=policy, headers=world.everything)
    assert [error["at"] for error in refused.json()["errors"]] == [f"columns.{place}" for place in places]


def test_a_budget_that_allows_an_alarm_at_every_tick_is_422_with_both_places(world: World) -> None:
    policy = {"budget": {"false_alarms": 24, "per_days": 1}, "tick_seconds": 3600}
    body = {"name": "ends-budget", "owner": "risk", "policy": policy}
    refused = world.client.post("/v1/models", json=body, headers=world.everything)
    assert refused.status_code == 422
    assert [error["at"] for error in refused.json()["errors"]] == ["policy.budget", "policy.tick_seconds"]
    policy["budget"] = {"false_alarms": 23.9, "per_days": 1}
    assert world.client.post("/v1/models", json=body, headers=world.everything).status_code == 201


def test_a_policy_speaks_about_traffic_and_silence_takes_nothing_away(world: World) -> None:
    world.model("ends-traffic")
    path = "/v1/models/ends-traffic/policy"
    policy = {"traffic": {"learn_days": 2, "stale_after_seconds": 600}, "shares": {"traffic": 1}}
    assert world.client.put(path, json=policy, headers=world.everything).status_code == 200
    shown = world.client.get(path, headers=world.everything).json()
    assert shown["traffic"] == {
        "learn_days": 2.0,
        "minimum_ratio": 1.5,
        "minimum_share": 0.01,
        "stale_after_seconds": 600.0,
        "duplicates": False,
    }
    assert (shown["actions"]["traffic"], shown["actions"]["stale"]) == ("notify", "notify")
    for bad, place in (
        ({"actions": {"stale": "quarantine"}}, "actions.stale"),
        ({"traffic": {"learn_days": 61}}, "traffic.learn_days"),
        ({"traffic": {"rate": True}}, "traffic.rate"),
    ):
        refused = world.client.put(path, json=bad, headers=world.everything)
        assert refused.status_code == 422
        assert [error["at"] for error in refused.json()["errors"]] == [place]


def test_a_policy_is_held_against_the_schemas_that_are_known(world: World) -> None:
    columns = {"agee": {"weight": 2}, "country": {"direction": "up"}, "score.later": {"weight": 2}}
    body = {"name": "ends-known", "owner": "risk", "policy": {"columns": columns, "shares": {"weather": 1}}}
    refused = world.client.post("/v1/models", json=body, headers=world.everything)
    assert [error["at"] for error in refused.json()["errors"]] == ["policy.shares.weather"]
    world.model("ends-known")
    refused = world.client.put("/v1/models/ends-known/policy", json={"columns": columns}, headers=world.everything)
    errors = {error["at"]: error["reason"] for error in refused.json()["errors"]}
    assert set(errors) == {"columns.agee", "columns.country.direction", "versions.1.schema.features.country.kind"}
    assert "the nearest is 'age'" in errors["columns.agee"]
