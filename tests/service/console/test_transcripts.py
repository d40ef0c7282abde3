"""The page with the requests behind an incident: whose it is, and what it shows."""

from dataclasses import replace

import msgspec
import pytest

from service.domain.adversarial import Transcript
from service.domain.ids import Micros, Position
from service.domain.principals import PrincipalTier
from service.domain.records import Incident, Scope
from service.domain.transcripts import TranscriptBody, TranscriptRecord
from service.transcripts import context_of, id_of, seal
from tests.service.api.test_transcripts import request_of
from tests.service.console.conftest import Console
from tests.service.console.test_adversarial import attacked
from tests.service.uses import ANN

ADMIN = frozenset({Scope.ADMIN, Scope.READ})


def kept(console: Console, key: bytes) -> Incident:
    incident = attacked(console)
    now_us = console.fleet.clock.now_us()
    record = TranscriptRecord(
        alert_id="a",
        principal=ANN,
        incident_id=incident.id,
        version_id=incident.version_id,
        tier=PrincipalTier.INTENT,
        policy=Transcript.SAMPLE,
        position=Position(7),
        drawn_us=now_us,
        until_us=Micros(now_us + 3_600_000_000),
        body=msgspec.json.encode(TranscriptBody(requests=(request_of(0), request_of(1)), cut=True)).decode(),
        key_id=id_of(key),
        sample=b"",
    )
    sample = seal(key, context_of(record), [{"amount": "<b>12.5</b>"}])
    console.transcripts.records.append(replace(record, sample=sample))
    return incident


def test_an_administrator_finds_the_requests_by_a_link_and_each_look_is_noted(console: Console) -> None:
    incident = kept(console, b"t" * 32)
    ann = console.signed_in("ann", ADMIN)
    path = f"/incidents/{incident.id}/transcript"
    assert f'href="{path}"' in ann.get(f"/incidents/{incident.id}").text
    assert console.transcripts.readers == []
    page = ann.get(path).text
    assert console.transcripts.readers == ["ann"]
    assert "amount=&lt;b&gt;12.5&lt;/b&gt;" in page
    assert "ended at a bound" in page
    assert page.index(">e1<") < page.index(">e0<"), "the newest request comes first"


@pytest.mark.parametrize("scopes", [frozenset({Scope.READ}), frozenset({Scope.OPERATE, Scope.READ})])
def test_nobody_else_is_shown_a_link_or_the_page(console: Console, scopes: frozenset[Scope]) -> None:
    incident = kept(console, b"t" * 32)
    other = console.signed_in("bob", scopes)
    path = f"/incidents/{incident.id}/transcript"
    assert path not in other.get(f"/incidents/{incident.id}").text
    assert other.get(path).status_code == 403
    assert console.transcripts.readers == []


def test_a_key_that_is_missing_is_named_on_the_page(console: Console) -> None:
    incident = kept(console, b"x" * 32)
    page = console.signed_in("ann", ADMIN).get(f"/incidents/{incident.id}/transcript").text
    assert id_of(b"x" * 32) in page
    assert "amount" not in page
