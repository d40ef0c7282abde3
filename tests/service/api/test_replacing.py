"""What is replaced as a whole, policies and what is vouched for: who says what they saw undoes nobody's work."""

import pytest

from service.domain.records import Scope
from tests.service.api.conftest import World

CANARY = {"artefact": "a" * 64, "canaries": [{"key": "k", "prediction": "ok"}]}


@pytest.mark.parametrize(
    ("what", "first", "second"),
    [
        ("policy", {"reviewers": 3}, {"dry_run": True, "actions": {"latency": "record"}}),
        ("versions/1/vouched", CANARY, {"artefact": "b" * 64}),
    ],
)
def test_of_two_that_saw_the_same_the_second_is_told_what_the_first_did(
    world: World, what: str, first: dict[str, object], second: dict[str, object]
) -> None:
    name = f"replaced-{what[-3:]}"
    world.model(name)
    path = f"/v1/models/{name}/{what}"
    ada, ben = world.everything, world.key(Scope.ADMIN, name="ben")
    seen = world.client.get(path, headers=ada).headers["etag"]
    put = world.client.put(path, json=first, headers=ada | {"if-match": seen})
    assert put.status_code == 200, put.text
    now = put.headers["etag"]
    assert now == world.client.get(path, headers=ada).headers["etag"] != seen

    late = world.client.put(path, json=second, headers=ben | {"if-match": seen})
    assert late.status_code == 409
    body = late.json()
    assert body["etag"] == now
    assert [(one["by"]) for one in body["changes"]] == ["ada"]
    assert "changed since you looked" in body["detail"]
    assert "by ada at 20" in body["detail"]
    assert [place["at"] for place in body["errors"]] == ["If-Match"]
    assert world.client.get(path, headers=ada).headers["etag"] == now, "nothing was written"

    again = world.client.put(path, json=second, headers=ben | {"if-match": f'"{"0" * 32}", W/{now}'})
    assert again.status_code == 200, again.text
    for careless in ({}, {"if-match": "*"}):
        assert world.client.put(path, json=first, headers=ada | careless).status_code == 200


def test_a_policy_says_in_what_it_differs_from_the_one_that_was_seen(world: World) -> None:
    world.model("replaced-members")
    path, ada = "/v1/models/replaced-members/policy", world.everything
    seen = world.client.put(path, json={"reviewers": 3}, headers=ada).headers["etag"]
    changed = {"reviewers": 3, "dry_run": True, "actions": {"latency": "record"}}
    world.client.put(path, json=changed, headers=ada)
    late = world.client.put(path, json={"reviewers": 1}, headers=ada | {"if-match": seen}).json()
    assert late["members"] == ["actions.latency", "dry_run"]
    assert "differs in actions.latency, dry_run" in late["detail"]
    assert world.client.get(path, headers=ada).json()["reviewers"] == 3


def test_who_came_before_what_was_seen_has_replaced_nothing_of_it(world: World) -> None:
    world.model("replaced-since")
    path, ada = "/v1/models/replaced-since/policy", world.everything
    ben, cleo = (world.key(Scope.ADMIN, name=name) for name in ("ben", "cleo"))
    world.client.put(path, json={"reviewers": 3}, headers=ada)
    seen = world.client.put(path, json={"reviewers": 4}, headers=ben).headers["etag"]
    world.client.put(path, json={"reviewers": 5}, headers=cleo)
    late = world.client.put(path, json={"reviewers": 1}, headers=ada | {"if-match": seen}).json()
    assert [one["by"] for one in late["changes"]] == ["cleo"]
    assert (late["members"], "by ben" in late["detail"]) == (["reviewers"], False)

    path = "/v1/models/replaced-since/versions/1/vouched"
    world.client.put(path, json=CANARY, headers=ada)
    seen = world.client.put(path, json={"artefact": "b" * 64}, headers=ben).headers["etag"]
    world.client.put(path, json={"artefact": "c" * 64}, headers=cleo)
    late = world.client.put(path, json={"artefact": "d" * 64}, headers=ada | {"if-match": seen}).json()
    assert [(one["by"], one["detail"].partition(",")[0]) for one in late["changes"]] == [
        ("cleo", f"artefact {'c' * 64}")
    ]
    assert "by ben" not in late["detail"]


@pytest.mark.parametrize("tag", ["3", '"3"', '"abc', "", '"' + "g" * 32 + '"', ",".join(['"' + "0" * 32 + '"'] * 18)])
def test_a_tag_that_can_be_of_nothing_is_refused_with_its_place(world: World, tag: str) -> None:
    if not world.client.get("/v1/models/replaced-tag", headers=world.everything).is_success:
        world.model("replaced-tag")
    for what in ("policy", "versions/1/vouched"):
        headers = world.everything | {"if-match": tag}
        answer = world.client.put(f"/v1/models/replaced-tag/{what}", json={}, headers=headers)
        assert answer.status_code == 400, answer.text
        assert [place["at"] for place in answer.json()["errors"]] == ["If-Match"]


def test_what_somebody_else_may_not_read_is_in_no_refusal(world: World) -> None:
    """A key of one model learns who changed that one, and nothing of others."""
    for name in ("replaced-own", "replaced-other"):
        world.model(name)
    mine = world.key(Scope.ADMIN, models=frozenset({"replaced-own"}), name="mia")
    other = world.client.put("/v1/models/replaced-other/policy", json={}, headers=world.everything)
    assert other.status_code == 200
    refused = world.client.put("/v1/models/replaced-other/policy", json={}, headers=mine | {"if-match": '"x"'})
    assert refused.status_code in {403, 404}
    late = world.client.put(
        "/v1/models/replaced-own/policy", json={}, headers=mine | {"if-match": f'"{"0" * 32}"'}
    ).json()
    assert late["status"] == 409
    assert "changes" not in late
