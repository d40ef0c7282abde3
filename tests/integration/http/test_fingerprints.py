"""An attack on a model whose inputs are never sent, over HTTP, with a worker that is killed in the middle of it."""

import base64
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from tests.integration.http.conftest import eventually, make_key, serving
from tests.service.prints import CLASSES, OTHER, attack, prints_of, victim

ARROW = {"content-type": "application/vnd.apache.arrow.stream"}
SCHEMA = {
    "features": [{"name": "image", "kind": "embedding", "dimension": 64, "treatment": "drop"}],
    "prediction": {"kind": "class", "classes": list(CLASSES)},
}
POLICY = {
    "adversarial": {"follow": {"requests_per_second": 10_000, "share_of_one": 1.0}},
    "actions": dict.fromkeys(("data_drift", "prediction_drift", "data_quality"), "record"),
}
PATH = "/v1/models/eyes/versions/1"
ACCOUNTS = 5
BUSY = httpx.codes.SERVICE_UNAVAILABLE


def body(inputs: Any, principals: list[str] | None) -> bytes:
    """Return telemetry, or reference data, as an Arrow stream."""
    answers = victim().predict(inputs)
    columns: dict[str, Any] = {"fingerprint": pa.array(prints_of(inputs), pa.binary(256))}
    if principals is not None:
        columns["principal"] = pa.array(principals)
    columns["prediction"] = pa.array([CLASSES[i] for i in answers.argmax(axis=1).tolist()])
    columns |= {f"probabilities.{name}": pa.array(answers[:, i]) for i, name in enumerate(CLASSES)}
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def test_an_attack_is_seen_by_fingerprints_over_a_crash_of_the_worker(tmp_path: Path) -> None:
    session = attack(0)
    with serving(tmp_path / "data") as served, httpx.Client(base_url=served.url, timeout=60) as http:
        http.headers.update(make_key(served.data_dir, "admin", "ingest", "read", "operate"))

        def ask(method: str, path: str, **given: Any) -> Any:
            # For a moment after the kill, the store may be busy with what the worker left.
            answer = eventually(
                lambda: (said := http.request(method, path, **given)).status_code != BUSY and said, "an answer"
            )
            assert answer.is_success, answer.text
            return answer.json()

        def seen(events: int) -> Any:
            status = ask("GET", f"{PATH}/status")
            return status["principals"] if status["events_total"] == events else None

        ask("POST", "/v1/models", json={"name": "eyes", "owner": "team", "policy": POLICY})
        ask("POST", "/v1/models/eyes/versions", json={"version": "1", "schema": SCHEMA, "deployed_by": "dana"})
        put = ask("PUT", f"{PATH}/baseline", content=body(victim().reference[0], None), headers=ARROW)
        assert [one for one in put["warnings"] if one["code"] == "principals"] == []
        half = len(session) // 2
        for part in (slice(0, half), slice(half, len(session))):
            names = [f"client-{i % ACCOUNTS}" for i in range(part.start, part.stop)]
            took = ask(
                "POST", f"{PATH}/events", content=body(session.inputs[part].astype(np.float64), names), headers=ARROW
            )
            assert took["accepted"] == part.stop - part.start
            eventually(partial(seen, part.stop), "the worker has read the batch")
            if part.start == 0:
                pid = served.worker_pid()
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
        status = seen(len(session))
        assert status["examined"] == len(session)
        assert status["followed"] == ACCOUNTS
        assert status["fingerprints"] == {"taken": len(session), "unreadable": 0, "foreign": 0}
        assert status["campaigns"] > 0
        uses = [one["adversarial"] for one in ask("GET", "/v1/alerts")["alerts"] if one["adversarial"] is not None]
        intent = [use for use in uses if use["tier"] == "intent"]
        assert any(use["subject"].startswith("campaign ") and len(use["principals"]) > 1 for use in intent)
        assert len({principal for use in intent for principal in use["principals"]}) == ACCOUNTS
        odd = [base64.b64encode(prints_of(session.inputs[:1], OTHER)[0]).decode(), "no base64!", [1, 2]]
        answer = victim().predict(session.inputs[:1].astype(np.float64))[0]
        chances = {name: float(answer[i]) for i, name in enumerate(CLASSES)}
        events = [{"features": {}, "principal": "odd", "fingerprint": one, "probabilities": chances} for one in odd]
        assert ask("POST", f"{PATH}/events", json={"events": events})["accepted"] == len(odd)
        status = eventually(lambda: seen(len(session) + len(odd)), "the worker has read the odd ones")
        assert status["fingerprints"] == {"taken": len(session), "unreadable": 2, "foreign": 1}
        assert status["invalid"] == len(odd)
