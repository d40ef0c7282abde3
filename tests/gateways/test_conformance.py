"""What four real gateways make of the gate's answers: allow, deny, fall back; the gate slow, broken, down.

Every configuration is the shipped one. Nothing here waits for a time: while the line to the gate is held, that there is
an answer at all proves the gateway's deadline.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from tests.gateways.conftest import CONTAINED, Hall
from tests.gateways.doubles import Mode
from tests.gateways.programs import NAMES, Gateway
from tests.integration.http.conftest import eventually

AWAY = [Mode.SLOW, Mode.BROKEN, Mode.DOWN]
CLOSED_STATUS = {name: dict.fromkeys(AWAY, 503) for name in ("envoy", "nginx", "caddy")} | {
    "traefik": {Mode.SLOW: 504, Mode.BROKEN: 500, Mode.DOWN: 502}
}
"""What clients get while the gate does not answer and the gateway fails closed, as docs/gateways.md has it."""
VARIANTS = ["closed", "opened"]


@pytest.fixture(autouse=True)
def line_is_fine(hall: Hall) -> Iterator[None]:
    """Leave the line to the gate as it was."""
    yield
    hall.line.set(Mode.FINE)


def variant(hall: Hall, which: str, name: str) -> Gateway:
    both: Mapping[str, Mapping[str, Gateway]] = {"closed": hall.closed, "opened": hall.opened}
    return both[which][name]


def told(answer: httpx.Response) -> dict[str, str]:
    """Return the headers that reached a model server."""
    headers: dict[str, str] = answer.json()["headers"]
    return headers


def no_word_of_the_principal(answer: httpx.Response) -> None:
    assert "x-gate-principal-state" not in answer.headers
    assert "contained" not in answer.text


@pytest.mark.parametrize("which", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_model_in_service_is_reached_with_the_gate_s_word_and_no_client_s(hall: Hall, name: str, which: str) -> None:
    answer = hall.ask(variant(hall, which, name), "fraud", who="bob", path="infer?x=1&y=%20")
    assert answer.status_code == 200
    got, headers = answer.json(), told(answer)
    assert (got["server"], got["method"], got["path"]) == ("models", "POST", "/v2/models/fraud/infer?x=1&y=%20")
    assert got["body"] == '{"inputs": [1, 2, 3]}'
    assert (headers["x-gate-state"], headers["x-gate-model"], headers["x-gate-version"]) == ("active", "fraud", "1")
    assert headers["x-gate-decision-id"]
    assert not headers.get("x-gate-route")
    assert not headers.get("x-gate-principal-state")
    assert headers.get("x-principal") in ({"bob"} if which == "opened" else {None, ""})
    no_word_of_the_principal(answer)


@pytest.mark.parametrize("which", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_model_in_quarantine_is_refused_with_the_documented_body(hall: Hall, name: str, which: str) -> None:
    answer = hall.ask(variant(hall, which, name), "held", path=f"infer?mark={name}{which}refused")
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "30"
    body = answer.json()
    assert (body["type"], body["status"]) == ("urn:lazaretto:problem:gate-closed", 403)
    assert (body["title"], body["state"]) == ("The gate is closed", "quarantined")
    assert body["decision_id"] == answer.headers["x-gate-decision-id"]
    assert (answer.headers["x-gate-state"], answer.headers["x-gate-model"]) == ("quarantined", "held")
    assert answer.headers["x-gate-route"] == "review"
    assert not hall.reached(f"mark={name}{which}refused")
    no_word_of_the_principal(answer)


@pytest.mark.parametrize("which", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_a_fallback_is_answered_by_it(hall: Hall, name: str, which: str) -> None:
    answer = hall.ask(variant(hall, which, name), "rerouted", who="bob")
    assert answer.status_code == 200
    got, headers = answer.json(), told(answer)
    assert (got["server"], got["method"], got["path"]) == ("fallback", "POST", "/v2/models/rerouted/infer?x=1")
    assert got["body"] == '{"inputs": [1, 2, 3]}'
    assert (headers["x-gate-route"], headers["x-gate-state"]) == ("fallback", "quarantined")
    no_word_of_the_principal(answer)


@pytest.mark.parametrize("which", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_no_header_of_a_client_leads_the_gate_to_another_model(hall: Hall, name: str, which: str) -> None:
    path = "/v2/models/fraud/infer"
    answer = hall.ask(
        variant(hall, which, name),
        "held",
        x_forwarded_uri=path,
        x_original_uri=path,
        x_original_url=path,
        x_rewrite_url=path,
        x_forwarded_method="GET",
    )
    assert answer.status_code == 403
    assert answer.json()["state"] == "quarantined"


@pytest.mark.parametrize(
    "path", ["..%2ffraud/infer", "infer;v=1", "%2e%2e/fraud/infer", "versions/1/../../fraud/infer"]
)
@pytest.mark.parametrize("name", NAMES)
def test_no_odd_path_leads_to_a_model_in_quarantine(hall: Hall, name: str, path: str) -> None:
    mark = f"mark={name}odd{sum(path.encode())}"
    answer = hall.ask(hall.closed[name], "held", path=f"{path}?{mark}")
    # A gateway may tidy the path up first: then it is the other model's for the gate and for the model server alike.
    if answer.status_code == 200:
        assert told(answer)["x-gate-model"] == "fraud"
        assert answer.json()["path"].startswith("/v2/models/fraud/infer")
    else:
        assert answer.status_code in {400, 403}
        assert not hall.reached(mark)


@pytest.mark.parametrize("mode", AWAY)
@pytest.mark.parametrize("name", NAMES)
def test_a_gateway_that_fails_closed_lets_nothing_through(hall: Hall, name: str, mode: Mode) -> None:
    hall.line.set(mode)
    for model in ("fraud", "held"):
        answer = hall.ask(hall.closed[name], model, path=f"infer?mark={name}{mode}")
        assert answer.status_code == CLOSED_STATUS[name][mode]
        no_word_of_the_principal(answer)
    assert not hall.reached(f"mark={name}{mode}")


@pytest.mark.parametrize("mode", AWAY)
@pytest.mark.parametrize("name", NAMES)
def test_a_gateway_that_fails_open_lets_all_through_without_a_word_of_the_gate(
    hall: Hall, name: str, mode: Mode
) -> None:
    hall.line.set(mode)
    for model in ("fraud", "held"):
        answer = hall.ask(hall.opened[name], model, who="bob")
        assert answer.status_code == 200
        assert (answer.json()["server"], answer.json()["body"]) == ("models", '{"inputs": [1, 2, 3]}')
        # Above all not the state that the client claims.
        assert not [key for key, value in told(answer).items() if key.startswith("x-gate-") and value]
        no_word_of_the_principal(answer)


@pytest.mark.parametrize("name", NAMES)
def test_a_gateway_obeys_again_once_the_gate_is_back(hall: Hall, name: str) -> None:
    for mode in AWAY:
        hall.line.set(mode)
        hall.ask(hall.opened[name], "held")
        hall.line.set(Mode.FINE)
        eventually(lambda: hall.ask(hall.opened[name], "held").status_code == 403, f"{name} asks again after {mode}")
        eventually(lambda: hall.ask(hall.closed[name], "fraud").status_code == 200, f"{name} goes on after {mode}")


@pytest.mark.parametrize("which", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_fails_is_not_taken_for_the_gate(hall: Hall, name: str, which: str) -> None:
    mark = f"mark={name}{which}fails"
    answer = hall.ask(variant(hall, which, name), "fraud", path=f"infer/fails?{mark}")
    assert answer.status_code in {502, 503, 504}
    # A gateway may try again on a new connection; none may take the way that is for a gate that is away.
    assert "gate-away" not in answer.text
    assert 1 <= sum(mark in path for path in hall.models.seen) <= 2


@pytest.mark.parametrize("name", NAMES)
def test_a_contained_principal_is_refused_where_the_policy_enforces_it(hall: Hall, name: str) -> None:
    gateway = hall.opened[name]
    answer = hall.ask(gateway, "enforced", who=CONTAINED, path=f"infer?mark={name}contained")
    assert answer.status_code == 403
    assert answer.headers["x-gate-route"] == "review"
    assert answer.headers["retry-after"] == "3600"
    assert answer.json()["type"] == "urn:lazaretto:problem:gate-closed"
    assert not hall.reached(f"mark={name}contained")
    no_word_of_the_principal(answer)
    assert hall.ask(gateway, "enforced", who="bob").status_code == 200
    # Where it is only advice nobody is told, and everybody is let through.
    advised = hall.ask(gateway, "advised", who=CONTAINED)
    assert advised.status_code == 200
    assert not told(advised).get("x-gate-principal-state")
    no_word_of_the_principal(advised)


@pytest.mark.parametrize("name", NAMES)
def test_a_client_cannot_name_another_principal(hall: Hall, name: str) -> None:
    answer = hall.ask(hall.opened[name], "enforced", who=CONTAINED, x_principal="bob")
    assert answer.status_code == 403
    answer = hall.ask(hall.closed[name], "enforced", x_principal=CONTAINED)
    assert answer.status_code == 200, "a gateway that authenticates nobody names nobody"


@pytest.mark.parametrize("name", NAMES)
def test_many_requests_at_once_get_each_its_own_answer(hall: Hall, name: str) -> None:
    wanted = {"fraud": 200, "held": 403, "rerouted": 200}
    models = [model for _ in range(8) for model in wanted]

    def asked(model: str) -> httpx.Response:
        """Ask again where a gate on a busy machine was late: that closes this gateway for the request, as it must."""
        answer = hall.ask(hall.closed[name], model)
        for _ in range(10):
            if answer.status_code != CLOSED_STATUS[name][Mode.SLOW]:
                break
            answer = hall.ask(hall.closed[name], model)
        return answer

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(asked, models))
    assert [answer.status_code for answer in answers] == [wanted[model] for model in models]
    assert {a.json()["server"] for a, m in zip(answers, models, strict=True) if m == "rerouted"} == {"fallback"}


def test_the_first_refusal_at_a_gateway_is_on_record(hall: Hall) -> None:
    hall.ask(hall.closed["envoy"], "held")
    hall.ask(hall.closed["envoy"], "rerouted")

    def enforced(model: str) -> dict[str, object]:
        found: dict[str, object] = hall.api.get(f"/v1/models/{model}/versions/1/status").json()["enforcement"]
        return found if found["enforced_at"] else {}

    for model in ("held", "rerouted"):
        found = eventually(partial(enforced, model), f"the refusal of {model} is written down")
        assert isinstance(found["seconds"], float)
        assert found["seconds"] >= 0
        assert found["decision_id"]
        assert found["ended_at"] is None
    wanted = 'lazaretto_enforcement_seconds{model="held",version="1"}'
    eventually(lambda: wanted in hall.api.get("/metrics").text, "the metric shows it")
