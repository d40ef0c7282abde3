"""Transcripts over the API and in the console: whose right it is, what is on record, and a key that is missing."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import msgspec
import pytest

from service.domain.adversarial import Transcript
from service.domain.ids import Micros, Position
from service.domain.principals import PrincipalTier
from service.domain.records import Scope
from service.domain.transcripts import Drawn, TranscriptBody, TranscriptRecord, TranscriptRequest
from service.ports import Outcome
from service.transcripts import context_of, id_of, seal
from tests.service.api.conftest import World
from tests.service.api.test_principals import Attacked, now_finding
from tests.service.uses import finding

NUMBERS = count(1)
VALUES = {"amount": 12.5}


def request_of(row: int) -> TranscriptRequest:
    return TranscriptRequest(
        at_us=1_795_428_000_000_000,
        position=7,
        row=row,
        event_id=f"e{row}",
        label="fraud",
        margin=0.25,
        matched_by="point",
        hashes="0" * 256,
        nearest=None,
        score=None,
    )


@pytest.fixture
def attacked(world: World) -> Iterator[Attacked]:
    name = f"transcribed-{next(NUMBERS)}"
    api = world.runtime.api
    store = world.runtime.store.worker("w", 10.0, api.clock)
    yield Attacked(world, world.model(name), name, store)
    store.close()


def keep(attacked: Attacked, key: bytes) -> str:
    """Accuse somebody, keep two requests with the values of the newer one, and return the incident's id."""
    api = attacked.world.runtime.api
    attacked.find(now_finding(attacked, "client-7", finding()))
    (alert,) = api.read.alerts(version_id=attacked.version_id, status="open", limit=9)
    body = TranscriptBody(requests=(request_of(0), request_of(1)), cut=True)
    record = TranscriptRecord(
        alert_id=alert.id,
        principal=attacked.pseudonym("client-7"),
        incident_id=alert.incident_id,
        version_id=attacked.version_id,
        tier=PrincipalTier.PROBING,
        policy=Transcript.SAMPLE,
        position=Position(7),
        drawn_us=alert.opened_us,
        until_us=Micros(alert.opened_us + 3_600_000_000),
        body=msgspec.json.encode(body).decode(),
        key_id=id_of(key),
        sample=b"",
    )
    record = replace(record, sample=seal(key, context_of(record), [VALUES]))
    first = attacked.store.position()
    outcome = Outcome(first=first, last=Position(first + 1), revision=attacked.store.revision())
    attacked.store.commit(replace(outcome, transcripts=[Drawn(record=record, replaces=True)]))
    return alert.incident_id


def test_it_is_an_administrators_right_to_read_and_to_erase_and_both_are_on_record(attacked: Attacked) -> None:
    world, api = attacked.world, attacked.world.runtime.api
    incident_id = keep(attacked, api.secrets.transcripts[0])
    path = f"/v1/incidents/{incident_id}/transcript"
    for scopes in ((Scope.READ,), (Scope.OPERATE, Scope.READ), (Scope.INGEST,)):
        for method in ("GET", "DELETE"):
            assert world.client.request(method, path, headers=world.key(*scopes)).status_code == 403
    assert world.client.get(path).status_code == 401
    admin = world.key(Scope.ADMIN)
    assert world.client.get("/v1/incidents/none/transcript", headers=admin).status_code == 404
    (one,) = world.client.get(path, headers=admin).json()["transcripts"]
    assert (one["principal"], one["values"], one["cut"]) == (attacked.pseudonym("client-7"), "open", True)
    assert [r["features"] for r in one["requests"]] == [None, VALUES]
    assert [r["event_id"] for r in one["requests"]] == ["e0", "e1"]
    assert world.client.request("DELETE", f"{path}?reason=%07", headers=admin).status_code == 422
    erased = world.client.request("DELETE", f"{path}?reason=asked", headers=admin)
    assert (erased.status_code, erased.json()["erased"]) == (200, 1)
    (one,) = world.client.get(path, headers=admin).json()["transcripts"]
    assert (one["values"], one["requests"], one["key_id"]) == ("erased", [], None)
    actions = [entry.action for entry in api.read.audit(9) if entry.action.startswith("transcript")]
    assert actions == ["transcript.read", "transcript.erase", "transcript.read"]


def test_a_key_that_the_service_does_not_have_is_named(attacked: Attacked) -> None:
    incident_id = keep(attacked, b"x" * 32)
    world = attacked.world
    (one,) = world.client.get(f"/v1/incidents/{incident_id}/transcript", headers=world.key(Scope.ADMIN)).json()[
        "transcripts"
    ]
    assert (one["values"], one["key_id"]) == ("missing_key", id_of(b"x" * 32))
    assert [r["features"] for r in one["requests"]] == [None, None]


def test_a_finding_leaves_a_transcript_even_where_the_log_has_no_requests_any_more(attacked: Attacked) -> None:
    attacked.find(now_finding(attacked, "client-8", finding()))
    world = attacked.world
    listed = world.client.get(f"/v1/incidents?model={attacked.model}", headers=world.everything).json()["incidents"]
    path = f"/v1/incidents/{listed[0]['id']}/transcript"
    (one,) = world.client.get(path, headers=world.key(Scope.ADMIN)).json()["transcripts"]
    assert (one["requests"], one["values"], one["policy"]) == ([], "none", "fingerprints")
