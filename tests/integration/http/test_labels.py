"""Labels over HTTP: a labelled reference, answers, labels that turn wrong, and what everybody then sees."""

import csv
import io
import json
from typing import Any

import httpx
import numpy as np

from tests.integration.http.conftest import Served, eventually, register, run

ROWS = 60
CLASSES = ("fraud", "ok")


def reference(rows: int = 2_000) -> bytes:
    rng = np.random.default_rng(1)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["age", "country", "prediction", "outcome"])
    for _ in range(rows):
        answer = CLASSES[int(rng.random() < 0.7)]
        wrong = rng.random() < 0.05
        writer.writerow(
            [f"{rng.normal(40, 10):.3f}", "DE", answer, CLASSES[1 - CLASSES.index(answer)] if wrong else answer]
        )
    return text.getvalue().encode()


def batch(rng: np.random.Generator, number: int, wrong: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return events and their labels."""
    events, labels = [], []
    for row in range(ROWS):
        answer = CLASSES[int(rng.random() < 0.7)]
        told = CLASSES[1 - CLASSES.index(answer)] if rng.random() < wrong else answer
        features = {"age": rng.normal(40, 10), "country": "DE"}
        events.append({"event_id": f"{number}-{row}", "features": features, "prediction": answer})
        labels.append({"event_id": f"{number}-{row}", "label": told})
    return {"events": events}, {"labels": labels}


def test_labels_that_turn_wrong_are_an_incident_that_says_so(served: Served, client: httpx.Client) -> None:
    path = register(client, "labelled")
    answer = client.put(f"{path}/baseline?label=outcome", content=reference(), headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert "performance.wrong" in answer.json()["columns"]
    assert "outcome" not in [warning["column"] for warning in answer.json()["warnings"]]
    rng = np.random.default_rng(2)

    def send(number: int, wrong: float) -> list[dict[str, Any]]:
        events, labels = batch(rng, number, wrong)
        assert client.post(f"{path}/events", json=events).status_code == 202
        assert client.post(f"{path}/labels", json=labels).status_code == 202
        found: list[dict[str, Any]] = client.get("/v1/incidents?model=labelled").json()["incidents"]
        return found

    for number in range(10):
        assert send(number, 0.05) == []
    told = eventually(lambda: joined(client, path, 10 * ROWS), "all labels joined")
    assert told["performance"]["windows"]["1d"]["figures"]["answers"] == 10 * ROWS
    assert told["performance"]["baseline"]["wrong"][0] == round(told["performance"]["baseline"]["wrong"][0], 6)
    numbers = iter(range(10, 400))
    (incident,) = eventually(lambda: send(next(numbers), 0.5), "an incident")
    assert incident["cause"] == "performance"
    assert "of the answers wrong where the baseline has" in incident["title"] or "missed" in incident["title"]
    shown = run("status", "labelled", "1", "--data-dir", str(served.data_dir))
    assert "labels of the last day: wrong" in shown
    line = 'lazaretto_model_performance{figure="wrong",model="labelled",version="1"}'
    eventually(lambda: line in client.get("/metrics").text, "the figure is exported")  # figures are read now and then


def joined(client: httpx.Client, path: str, number: int) -> dict[str, Any] | None:
    told: dict[str, Any] = client.get(f"{path}/status").json()
    seen = told["performance"]
    return told if seen is not None and seen["joined"] >= number else None


def test_a_label_column_that_is_none_is_refused_with_its_place(client: httpx.Client) -> None:
    path = register(client, "mislabelled")
    for label, reason in (
        ("nothing", "no column 'nothing'"),
        ("prediction", "not what turned out"),
        ("", "must be the name"),
    ):
        answer = client.put(
            f"{path}/baseline", params={"label": label}, content=reference(200), headers={"content-type": "text/csv"}
        )
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["at"] == "label"
        assert reason in answer.json()["errors"][0]["reason"]


def test_labels_in_lines_stand_beside_the_features_of_an_event(client: httpx.Client) -> None:
    path = register(client, "lines")
    rng = np.random.default_rng(3)
    rows = [
        {
            "features": {"age": rng.normal(40, 10), "country": "DE"},
            "prediction": "ok",
            "truth": "ok" if i % 9 else "fraud",
        }
        for i in range(900)
    ]
    body = "\n".join(map(json.dumps, rows)).encode()
    answer = client.put(f"{path}/baseline?label=truth", content=body, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 200, answer.text
    assert "performance.missed.ok" in answer.json()["columns"]
    shown = client.get(f"{path}/baseline").json()
    wrong = next(each for each in shown["details"] if each["name"] == "performance.wrong")
    assert {b["label"]: b["rows"] for b in wrong["bins"]}["1"] == 100
