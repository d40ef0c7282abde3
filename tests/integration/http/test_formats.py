"""The same events in every form that is taken, and values that are no values: all are counted, to the last one."""

import gzip
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import zstandard

from service.domain.ids import Micros
from service.settings import Settings
from service.store import Store, open_store
from tests.integration.http.conftest import Served, eventually
from tests.service.ingest.support import ARROW, JSON, NDJSON, Event, as_columns, as_lines, as_rows, as_table, stream

SCHEMA = {
    "features": [{"name": "age", "kind": "numeric"}, {"name": "country", "kind": "categorical"}],
    "prediction": {"kind": "class", "classes": ["fraud", "ok"]},
}
ROWS = 200
FORMATS: dict[str, tuple[str, Callable[[list[Event]], bytes]]] = {
    "rows": (JSON, as_rows),
    "columns": (JSON, as_columns),
    "lines": (NDJSON, as_lines),
    "Arrow": (ARROW, lambda batch: stream(as_table(batch))),
}
ENCODINGS: dict[str | None, Callable[[bytes], bytes]] = {
    None: lambda body: body,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
}


@pytest.fixture(scope="module")
def store(served: Served) -> Iterator[Store]:
    opened = open_store(Settings(data_dir=served.data_dir).state_url, timeout_seconds=30.0)
    yield opened
    opened.close()


def events(seed: int, rows: int, errors: float = 0.0) -> list[Event]:
    """Draw events; with a chance of errors each says whether it had one."""
    generator = np.random.default_rng(seed)
    scores = generator.uniform(0, 1, rows)
    drawn: list[Event] = [
        {
            "event_id": f"{seed}-{number}",
            "principal": f"client-{number % 7}",
            "features": {"age": float(generator.normal(40, 10)), "country": str(generator.choice(["DE", "FR"]))},
            "prediction": "fraud" if score > 0.9 else "ok",
            "probabilities": {"fraud": float(score), "ok": float(1 - score)},
            "latency_ms": float(generator.lognormal(2, 0.3)),
        }
        for number, score in enumerate(scores)
    ]
    if errors:
        for event, chance in zip(drawn, generator.uniform(0, 1, rows), strict=True):
            event["error"] = "timeout" if chance < errors else None
    return drawn


class Counted:
    """A version whose bins can be read; ``took`` gives what was added since it was asked last."""

    def __init__(self, client: httpx.Client, store: Store, model: str, errors: float = 0.0) -> None:
        self.client, self.store, self.model = client, store, model
        body: dict[str, Any] = {"name": model, "owner": "risk", "policy": {"tick_seconds": 0.05}}
        assert client.post("/v1/models", json=body).status_code == 201
        body = {"version": "1", "schema": SCHEMA}
        assert client.post(f"/v1/models/{model}/versions", json=body).status_code == 201
        self.path = f"/v1/models/{model}/versions/1"
        put = client.put(
            f"{self.path}/baseline", content=as_lines(events(1, 3_000, errors)), headers={"content-type": NDJSON}
        )
        assert put.status_code == 200, put.text
        details = client.get(f"{self.path}/baseline").json()["details"]
        self.labels = [(column["name"], one["label"]) for column in details for one in column["bins"]]
        (version,) = store.read.versions(model)
        self.version_id = version.id
        self.before, self.rows = np.zeros(len(self.labels), np.int64), 0

    def post(self, body: bytes, content_type: str, encoding: str | None, rows: int) -> dict[str, Any]:
        headers = {"content-type": content_type} | ({} if encoding is None else {"content-encoding": encoding})
        answer = self.client.post(f"{self.path}/events", content=body, headers=headers)
        assert answer.status_code == 202, answer.text
        receipt: dict[str, Any] = answer.json()
        assert (receipt["accepted"], receipt["rejected"], receipt["errors"]) == (rows, 0, [])
        self.rows += rows
        return receipt

    def took(self) -> dict[tuple[str, str], int]:
        """Return how many rows each bin got, by column and label; bins without any are left out."""

        def counts() -> Any:
            windows = self.store.read.windows(self.version_id, "1m", Micros(0), Micros(2**62))
            if sum(window.events for window in windows) != self.rows:
                return None
            return np.sum([np.frombuffer(window.counts, np.int64) for window in windows], axis=0)

        eventually(lambda: counts() is not None, f"{self.rows} rows are in the windows")
        now = counts()
        gained, self.before = now - self.before, now
        return {label: int(rows) for label, rows in zip(self.labels, gained, strict=True) if rows}


def test_the_same_events_in_every_form_fill_the_same_bins(client: httpx.Client, store: Store) -> None:
    version, batch = Counted(client, store, "forms"), events(2, ROWS)
    taken = {}
    for (name, (content_type, write)), (encoding, compress) in itertools.product(FORMATS.items(), ENCODINGS.items()):
        version.post(compress(write(batch)), content_type, encoding, ROWS)
        taken[name, encoding] = version.took()
    first = taken["rows", None]
    assert {form: bins for form, bins in taken.items() if bins != first} == {}
    for column, values in (
        ("country", [event["features"]["country"] for event in batch]),
        ("prediction", [event["prediction"] for event in batch]),
    ):
        assert {label: rows for (name, label), rows in first.items() if name == column} == Counter(values)
    for column in ("age", "probabilities.fraud", "latency_ms", "score.margin"):
        assert sum(rows for (name, _), rows in first.items() if name == column) == ROWS
    total = client.get(f"{version.path}/status").json()["events_total"]
    assert total == len(FORMATS) * len(ENCODINGS) * ROWS


def test_probabilities_that_do_not_add_up_are_invalid_in_every_form(client: httpx.Client, store: Store) -> None:
    version, batch = Counted(client, store, "odd"), events(6, ROWS)
    for event in batch[:50]:
        event["probabilities"]["ok"] /= 2
    odd = sum(abs(sum(event["probabilities"].values()) - 1.0) > 0.02 for event in batch)
    assert 40 < odd <= 50
    for sent, (name, (content_type, write)) in enumerate(FORMATS.items(), start=1):
        version.post(write(batch), content_type, None, ROWS)
        invalid = {column: rows for (column, label), rows in version.took().items() if label == "invalid"}
        answers = ("probabilities.fraud", "probabilities.ok", "score.margin", "score.entropy")
        assert invalid == dict.fromkeys(answers, odd), name
        status = client.get(f"{version.path}/status").json()
        assert status["traffic"]["odd_probabilities"] == sent * odd
    warnings = client.get(f"{version.path}/baseline").json()["warnings"]
    assert [warning for warning in warnings if warning["code"] == "probabilities"] == []


NO_VALUES = {
    "mistyped": ('"forty"', "invalid"),
    "a list": ("[1, 2]", "invalid"),
    "NaN": ("NaN", "invalid"),
    "not finite": ("1e999", "invalid"),
    "null": ("null", "missing"),
    "absent": (None, "missing"),
}


def test_values_that_are_none_are_counted_and_end_in_quarantine(client: httpx.Client, store: Store) -> None:
    version = Counted(client, store, "faulty")
    for name, (literal, bin_label) in NO_VALUES.items():
        batch = [{**event, "features": {**event["features"], "age": "@"}} for event in events(3, 40)]
        text = json.dumps({"events": batch})
        text = text.replace('"age": "@", ', "") if literal is None else text.replace('"@"', literal)
        version.post(text.encode(), JSON, None, 40)
        ages = {label: rows for (column, label), rows in version.took().items() if column == "age"}
        assert ages == {bin_label: 40}, name

    values = pa.array(["forty"] * 40)
    table = as_table(events(4, 40))
    table = table.set_column(table.schema.get_field_index("features.age"), "features.age", values)
    version.post(stream(table), ARROW, None, 40)
    assert version.took()["age", "invalid"] == 40

    def quarantined() -> bool:
        version.post(as_rows([{**event, "features": {"country": "DE"}} for event in events(5, 100)]), JSON, None, 100)
        return client.get("/v1/gate/faulty/1").status_code == 403

    eventually(quarantined, "missing values close the gate")
    status = client.get(f"{version.path}/status").json()
    assert status["evidence"] >= status["threshold"]
    assert status["columns"][0]["name"] in {"age", "country"}
    (alert,) = client.get("/v1/alerts?model=faulty").json()["alerts"]
    assert alert["cause"] == "data_quality"


def test_errors_in_every_form_fill_the_same_bins_and_too_many_close_the_gate(
    client: httpx.Client, store: Store
) -> None:
    version, batch = Counted(client, store, "failing", errors=0.05), events(6, ROWS, 0.05)
    expected = Counter("no error" if event["error"] is None else event["error"] for event in batch)
    assert expected["timeout"] > 3
    for name, (content_type, write) in FORMATS.items():
        version.post(write(batch), content_type, None, ROWS)
        taken = {label: rows for (column, label), rows in version.took().items() if column == "error"}
        assert taken == expected, name
    version.post(as_rows(events(7, 40)), JSON, None, 40)
    assert version.took()["error", "no error"] == 40
    singles = [
        as_rows([{**event, "error": error}]) for event, error in zip(events(8, 3), ("oom", True, []), strict=True)
    ]
    for body in singles:
        version.post(body, JSON, None, 1)
    taken = {label: rows for (column, label), rows in version.took().items() if column == "error"}
    assert taken == {"unseen": 2, "invalid": 1}
    traffic = client.get(f"{version.path}/status").json()["traffic"]
    assert traffic["errors_total"] == len(FORMATS) * expected["timeout"] + 3
    assert traffic["error_kinds"][0] == "timeout"
    assert "oom" in traffic["error_kinds"]
    counted = f'lazaretto_model_errors_total{{model="failing",version="1"}} {float(traffic["errors_total"])}'
    eventually(lambda: counted in client.get("/metrics").text, "the metrics count errors")

    def quarantined() -> bool:
        version.post(as_rows(events(9, 100, 0.5)), JSON, None, 100)
        return client.get("/v1/gate/failing/1").status_code == 403

    eventually(quarantined, "errors close the gate")
    (alert,) = client.get("/v1/alerts?model=failing").json()["alerts"]
    assert (alert["cause"], alert["columns"][0]["name"]) == ("data_quality", "error")
    assert alert["columns"][0]["direction"] in {"category 'timeout' up", "category 'no error' down"}
