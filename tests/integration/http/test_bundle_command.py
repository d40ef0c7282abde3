"""``lazaretto bundle``: saved from a store, verified anywhere, and refused by its part."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.domain.ids import Position
from service.ports import Outcome
from service.settings import Settings
from service.store import open_store
from tests.integration.http.conftest import run
from tests.integration.store import samples as s


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return a data directory with one incident."""
    folder = tmp_path / "data"
    folder.mkdir()
    store = open_store(Settings(data_dir=folder).state_url, timeout_seconds=30.0)
    try:
        with store.control.write() as tx:
            version = s.registered(tx)
        worker = store.worker("w", 10.0, SystemClock())
        outcome = Outcome(first=worker.position(), last=Position(1), revision=worker.revision())
        worker.commit(replace(outcome, incidents=[s.incident(version)]))
    finally:
        store.close()
    return folder


def tampered(file: Path, name: str, content: bytes | None) -> Path:
    """Write a bundle again with one part changed, or left out."""
    with zipfile.ZipFile(file) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    changed = file.with_name("changed.zip")
    with zipfile.ZipFile(changed, "w") as archive:
        for one, old in {**parts, name: content}.items():
            if old is not None:
                archive.writestr(one, old)
    return changed


def test_a_bundle_is_saved_and_verified_here_and_elsewhere(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "incident.zip"
    assert "Wrote the evidence of incident i1" in run("bundle", "save", "i1", str(file), data_dir=data_dir)
    assert run("bundle", "verify", str(file), data_dir=data_dir).startswith("Good: 3 parts of incident i1 of ")
    key = run("bundle", "key", data_dir=data_dir).strip()
    told = json.loads(run("bundle", "verify", str(file), "--public-key", key, "--json"))
    assert (told["good"], told["problems"], told["manifest"]["public_key"]) == (True, [], key)
    other = "ab" * 32
    refused = run("bundle", "verify", str(file), "--public-key", other, expect=1)
    assert "which is none of the keys that are known" in refused


@pytest.mark.parametrize("name", ["facts.json", "bundle.html", "manifest.json", "signature.txt"])
def test_a_part_that_was_changed_or_is_missing_is_named(data_dir: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "incident.zip"
    run("bundle", "save", "i1", str(file), data_dir=data_dir)
    assert name in run("bundle", "verify", str(tampered(file, name, b"{}")), data_dir=data_dir, expect=1)
    assert f"{name} is missing" in run("bundle", "verify", str(tampered(file, name, None)), data_dir=data_dir, expect=1)


def test_what_is_wrong_is_one_sentence(data_dir: Path, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none.zip")
    assert "there is no incident 'i9'" in run("bundle", "save", "i9", nowhere, data_dir=data_dir, expect=1)
    assert "there is no file" in run("bundle", "verify", nowhere, data_dir=data_dir, expect=1)
    file = tmp_path / "text.zip"
    file.write_text("no bundle")
    assert "the file is no bundle" in run("bundle", "verify", str(file), data_dir=data_dir, expect=1)
    assert "64 hex digits" in run("bundle", "verify", str(file), "--public-key", "zz", expect=1)
    assert "there is no key" in run("bundle", "verify", str(file), data_dir=tmp_path / "empty", expect=1)
