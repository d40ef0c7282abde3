"""A real Alertmanager receives our alerts, groups them, keeps them while they are repeated, and resolves them."""

import asyncio
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.channel_settings import AlertmanagerSettings
from service.clock import SystemClock
from service.domain.records import IncidentStatus, Severity, Verdict
from service.notify.alertmanager import AlertmanagerChannel
from service.notify.channels import build_channel
from service.notify.connect import GuardedTransport
from service.notify.routing import Router
from tests.integration.crash.plant import free_port
from tests.service.notify.desk import Desk, alert, settled

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
LOCAL = (ip_network("127.0.0.0/8"),)
CONFIG = """
route:
  receiver: double
  group_by: [model, version]
  group_wait: 300ms
  group_interval: 500ms
  repeat_interval: 1h
receivers:
  - name: double
    webhook_configs:
      - url: http://127.0.0.1:{port}/
        send_resolved: true
"""
pytestmark = pytest.mark.slow


@dataclass
class Alertmanager:
    url: str
    notified: list[dict[str, Any]] = field(default_factory=list)

    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/api/v2/alerts", trust_env=False).json()
        return found

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"{what}: {self.notified}"
            time.sleep(0.05)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    if PROGRAM is None:
        assert os.environ.get("CI") != "true", "Alertmanager is missing: run scripts/install-system test"
        pytest.skip("Alertmanager is not installed")
    running = Alertmanager("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            running.notified.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    (tmp_path / "am.yml").write_text(CONFIG.format(port=receiver.server_port))
    port = free_port()
    running.url = f"http://127.0.0.1:{port}"
    command = [PROGRAM, f"--config.file={tmp_path / 'am.yml'}", f"--storage.path={tmp_path / 'am'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (tmp_path / "am.log").open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            running.wait(lambda: _answers(running.url), "it does not start")
            yield running
        finally:
            process.terminate()
            process.wait(10)
            receiver.shutdown()
            receiver.server_close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def test_alerts_are_grouped_kept_and_resolved_with_all_that_they_said(
    tmp_path: Path, alertmanager: Alertmanager
) -> None:
    clock = SystemClock()
    desk = Desk(tmp_path)
    # Alertmanager's own clock decides what is over.
    desk.clock = clock  # type: ignore[assignment]
    chosen = AlertmanagerSettings(kind="alertmanager", urls=(alertmanager.url,), resend_seconds=5)

    def step(rounds: int = 1) -> None:
        channel = build_channel("am", chosen, LOCAL, clock)
        dispatcher = desk.another("one", {"log": desk.channels["log"], "am": channel})
        dispatcher.clock = clock
        dispatcher.route = Router(settings=desk.settings, channels=("log", "am"))

        async def work() -> None:
            for _ in range(rounds):
                dispatcher.step()
                await dispatcher.settle()
            await channel.close()

        asyncio.run(work())

    evil = 'mean "up" {{ .Foo }} <b>\n${x}'
    desk.put(alert("a", at_us=clock.now_us(), severity=Severity.HIGH, columns=evil))
    desk.put(alert("b", at_us=clock.now_us(), cause="latency"))
    step(3)
    alertmanager.wait(lambda: bool(alertmanager.notified), "nothing is notified")
    alertmanager.wait(lambda: len(alertmanager.notified[-1]["alerts"]) == 2, "not in one group")
    first = {one["labels"]["cause"]: one for one in alertmanager.notified[-1]["alerts"]}
    assert first.keys() == {"data_drift", "latency"}
    assert first["data_drift"]["annotations"]["columns"] == evil
    ends = {one["labels"]["cause"]: one["endsAt"] for one in alertmanager.alerts()}
    # Sent again, it ends later; nobody is notified anew.
    before = len(alertmanager.notified)
    time.sleep(5.2)
    step()
    later = {one["labels"]["cause"]: one["endsAt"] for one in alertmanager.alerts()}
    assert all(later[cause] > ends[cause] for cause in ends)
    assert len(alertmanager.notified) == before
    # Resolved here, resolved there: with the same annotations and the first beginning.
    desk.put(settled(IncidentStatus.RESOLVED, at_us=clock.now_us(), verdict=Verdict.DATA_BUG))
    step(2)
    alertmanager.wait(lambda: alertmanager.notified[-1]["status"] == "resolved", "not resolved")
    last = {one["labels"]["cause"]: one for one in alertmanager.notified[-1]["alerts"]}
    for cause, one in last.items():
        assert one["annotations"] == first[cause]["annotations"]
        assert one["startsAt"] == first[cause]["startsAt"]
        assert one["status"] == "resolved"


def test_nothing_to_tell_is_taken_as_the_question_whether_it_is_there(alertmanager: Alertmanager) -> None:
    chosen = AlertmanagerSettings(kind="alertmanager", urls=(alertmanager.url,))

    async def work() -> None:
        channel = AlertmanagerChannel("am", chosen, None, SystemClock(), transport=GuardedTransport(LOCAL))
        await channel.repeat([])
        await channel.close()

    asyncio.run(work())
    assert alertmanager.alerts() == []
