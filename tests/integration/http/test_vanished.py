"""A feature that stops coming is an alert that names it, in whatever form events are sent; never an error."""

from collections.abc import Callable

import httpx
import pytest

from tests.integration.http.conftest import eventually
from tests.integration.http.test_formats import FORMATS, SCHEMA, events
from tests.service.ingest.support import NDJSON, Event, as_lines

POLICY = {
    "tick_seconds": 0.05,
    "budget": {"per_days": 1},
    "actions": {"data_quality": "notify", "data_drift": "notify"},
}


def without(batch: list[Event], name: str) -> list[Event]:
    """Leave a feature out of every event, the key included."""
    kept = []
    for event in batch:
        features = event["features"]
        assert isinstance(features, dict)
        kept.append({**event, "features": {key: value for key, value in features.items() if key != name}})
    return kept


@pytest.mark.parametrize(("form", "name"), [*zip(FORMATS, ["age", "country"] * 2, strict=True)])
def test_a_feature_that_vanishes_is_an_alert_that_names_it(client: httpx.Client, form: str, name: str) -> None:
    model = f"lost-{form.lower()}-{name}"
    assert client.post("/v1/models", json={"name": model, "owner": "risk", "policy": POLICY}).status_code == 201
    body = {"version": "1", "schema": SCHEMA}
    assert client.post(f"/v1/models/{model}/versions", json=body).status_code == 201
    path = f"/v1/models/{model}/versions/1"
    put = client.put(f"{path}/baseline", content=as_lines(events(1, 2_000)), headers={"content-type": NDJSON})
    assert put.status_code == 200, put.text
    content_type, write = FORMATS[form]
    seeds = iter(range(10, 10_000))

    def alerted(change: Callable[[list[Event]], list[Event]]) -> object:
        batch = write(change(events(next(seeds), 60)))
        answer = client.post(f"{path}/events", content=batch, headers={"content-type": content_type})
        assert (answer.status_code, answer.json()["accepted"], answer.json()["errors"]) == (202, 60, []), answer.text
        return client.get(f"/v1/alerts?model={model}").json()["alerts"]

    for _ in range(3):
        assert not alerted(lambda batch: batch)
    # A busy service may count events of before and after in one tick: such a column has not vanished from all of them.
    eventually(
        lambda: (now := client.get(f"{path}/status").json())["events_total"] == 180 and now["lag_seconds"] == 0.0,
        "what has the feature is judged",
    )
    (alert,) = eventually(lambda: alerted(lambda batch: without(batch, name)), f"an alert about {name}")
    told = {column["name"]: column["direction"] for column in alert["columns"]}
    assert told[name] == "missing up, vanished"
    assert alert["cause"] == "data_quality"
    status = client.get(f"{path}/status").json()
    assert (status["state"], status["columns"][0]["name"]) == ("active", name)
