"""Commands against stores and services in every condition."""

import csv
import io
import json
import os
import re
import shutil
import sqlite3
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from unittest.mock import patch

import httpx
import numpy as np
import pytest

import service
from service.cli.doctor import examine
from service.domain.ids import Micros, VersionId
from service.log.sqlite import SqliteStorage
from service.ports import EntryKind, NewEntry
from service.settings import Settings
from service.store import open_store
from service.store.migrate import MIGRATIONS
from tests.integration.http.conftest import Served, make_key, register, run, serving
from tests.integration.store import samples


def test_a_newer_store_is_refused_in_a_sentence(tmp_path: Path) -> None:
    run("migrate", data_dir=tmp_path)
    with sqlite3.connect(tmp_path / "state.db") as store:
        store.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    store.close()
    for command in ("serve", "worker", "migrate"):
        text = run(command, data_dir=tmp_path, expect=1)
        assert "newer" in text
        assert "Traceback" not in text
    assert "newer schema" in run("doctor", data_dir=tmp_path, expect=1)


def test_an_older_store_is_refused_until_it_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir, newer = tmp_path / "data", tmp_path / "migrations"
    run("migrate", data_dir=data_dir)
    shutil.copytree(MIGRATIONS, newer, ignore=shutil.ignore_patterns("__pycache__"))
    script = 'revision = "9999"\ndown_revision = "0020"\n\ndef upgrade(): pass\n\ndef downgrade(): pass\n'
    (newer / "versions" / "9999_next.py").write_text(script)
    monkeypatch.setattr("service.store.migrate.MIGRATIONS", newer)
    for words in (("serve", "--port", "0"), ("api", "--port", "0"), ("worker",), ("models", "list")):
        text = run(*words, data_dir=data_dir, expect=1)
        assert "older than this version" in text, words
        assert "lazaretto migrate" in text, words
        assert "Traceback" not in text, words
    assert "lazaretto migrate" in run("doctor", data_dir=data_dir, expect=1)
    assert "was older; now it is current" in run("migrate", data_dir=data_dir)
    assert "is current" in run("migrate", data_dir=data_dir)
    assert run("models", "list", "--json", data_dir=data_dir)


def test_the_doctor_names_a_segment_that_is_missing(tmp_path: Path) -> None:
    run("migrate", data_dir=tmp_path)
    storage = SqliteStorage(tmp_path / "telemetry.db", timeout_seconds=5.0)
    storage.open()
    body = b"x" * 200_000
    entry = NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id="b", rows=1, body=body)
    storage.append([entry], Micros(1))
    storage.close()
    assert "readable, last position 1" in run("doctor", data_dir=tmp_path)
    [segment] = (tmp_path / "telemetry.db-segments").iterdir()
    segment.unlink()
    text = run("doctor", data_dir=tmp_path, expect=1)
    assert segment.name in "".join(text.split())


def test_a_secret_key_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("not hex")
    text = run("keys", "create", "--name", "a", "--scopes", "read", data_dir=tmp_path, expect=1)
    assert "64 hex digits" in text
    assert "secret.key" in text


def test_keys_on_a_fresh_directory_are_shown_once(tmp_path: Path) -> None:
    data_dir = tmp_path / "fresh"
    words = ("keys", "create", "--name", "ada", "--scopes", "read, operate", "--models", "a,b", "--expires-days", "1")
    text = run(*words, data_dir=data_dir)
    found = re.search(r"lzk_\w{44}", text)
    assert found is not None
    listed = json.loads(run("keys", "list", "--json", data_dir=data_dir))["keys"]
    assert found.group() not in json.dumps(listed)
    assert [(key["name"], key["scopes"], key["models"]) for key in listed] == [("ada", ["operate", "read"], ["a", "b"])]
    assert listed[0]["expires"] > listed[0]["created"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--name", "a b", "--scopes", "read"), "name"),
        (("--name", "a", "--scopes", "root,boss"), "unknown scope 'boss', 'root'"),
        (("--name", "a", "--scopes", "read", "--expires-days", "1e300"), "future"),
        (("--name", "a", "--scopes", "read", "--expires-days", "-1"), "future"),
    ],
)
def test_a_key_that_cannot_be_made_says_why(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    code = 2 if "root,boss" in words else 1
    assert told in run("keys", "create", *words, data_dir=tmp_path, expect=code)


def test_a_baseline_is_pushed_and_a_bad_one_explained(served: Served, client: httpx.Client, tmp_path: Path) -> None:
    path = register(client, "pushed")
    generator = np.random.default_rng(3)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["age", "country", "prediction"])
    writer.writerows((round(age, 3), "DE", "ok") for age in generator.normal(40, 10, 500))
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(text.getvalue())
    bad.write_text("height\n1\n")
    key = make_key(served.data_dir, "admin")["authorization"].removeprefix("Bearer ")
    options = ("--model", "pushed", "--version", "1", "--url", served.url, "--key", key)
    told = push(str(good), *options)
    assert re.search(r"of 500 rows and \d columns is in force", told)
    assert "country" in told, "a constant column is warned of"
    assert client.get(f"{path}/baseline").json()["rows"] == 500
    saved, replayed = tmp_path / "good.lzb", ("replay", str(good), "--json", "--baseline")
    where = ("--model", "pushed", "--version", "1")
    assert "500 rows" in run("baseline", "save", str(saved), *where, data_dir=served.data_dir)
    assert json.loads(run(*replayed, str(saved)))["rows"] == 500
    assert json.loads(run(*replayed, str(saved)))["alarms"] == []
    assert "nearest" in run(
        "baseline", "save", str(saved), "--model", "pushd", "--version", "1", data_dir=served.data_dir, expect=1
    )
    told = push(str(bad), *options, expect=1)
    assert "refused with 422" in told
    assert "age" in told
    assert "cannot tell what" in push(str(tmp_path / "x.doc"), *options, expect=1)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1:8080", "http://[::1"])
def test_where_nothing_answers_the_address_is_named(url: str, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("age\n1\n")
    options = ("--model", "m", "--version", "1", "--url", url, "--key", "lzk_x")
    told = push(str(tmp_path / "good.csv"), *options, expect=1)
    assert f"no answer from {url} (--url or LAZARETTO_URL): " in told


def test_something_else_that_answers_is_not_taken_for_the_service(tmp_path: Path) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_error(502, "Bad Gateway")

        def log_message(self, *_: object) -> None: ...

    (tmp_path / "good.csv").write_text("age\n1\n")
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        words = (str(tmp_path / "good.csv"), "--model", "a", "--version", "1", "--key", "lzk_x")
        told = push(*words, "--url", url, expect=1)
        server.shutdown()
    assert "502" in told
    assert "Traceback" not in told
    assert "Traceback" not in push(*words, "--url", "http://[", expect=1)


def test_names_and_reasons_are_shown_as_they_are_not_as_markup(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}", timeout_seconds=5.0)
    with store.control.write() as tx:
        model = tx.add_model(samples.model("m"))
        tx.add_version(replace(samples.version(model, "1"), reason="[/red] [bold]odd\x1b[2J"))
    store.close()
    for words in (("models", "list"), ("status", "m", "1")):
        text = run(*words, data_dir=tmp_path)
        assert "[/red]" in text.replace("\n", ""), text
        assert "[bold]" in text, text
        assert "\x1b[2J" not in text


def test_the_list_of_models_keeps_a_time_in_one_piece_on_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}", timeout_seconds=5.0)
    with store.control.write() as tx:
        model = tx.add_model(samples.model("fraud-scoring"))
        tx.add_version(replace(samples.version(model, "2026-11-01"), reason="a reason that is longer than its column"))
    store.close()
    monkeypatch.setenv("COLUMNS", "80")
    assert re.search(r" \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", run("models", "list", data_dir=tmp_path))


def test_doctor_names_variables_that_are_no_settings(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with patch.dict(os.environ, {"LAZARETTO_GATE_UNKOWN": "closed", "LAZARETTO_GATE_UNKNOWN": "closed"}):
        told = [finding.text for finding in examine(settings) if finding.what == "environment"]
    assert told == ["LAZARETTO_GATE_UNKOWN is no setting and is ignored; did you mean LAZARETTO_GATE_UNKNOWN?"]


def test_the_version_is_told() -> None:
    assert run("--version").strip() == f"lazaretto {service.__version__}"


def push(*words: str, expect: int = 0) -> str:
    return run("baseline", "push", *words, expect=expect)


def test_settings_close_the_metrics_and_the_gate(tmp_path: Path) -> None:
    with serving(tmp_path / "data", metrics_require_key="true", gate_unknown="closed") as served:
        assert httpx.get(f"{served.url}/metrics").status_code == 401
        headers = make_key(served.data_dir, "read")
        assert httpx.get(f"{served.url}/metrics", headers=headers).status_code == 200
        gate = httpx.get(f"{served.url}/v1/gate/nobody/1")
        assert (gate.status_code, gate.headers["x-gate-state"]) == (403, "unknown")
