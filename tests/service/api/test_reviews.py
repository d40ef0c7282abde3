"""What people decide together, through the API and the console's forms."""

import re

import httpx
import pytest

from service.api import drafting
from service.api.views import iso
from service.domain.errors import Unavailable
from service.domain.records import BaselineRecord, Scope
from service.reports.desk import ReportDesk
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


def older_events(number: int) -> dict[str, object]:
    ages = [80 + i % 40 for i in range(number)]
    features = {"age": ages, "country": ["DE" if i % 3 else "FR" for i in range(number)]}
    return {"columns": {"features": features, "prediction": ["ok" if i % 5 else "fraud" for i in range(number)]}}


def test_what_has_changed_becomes_the_new_normal_once_others_have_signed_it(world: World) -> None:
    path = world.model("reviews-draft")
    model = path.partition("/versions")[0]
    draft = f"{path}/baselines/draft"
    ben = world.key(Scope.OPERATE, Scope.READ, name="ben")
    early = post(world, draft, ben, reason="x", start="2026-01-01T00:00:00Z")
    assert (early.status_code, "put the first one" in early.json()["detail"]) == (409, True)
    put(world, path, CSV)
    # Even where a new baseline waits for nobody, a draft does.
    never = world.client.put(f"{model}/policy", json={"baseline_review": "never"}, headers=world.everything)
    assert never.status_code == 200
    unknown = post(world, draft, ben, reason="x")
    assert (unknown.status_code, unknown.json()["errors"][0]["at"]) == (422, "start")
    assert "no alert is open" in unknown.json()["errors"][0]["reason"]
    start = iso(world.runtime.api.clock.now_us())
    nothing = post(world, draft, ben, reason="x", start=start)
    assert (nothing.status_code, "has no events" in nothing.json()["detail"]) == (422, True)
    sent = post(world, f"{path}/events", world.everything, **older_events(600))
    assert sent.status_code == 202, sent.text

    made = post(world, draft, ben, reason="the new sensor", start=start)
    assert (made.status_code, made.json()["status"], made.json()["need"]) == (202, "proposed", 2), made.text
    assert (made.json()["rows"], made.json()["created_by"]) == (600, "ben")
    told = {(warning["code"], warning["column"]) for warning in made.json()["warnings"]}
    assert {("draft", ""), ("moved", "age")} <= told
    newest = world.runtime.store.read.audit(1)[0]
    assert (newest.action, newest.actor) == ("baseline.propose", "ben")
    assert newest.detail.endswith("drafted from the log: the new sensor")
    accept = f"{path}/baselines/{made.json()['baseline_id']}/accept"
    assert post(world, accept, ben, reason="mine").status_code == 403
    done = post(world, accept, world.key(Scope.OPERATE, name="cleo"), reason="seen it, too")
    assert (done.status_code, done.json()["status"], done.json()["signed_by"]) == (200, "in_force", ["ben", "cleo"])
    shown = world.client.get(f"{path}/baseline", headers=ben).json()
    assert (shown["rows"], shown["supports_promise"]) == (600, True)


@pytest.mark.parametrize("meanwhile", [False, True])
def test_nothing_new_is_normal_for_a_retired_version(
    world: World, meanwhile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was retired before somebody asked for a draft, or while it was being made."""
    path = world.model(f"reviews-retired-{meanwhile}".lower())
    put(world, path, CSV)
    start = iso(world.runtime.api.clock.now_us())
    assert post(world, f"{path}/events", world.everything, **older_events(600)).status_code == 202
    assert post(world, f"{path}/transitions", world.everything, event="retire", reason="x").status_code == 200
    if meanwhile:
        monkeypatch.setattr(drafting, "check_draft", lambda _: None)
    refused = post(world, f"{path}/baselines/draft", world.everything, reason="the new sensor", start=start)
    assert (refused.status_code, refused.json()["state"]) == (409, "retired"), refused.text
    assert "is retired, and nothing judges it any more" in refused.json()["detail"]
    actions = [entry.action for entry in world.runtime.store.read.audit(2)]
    assert "baseline.propose" not in actions


def test_a_baseline_stands_though_the_rows_for_reports_could_not_be_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told that the store was away asks again: then two baselines would wait."""
    path = world.model("reviews-away")
    policy = {"reports": {"reference_rows": 50}}
    kept = world.client.put(f"{path.partition('/versions')[0]}/policy", json=policy, headers=world.everything)
    assert kept.status_code == 200, kept.text
    refused: list[str] = []

    def away(_desk: ReportDesk, record: BaselineRecord, *_: object) -> bool:
        refused.append(record.id)
        raise Unavailable("the state store cannot be written: locked")

    monkeypatch.setattr(ReportDesk, "keep_reference", away)
    first = put(world, path, CSV)
    assert (first.status_code, first.json()["status"]) == (200, "in_force"), first.text
    start = iso(world.runtime.api.clock.now_us())
    assert post(world, f"{path}/events", world.everything, **older_events(600)).status_code == 202
    made = post(world, f"{path}/baselines/draft", world.everything, reason="the new sensor", start=start)
    assert (made.status_code, made.json()["status"]) == (202, "proposed"), made.text
    assert refused == [first.json()["baseline_id"], made.json()["baseline_id"]]


def test_a_draft_needs_a_stretch_that_makes_sense(world: World) -> None:
    path = world.model("reviews-stretch")
    put(world, path, CSV)
    draft = f"{path}/baselines/draft"
    for body, place in (
        ({"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "end"),
        ({"start": "2026-01-02T00:00:00Z", "end": "2999-01-01T00:00:00Z"}, "end"),
        ({"start": "2999-01-02T00:00:00Z"}, "end"),
        ({"start": "yesterday"}, "start"),
        ({"start": "2026-01-02T00:00:00Z", "reason": ""}, "reason"),
    ):
        answer = post(world, draft, world.everything, **({"reason": "x"} | body))
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, place), answer.text
    assert post(world, draft, world.key(Scope.READ), reason="x").status_code == 403


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


def test_whoever_comes_too_late_is_told_who_was_faster_and_why(world: World) -> None:
    path = world.model("reviews-late")
    ben, cleo = (world.key(Scope.OPERATE, Scope.READ, name=name) for name in ("ben", "cleo"))
    post(world, f"{path}/transitions", ben, event="quarantine", reason="odd ages")
    post(world, f"{path}/transitions", ben, event="start_review", reason="I look")
    # Each action on the view of before, and one that the state does not allow any more.
    late = [
        post(world, f"{path}/transitions", cleo, event="suspect", reason="x", change=0),
        post(world, f"{path}/break-glass", cleo, minutes=5, reason="x", change=1),
        world.client.put(f"{path}/review", json={"reviewers": ["ben"], "reason": "x", "change": 1}, headers=cleo),
        post(world, f"{path}/transitions", cleo, event="start_review", reason="x"),
        post(world, f"{path}/break-glass/end", cleo, reason="x"),
    ]
    for answer, changes in zip(late, ([1, 2], [2], [2], [2], [2]), strict=True):
        told = answer.json()
        assert (answer.status_code, told["state"], told["change"]) == (409, "under_review", 2), answer.text
        assert [one["change"] for one in told["changes"]] == changes
        assert {key: told["changes"][-1][key] for key in ("event", "by", "reason")} == {
            "event": "start_review",
            "by": "ben",
            "reason": "I look",
        }
        assert "start_review by ben at 20" in told["detail"]
    assert "quarantine by ben at" in late[0].json()["detail"]


def test_a_right_that_is_missing_is_somebody_s_who_is_named(world: World) -> None:
    path = world.model("reviews-rights")
    world.key(Scope.OPERATE, name="otto")
    world.key(Scope.OPERATE, name="elsewhere", models=frozenset({"another"}))
    world.key(Scope.ADMIN, name="ada-admin")
    reader, sender = world.key(Scope.READ, name="rita"), world.key(Scope.INGEST, name="sid")
    actions = [
        ("POST", f"{path}/transitions", "operate"),
        ("POST", f"{path}/break-glass", "operate"),
        ("POST", f"{path}/break-glass/end", "operate"),
        ("PUT", f"{path}/review", "operate"),
        ("POST", f"{path}/baselines/draft", "operate"),
        ("POST", f"{path}/baselines/x/accept", "operate"),
        ("POST", f"{path}/baselines/x/refuse", "operate"),
        ("POST", f"{path}/principals/{'0' * 32}/lift", "operate"),
        ("POST", "/v1/models/reviews-rights/maintenance", "operate"),
        ("POST", "/v1/incidents/none/resolve", "operate"),
        ("PUT", f"{path}/baseline", "admin"),
        ("PUT", "/v1/models/reviews-rights/policy", "admin"),
    ]
    for method, where, scope in actions:
        answer = world.client.request(method, where, headers=reader, content=b"")
        assert (answer.status_code, answer.json()["needs"]) == (403, scope), where
        holders = answer.json()["holders"]
        assert ("otto" if scope == "operate" else "ada-admin") in holders, where
        assert ", ".join(holders) in answer.json()["detail"]
        # What is limited to another model is of no help here; without a model in the path it may be.
        assert ("elsewhere" in holders) == (scope == "operate" and "incidents" in where), where
        told = world.client.request(method, where, headers=sender, content=b"").json()
        assert (told["holders"], "held by" in told["detail"]) == ([], False)


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
