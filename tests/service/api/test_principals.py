"""Contained principals over the API, incidents as kill chains, and what the gate says: from the worker's commit on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import msgspec
import pytest

from service.adversarial import judge_use
from service.decisions import Decisions
from service.domain.evaluation import UseFound
from service.domain.ids import Micros, Position, VersionId
from service.domain.records import PrincipalFinding, Scope
from service.pipeline import Memory, WorkStages, commit
from service.ports import LogEntry
from service.store.worker import SqlWorkerStore
from tests.service.api.conftest import World
from tests.service.uses import finding, intent

HEADER = "x-gate-principal-state"
NUMBERS = count(1)


class NoLog:
    """A log that nobody reads."""

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> list[LogEntry]:  # noqa: ARG002 - a port
        return []

    def head(self) -> Position:
        return Position(0)


@dataclass
class Attacked:
    """A version, and the worker that judges what is found of it."""

    world: World
    path: str
    model: str
    store: SqlWorkerStore

    def pseudonym(self, name: str) -> str:
        return self.world.runtime.api.office.deidentifier.pseudonym(name)

    def find(self, *found: PrincipalFinding) -> None:
        """Judge findings and commit what follows, as one pass of the worker does."""
        stages = WorkStages(store=self.store, log=NoLog(), signing_key=b"k" * 32, stats=lambda: "{}")
        memory, decisions = Memory(stages), Decisions()
        at_us = self.world.runtime.api.clock.now_us()
        next_position = Position(memory.position + 1)
        one = UseFound(version_id=self.version_id, position=next_position, at_us=at_us, principals=found)
        judge_use([one], memory.use, memory.versions, decisions)
        commit(stages, memory, decisions, next_position)
        self.world.runtime.api.fleet.refresh()

    @property
    def version_id(self) -> VersionId:
        version = self.world.runtime.api.read.version(self.model, "1")
        assert version is not None
        return version.id

    def gate(self, name: str) -> str | None:
        answer = self.world.client.get(f"/v1/gate/{self.model}/1", headers={"x-principal": name})
        assert answer.status_code == 200
        said: str | None = answer.headers.get(HEADER)
        return said


@pytest.fixture
def attacked(world: World) -> Iterator[Attacked]:
    name = f"attacked-{next(NUMBERS)}"
    api = world.runtime.api
    store = world.runtime.store.worker("w", 10.0, api.clock)
    yield Attacked(world, world.model(name), name, store)
    store.close()


def now_finding(attacked: Attacked, name: str, made: PrincipalFinding) -> PrincipalFinding:
    at_us = attacked.world.runtime.api.clock.now_us()
    return msgspec.structs.replace(
        made, principal=attacked.pseudonym(name), since_us=at_us - 1_000, until_us=Micros(at_us)
    )


def test_a_contained_principal_is_listed_told_of_by_the_gate_and_lifted_on_record(attacked: Attacked) -> None:
    client, headers = attacked.world.client, attacked.world.everything
    assert attacked.gate("client-7") == "normal"
    attacked.find(now_finding(attacked, "client-7", finding()))
    assert attacked.gate("client-7") == "contained"
    assert attacked.gate("client-8") == "normal"
    (listed,) = client.get(f"{attacked.path}/principals", headers=headers).json()["principals"]
    assert listed["principal"] == attacked.pseudonym("client-7")
    assert (listed["state"], listed["tier"], listed["lifted"]) == ("contained", "probing", None)

    lift = f"{attacked.path}/principals/{listed['principal']}/lift"
    lifted = client.post(lift, json={"reason": "our own explainer"}, headers=headers)
    assert (lifted.status_code, lifted.json()["state"], lifted.json()["lifted_by"]) == (200, "lifted", "ada")
    assert attacked.gate("client-7") == "normal"
    assert client.get(f"{attacked.path}/principals", headers=headers).json() == {"principals": []}
    everyone = client.get(f"{attacked.path}/principals?state=all", headers=headers).json()["principals"]
    assert [one["state"] for one in everyone] == ["lifted"]
    assert client.post(lift, json={"reason": "again"}, headers=headers).status_code == 409
    actions = [entry.action for entry in attacked.world.runtime.api.read.audit(10)]
    assert actions.index("principal.lift") < actions.index("principal.contain")


def test_the_gate_says_nothing_to_who_names_nobody(attacked: Attacked) -> None:
    answer = attacked.world.client.get(f"/v1/gate/{attacked.model}/1")
    assert HEADER not in answer.headers


def test_telemetry_and_gate_know_a_principal_by_the_same_pseudonym(attacked: Attacked) -> None:
    attacked.find(now_finding(attacked, "käthe", finding()))
    answer = attacked.world.client.get(f"/v1/gate/{attacked.model}/1", headers={b"X-Principal": "käthe".encode()})
    assert answer.headers[HEADER] == "contained"


def test_enforced_containment_is_403_on_the_gate(attacked: Attacked) -> None:
    client, headers = attacked.world.client, attacked.world.everything
    attacked.find(now_finding(attacked, "client-7", finding()))
    policy = {"adversarial": {"enforce_containment": True, "enforce_after_seconds": 0}}
    assert client.put(f"/v1/models/{attacked.model}/policy", json=policy, headers=headers).status_code == 200
    refused = client.get(f"/v1/gate/{attacked.model}/1", headers={"x-principal": "client-7"})
    assert (refused.status_code, refused.headers[HEADER]) == (403, "contained")
    assert attacked.gate("client-8") == "normal"


def test_the_incident_is_a_kill_chain(attacked: Attacked) -> None:
    client, headers = attacked.world.client, attacked.world.everything
    attacked.find(now_finding(attacked, "client-7", finding()))
    attacked.find(now_finding(attacked, "client-7", intent(techniques=("AML.T0043.001",))))
    (incident,) = client.get(f"/v1/incidents?model={attacked.model}", headers=headers).json()["incidents"]
    assert (incident["cause"], incident["severity"]) == ("adversarial", "high")
    assert "kill_chain" not in incident
    shown = client.get(f"/v1/incidents/{incident['id']}", headers=headers).json()
    assert [stage["tactic"]["name"] for stage in shown["kill_chain"]] == ["AI Model Access", "AI Attack Staging"]
    assert shown["kill_chain"][1]["techniques"] == [
        {"id": "AML.T0043.001", "name": "Craft Adversarial Data: Black-Box Optimization"}
    ]
    assert [item["kind"] for item in shown["timeline"]] == ["opened", "evidence", "reached"]
    newest, oldest = shown["alerts"]
    assert (newest["adversarial"]["tier"], oldest["adversarial"]["tier"]) == ("intent", "probing")
    assert newest["adversarial"]["principals"] == [attacked.pseudonym("client-7")]
    assert (newest["adversarial"]["best_margin"], newest["adversarial"]["flips"]) == (-0.1, 1)
    assert newest["adversarial"]["transcript"].startswith(f"fingerprints:{attacked.model}/1/")
    listed = client.get(f"/v1/alerts?model={attacked.model}", headers=headers).json()["alerts"]
    assert {alert["adversarial"]["atlas"] for alert in listed} == {"5.6.0"}


def test_two_flips_close_the_gate_in_the_same_commit(attacked: Attacked) -> None:
    first = now_finding(attacked, "client-7", intent())
    attacked.find(first)
    assert attacked.gate("client-1") == "normal"
    attacked.find(now_finding(attacked, "client-8", intent()))
    answer = attacked.world.client.get(f"/v1/gate/{attacked.model}/1")
    assert (answer.status_code, answer.headers["x-gate-state"]) == (403, "quarantined")


def test_resolving_an_attack_leaves_the_evidence_of_drift_alone(attacked: Attacked) -> None:
    client, headers = attacked.world.client, attacked.world.everything
    attacked.find(now_finding(attacked, "client-7", finding()))
    (incident,) = client.get(f"/v1/incidents?model={attacked.model}", headers=headers).json()["incidents"]
    body = {"verdict": "benign", "note": "an explainer"}
    assert client.post(f"/v1/incidents/{incident['id']}/resolve", json=body, headers=headers).status_code == 200
    version = attacked.world.runtime.api.read.version(attacked.model, "1")
    assert version is not None
    assert version.restart_position == 0
    assert attacked.world.runtime.api.read.alerts(version_id=version.id, status="open", limit=9) == []


def test_lifting_needs_the_scope_the_model_and_a_reason(attacked: Attacked) -> None:
    client = attacked.world.client
    attacked.find(now_finding(attacked, "client-7", finding()))
    path = f"{attacked.path}/principals/{attacked.pseudonym('client-7')}/lift"
    reader = attacked.world.key(Scope.READ, name="rita")
    assert client.post(path, json={"reason": "x"}, headers=reader).status_code == 403
    elsewhere = attacked.world.key(Scope.OPERATE, models=frozenset({"other"}), name="olga")
    assert client.post(path, json={"reason": "x"}, headers=elsewhere).status_code == 403
    headers = attacked.world.everything
    for body, places in (({}, ["reason"]), ({"reason": " "}, ["reason"]), ({"reason": "a\x00b"}, ["reason"])):
        refused = client.post(path, json=body, headers=headers)
        assert (refused.status_code, [error["at"] for error in refused.json()["errors"]]) == (422, places)
    unknown = client.post(f"{attacked.path}/principals/{'0' * 32}/lift", json={"reason": "x"}, headers=headers)
    assert unknown.status_code == 404
    assert attacked.gate("client-7") == "contained"


def test_explanation_clients_are_kept_as_pseudonyms(attacked: Attacked) -> None:
    client, headers = attacked.world.client, attacked.world.everything
    path = f"/v1/models/{attacked.model}/policy"
    put = client.put(path, json={"adversarial": {"explainers": ["shap-worker"]}}, headers=headers)
    kept = [f"pseudonym:{attacked.pseudonym('shap-worker')}"]
    assert put.json()["policy"]["adversarial"]["explainers"] == kept
    again = client.put(path, json=client.get(path, headers=headers).json(), headers=headers)
    assert again.json()["policy"]["adversarial"]["explainers"] == kept
    assert "shap-worker" not in attacked.world.runtime.api.read.audit(1)[0].detail
    attacked.find(now_finding(attacked, "shap-worker", finding()))
    assert attacked.gate("shap-worker") == "normal"
    created = {"name": f"{attacked.model}-2", "owner": "risk", "policy": {"adversarial": {"explainers": ["lime"]}}}
    made = client.post("/v1/models", json=created, headers=headers).json()
    assert made["policy"]["adversarial"]["explainers"] == [f"pseudonym:{attacked.pseudonym('lime')}"]


@pytest.mark.parametrize(
    ("chosen", "places"),
    [
        ({"probing": "suspect", "cost": "suspect"}, ["probing", "cost"]),
        ({"probing": "quarantine"}, ["probing"]),
        ({"unrelated_minimum": 1}, ["unrelated_minimum"]),
        ({"contain_hours": 0}, ["contain_hours"]),
        ({"explainers": ["a", "b", "a"]}, ["explainers[2]", "explainers[0]"]),
        ({"shares": {"intent": 0}}, ["shares.intent"]),
        ({"colour": "red"}, ["colour"]),
        ({"enforce_share": 0}, ["enforce_share"]),
        ({"enforce_containment": True, "contain_hours": 0.1}, ["enforce_after_seconds", "contain_hours"]),
        (
            {
                "enforce_containment": True,
                "probing": "notify",
                "intent": "notify",
                "extraction": "record",
                "persistence": "notify",
            },
            ["enforce_containment", "probing", "extraction", "membership", "cost", "persistence", "intent"],
        ),
    ],
)
def test_a_policy_that_makes_no_sense_is_422_with_its_places(
    world: World, chosen: dict[str, object], places: list[str]
) -> None:
    body = {"name": "never-made", "owner": "risk", "policy": {"adversarial": chosen}}
    refused = world.client.post("/v1/models", json=body, headers=world.everything)
    assert refused.status_code == 422
    assert [error["at"] for error in refused.json()["errors"]] == [f"policy.adversarial.{place}" for place in places]
