"""A real Prometheus with the configuration that is shipped scrapes a running service and evaluates the rules."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.integration.crash.plant import free_port
from tests.integration.http.conftest import PATIENCE_SECONDS, Served, eventually, register

SHIPPED = Path(__file__).parents[3] / "deploy" / "prometheus"


def configuration(served: Served) -> str:
    """Return the shipped configuration, faster, and pointed at the service."""
    text = (SHIPPED / "prometheus.yml").read_text()
    for shipped, here in (
        ("127.0.0.1:8080", served.url.removeprefix("http://")),
        ("rules.yml", str(SHIPPED / "rules.yml")),
        ("scrape_interval: 15s", "scrape_interval: 200ms"),
        ("evaluation_interval: 15s", "evaluation_interval: 200ms"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    return text


@pytest.fixture(scope="module")
def prometheus(
    served: Served, program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """Ask a Prometheus that runs until the module ends."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text(configuration(served))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (
        (folder / "prometheus.log").open("w") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process,
        httpx.Client(base_url=f"http://{address}/api/v1", timeout=PATIENCE_SECONDS) as client,
    ):

        def up() -> bool:
            assert process.poll() is None, (folder / "prometheus.log").read_text()[-2_000:]
            with contextlib.suppress(httpx.TransportError):
                return client.get(f"http://{address}/-/ready").status_code == 200
            return False

        try:
            eventually(up, "Prometheus is ready")
            yield client
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def ask(prometheus: httpx.Client, address: str, **parameters: str) -> Any:
    answer = prometheus.get(address, params=parameters).json()
    assert answer["status"] == "success", answer
    return answer["data"]


def query(prometheus: httpx.Client, expression: str) -> list[tuple[dict[str, str], float]]:
    found = ask(prometheus, "/query", query=expression)["result"]
    return [(each["metric"], float(each["value"][1])) for each in found]


def test_prometheus_scrapes_the_service_and_its_rules_evaluate(
    served: Served, client: httpx.Client, prometheus: httpx.Client
) -> None:
    path = register(client, "scraped")
    generator = np.random.default_rng(5)
    rows = [f"{age:.3f},{'DE' if age > 40 else 'FR'},ok" for age in generator.normal(40, 10, 1_000)]
    reference = "\n".join(["age,country,prediction", *rows])
    assert client.put(f"{path}/baseline", content=reference, headers={"content-type": "text/csv"}).status_code == 200
    batch = [{"features": {"age": 41, "country": "DE"}, "prediction": "ok"}, {"features": {"age": 39, "country": "FR"}}]
    assert client.post(f"{path}/events", json={"events": batch}).status_code == 202
    for _ in range(7):
        assert httpx.get(f"{served.url}/v1/gate/scraped/1").status_code == 200

    def up() -> bool:
        targets = ask(prometheus, "/targets")["activeTargets"]
        return [(target["health"], target["lastError"]) for target in targets] == [("up", "")]

    eventually(up, "the target is up")
    own = '{model="scraped",version="1"}'
    eventually(lambda: query(prometheus, f"lazaretto_model_evidence_log{own}"), "evidence is scraped")
    eventually(lambda: query(prometheus, f'lazaretto_model_state{own[:-1]},state="active"}} == 1'), "it is active")
    eventually(lambda: query(prometheus, 'lazaretto_gate_answers_total{answer="allow"} == 7'), "answers are counted")
    eventually(lambda: query(prometheus, f"lazaretto_model_events_total{own} == 2"), "events are counted")

    asked = {"event": "quarantine", "reason": "looks wrong to me"}
    assert client.post(f"{path}/transitions", json=asked).status_code == 200
    assert client.post(f"{path}/events", json={"events": batch}).status_code == 202

    def firing() -> set[str]:
        return {alert["labels"]["alertname"] for alert in ask(prometheus, "/alerts")["alerts"]}

    eventually(lambda: firing() >= {"LazarettoModelQuarantined", "LazarettoQuarantineLeak"}, "the alerts fire")
    groups = ask(prometheus, "/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == (SHIPPED / "rules.yml").read_text().count("- alert:")
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}
