"""References that are not what was meant: a digest that does not fit, and a stored baseline that was changed."""

import base64
import hashlib
from pathlib import Path

import pytest
from sqlalchemy import update

from service.api.digests import check_digest, wanted_digests
from service.domain.errors import BadRequest, Unprocessable
from service.store import tables
from tests.service.api.conftest import World
from tests.service.api.test_endpoints import CSV

REFERENCE = CSV.encode()


def _digest(body: bytes, name: str = "sha-256") -> str:
    raw = hashlib.new(name.replace("-", ""), body).digest()
    return f"{name}=:{base64.b64encode(raw).decode()}:"


@pytest.mark.parametrize("name", ["sha-256", "sha-512", "SHA-256"])
def test_a_body_that_is_what_was_meant_passes_and_any_other_does_not(tmp_path: Path, name: str) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"reference")
    check_digest(_digest(b"reference", name.lower()).replace(name.lower(), name), path)
    with pytest.raises(Unprocessable, match="changed on its way"):
        check_digest(_digest(b"referencE", name.lower()), path)
    both = f"{_digest(b'reference')}, {_digest(b'another', 'sha-512')}"
    with pytest.raises(Unprocessable):
        check_digest(both, path)


@pytest.mark.parametrize("text", ["sha-256", "sha-256=abc", "sha-256=:&:", "md5=:AAAA:", "sha-256=:", "x" * 600])
def test_a_digest_that_nobody_can_check_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="Content-Digest"):
        wanted_digests(text)


def test_a_reference_with_another_digest_leaves_the_baseline_as_it_is(world: World) -> None:
    path = f"{world.model('digests')}/baseline"
    headers = world.everything | {"content-type": "text/csv"}
    body = REFERENCE
    put = world.client.put(path, content=body, headers=headers | {"content-digest": _digest(body)})
    assert put.status_code == 200
    for digest, status in ((_digest(body + b"x"), 422), ("sha-256=:&:", 400)):
        answer = world.client.put(path, content=body, headers=headers | {"content-digest": digest})
        assert answer.status_code == status
        assert answer.json()["errors"][0]["at"] == "content-digest"
    assert world.client.get(path, headers=headers).json()["digest"] == put.json()["digest"]


def test_a_baseline_that_was_changed_in_the_store_is_not_shown(world: World) -> None:
    path = f"{world.model('changed')}/baseline"
    headers = world.everything | {"content-type": "text/csv"}
    put = world.client.put(path, content=REFERENCE, headers=headers).json()
    database = world.runtime.store.read._database
    with database.write() as connection:
        changed = update(tables.baselines).where(tables.baselines.c.id == put["baseline_id"])
        connection.execute(changed.values(signature="a" * 64))
    answer = world.client.get(path, headers=headers)
    assert answer.status_code == 409
    assert "signature" in answer.json()["detail"]
