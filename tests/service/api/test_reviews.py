"""What people decide together, through the API and the console's forms."""

import re

import httpx

from service.domain.records import Scope
from tests.service.api.conftest import World

ROWS = [
    "age,country,prediction",
    *(f"{20 + i % 40},{'DE' if i % 3 else 'FR'},{'ok' if i % 5 else 'fraud'}" for i in range(600)),
]
CSV = "\n".join(ROWS)
OLDER = "\n".join([ROWS[0], *(re.sub(r"^\d+", lambda age: str(int(age[0]) + 60), row) for row in ROWS[1:])])


def put(world: World, path: str, rows: str) -> httpx.Response:
    headers = {**world.everything, "content-type": "text/csv"}
    return world.client.put(f"{path}/baseline", content=rows, headers=headers)


def post(world: World, path: str, who: dict[str, str], **body: object) -> httpx.Response:
    return world.client.post(path, json=body, headers=who)


def gate(world: World, model: str) -> int:
    return world.client.get(f"/v1/gate/{model}/1").status_code


def test_a_baseline_waits_until_somebody_else_accepts_it(world: World) -> None:
    path = world.model("reviews-moved")
    first = put(world, path, CSV)
    assert (first.status_code, first.json()["status"]) == (200, "in_force")
    policy = {"baseline_review": "always"}
    answer = world.client.put(f"{path.partition('/versions')[0]}/policy", json=policy, headers=world.everything)
    assert answer.status_code == 200, answer.text
    offered = put(world, path, OLDER)
    assert (offered.status_code, offered.json()["status"], offered.json()["need"]) == (202, "proposed", 2)
    status = world.client.get(f"{path}/status", headers=world.everything).json()
    assert status["baselines_proposed"] == 1
    assert status["baseline_id"] != offered.json()["baseline_id"]
    listed = world.client.get(f"{path}/baselines", headers=world.everything).json()["baselines"]
    assert [one["status"] for one in listed] == ["proposed", "in_force"]

    accept = f"{path}/baselines/{listed[0]['baseline_id']}/accept"
    refused = post(world, accept, world.everything, reason="mine")
    assert refused.status_code == 403
    assert "somebody else with scope 'operate'" in refused.json()["detail"]
    assert post(world, accept, world.key(Scope.READ, name="rita"), reason="x").status_code == 403
    assert post(world, accept, world.key(Scope.OPERATE, name="ben")).status_code == 422
    done = post(world, accept, world.key(Scope.OPERATE, name="ben"), reason="the new sensor")
    assert (done.status_code, done.json()["status"], done.json()["signed_by"]) == (200, "in_force", ["ada", "ben"])
    shown = world.client.get(f"{path}/baseline", headers=world.everything).json()
    assert shown["baseline_id"] == offered.json()["baseline_id"]
    assert shown["supports_promise"] is True


def test_by_default_a_baseline_waits_that_would_make_a_large_change_normal_and_no_other(world: World) -> None:
    path = world.model("reviews-default")
    assert put(world, path, CSV).json()["status"] == "in_force"
    same = "\n".join([ROWS[0], *ROWS[7:], *ROWS[1:7]])
    assert put(world, path, same).json()["status"] == "in_force"
    offered = put(world, path, OLDER)
    assert (offered.status_code, offered.json()["status"]) == (202, "proposed")
    assert "age" in {warning["column"] for warning in offered.json()["warnings"] if warning["code"] == "moved"}


def test_broken_glass_opens_the_gate_at_once_and_shows_everywhere(world: World) -> None:
    path = world.model("reviews-glass")
    assert post(world, f"{path}/transitions", world.everything, event="quarantine", reason="x").status_code == 200
    assert gate(world, "reviews-glass") == 403
    refused = post(world, f"{path}/break-glass", world.everything, minutes=5, reason="x")
    assert refused.status_code == 403, "ada deployed it"
    ben = world.key(Scope.OPERATE, Scope.READ, name="ben")
    assert post(world, f"{path}/break-glass", ben, minutes=61, reason="x").status_code == 422
    broken = post(world, f"{path}/break-glass", ben, minutes=5, reason="the shop is closed")
    assert broken.status_code == 201
    assert gate(world, "reviews-glass") == 200
    status = world.client.get(f"{path}/status", headers=world.everything).json()
    assert (status["state"], status["break_glass"]["by"]) == ("quarantined", "ben")
    world.runtime.api.figures.refresh()
    metrics = world.client.get("/metrics", headers=world.everything).text
    assert 'lazaretto_break_glass{model="reviews-glass",version="1"} 1.0' in metrics
    assert 'lazaretto_break_glass_total{model="reviews-glass",version="1"} 1.0' in metrics
    assert post(world, f"{path}/break-glass", ben, minutes=5, reason="x").status_code == 409
    assert post(world, f"{path}/break-glass/end", world.everything, reason="enough").json()["open"] is False
    assert gate(world, "reviews-glass") == 403
    (listed,) = world.client.get(f"{path}/break-glass", headers=ben).json()["break_glass"]
    assert (listed["by"], listed["ended_by"]) == ("ben", "ada")


def test_a_review_is_given_to_people_and_an_old_view_is_refused(world: World) -> None:
    path = world.model("reviews-people")
    ben = world.key(Scope.OPERATE, Scope.READ, name="ben")
    post(world, f"{path}/transitions", ben, event="quarantine", reason="x")
    assert world.client.get(f"{path}/review", headers=ben).status_code == 404
    stale = post(world, f"{path}/transitions", ben, event="start_review", reason="x", change=0)
    assert stale.status_code == 409
    assert (stale.json()["state"], stale.json()["change"]) == ("quarantined", 1)
    assert "you saw number 0" in stale.json()["detail"]
    assert post(world, f"{path}/transitions", ben, event="start_review", reason="x", change=1).status_code == 200
    body = {"reviewers": ["ben"], "hours": 2, "reason": "on call", "change": 2}
    given = world.client.put(f"{path}/review", json=body, headers=ben)
    assert (given.status_code, given.json()["reviewers"], given.json()["overdue"]) == (200, ["ben"], False)
    status = world.client.get(f"{path}/status", headers=ben).json()
    assert status["review"]["reviewers"] == ["ben"]
    assert world.client.get(path, headers=ben).json()["change"] == 2
    wrong = world.client.put(f"{path}/review", json={**body, "reviewers": ["zoe"]}, headers=ben)
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["at"] == "reviewers[0]"


def test_the_page_has_a_form_for_each_and_says_what_is_going_on(world: World) -> None:
    path = world.model("reviews-page")
    put(world, path, CSV)
    post(world, f"{path}/transitions", world.everything, event="quarantine", reason="x")
    assert put(world, path, OLDER).status_code == 202
    ben = world.key(Scope.OPERATE, Scope.READ, name="ben")
    page = path.removeprefix("/v1")
    cookie, shown = sign_in(world, ben, page)
    assert "Break the glass: let it serve for some minutes" in shown
    assert "Proposed baseline" in shown
    done = submit(
        world, cookie, shown, f"{page}/together/break-glass", minutes="5", reason="the <b>shop</b>", change="1"
    )
    assert (done.status_code, done.headers["location"]) == (303, f"{page}?done=break-glass")
    shown = world.client.get(page, headers={"cookie": cookie}).text
    assert "Glass broken: ben lets this version serve until" in shown
    assert "the &lt;b&gt;shop&lt;/b&gt;" in shown
    found = re.search(r'name="baseline_id" value="(\w+)"', shown)
    assert found
    for action, fields in (("end-glass", {}), ("accept", {"baseline_id": found[1]})):
        done = submit(world, cookie, shown, f"{page}/together/{action}", reason="seen", **fields)
        assert (done.status_code, done.headers.get("location")) == (303, f"{page}?done={action}")
    stale = submit(world, cookie, shown, f"{page}/transitions", event="start_review", reason="x", change="0")
    assert stale.status_code == 409
    assert "has changed since you looked" in stale.text
    odd = submit(world, cookie, shown, f"{page}/together/break-glass", minutes="many", reason="x")
    assert (odd.status_code, "is no number" in odd.text) == (422, True)
    assert submit(world, cookie, shown, f"{page}/together/explode", reason="x").status_code == 404


def submit(world: World, cookie: str, page: str, path: str, **fields: str) -> httpx.Response:
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found, "the page has no form"
    return world.client.post(path, data={"form_token": found[1], **fields}, headers={"cookie": cookie})


def sign_in(world: World, who: dict[str, str], page: str) -> tuple[str, str]:
    """Return a browser's cookie and the page as it shows it."""
    login = world.client.get("/login")
    visitor = login.headers["set-cookie"].partition(";")[0]
    answer = submit(world, visitor, login.text, "/login", key=who["authorization"].removeprefix("Bearer "))
    assert answer.status_code == 303, answer.text
    cookie = answer.headers["set-cookie"].partition(";")[0]
    return cookie, world.client.get(page, headers={"cookie": cookie}).text
