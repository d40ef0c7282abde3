"""``lazaretto notifications`` and what ``lazaretto doctor`` says of channels."""

import json
from pathlib import Path

import pytest

from service.cli.doctor import examine
from service.domain.ids import Actor, Micros
from service.domain.notices import ChannelState, Conclusion, DeliveryStatus
from service.notify.conclude import trial_message
from service.settings import Settings
from service.store import open_store
from tests.integration.http.conftest import run


def buried(data_dir: Path) -> str:
    """Leave a dead letter in a store; return its id."""
    store = open_store(f"sqlite:///{data_dir / 'state.db'}", timeout_seconds=5.0)
    now = Micros(1_795_428_000_000_000)
    store.desk.put_test(Actor("ada"), trial_message("log", Actor("ada"), now, "t1"), "log", now)
    (one,) = store.outbox.claim("w", {"log": 1}, now, 1_000_000)

    def dead(state: ChannelState) -> Conclusion:
        return Conclusion(status=DeliveryStatus.DEAD, attempts=1, next_us=now, detail="no [red]way[/]", channel=state)

    assert store.outbox.conclude(one, "w", dead)
    store.close()
    return one.message.id


def test_dead_letters_are_listed_and_replayed(tmp_path: Path) -> None:
    run("migrate", data_dir=tmp_path)
    message = buried(tmp_path)
    listed = json.loads(run("notifications", "list", "--status", "dead", "--json", data_dir=tmp_path))
    assert [one["message_id"] for one in listed["notifications"]] == [message]
    assert listed["channels"][0]["dead"] == 1
    assert "[red]way" in run("notifications", "list", data_dir=tmp_path)
    assert "say what" in run("notifications", "replay", data_dir=tmp_path, expect=1)
    assert "no such dead letter" in run("notifications", "replay", "other", data_dir=tmp_path, expect=1)
    assert "1 will be tried again" in run("notifications", "replay", message, data_dir=tmp_path)
    assert "no such dead letter" in run("notifications", "replay", "--all", data_dir=tmp_path, expect=1)


def test_a_test_without_a_worker_says_so_and_names_known_channels(tmp_path: Path) -> None:
    run("migrate", data_dir=tmp_path)
    text = run("notifications", "test", "log", "--wait", "0", data_dir=tmp_path, expect=1)
    assert "is the worker running?" in text
    assert "known: log" in run("notifications", "test", "lag", data_dir=tmp_path, expect=1)


def verdicts(settings: Settings) -> dict[str, tuple[str, str]]:
    return {finding.what: (finding.verdict, finding.text) for finding in examine(settings)}


def test_doctor_looks_at_every_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pd").write_text("key")
    (tmp_path / "pd").chmod(0o644)
    (tmp_path / "pd2").write_text("key")
    (tmp_path / "pd2").chmod(0o600)
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    local = "http://127.0.0.1:9/x"
    channels = {
        "missing": {"kind": "slack", "url_secret": {"env": "NO_SUCH_SECRET"}},
        "private": {"kind": "webhook", "url": "http://10.0.0.1/x"},
        "near": {"kind": "pagerduty", "routing_key": {"file": str(tmp_path / "pd2")}, "url": local},
    }
    given = {"channels": channels, "allow": ["127.0.0.0/8"]}
    found = verdicts(Settings.model_validate({"data_dir": tmp_path, "notifications": given, "webhook_url": local}))
    assert found["channel missing"] == (
        "FAILED",
        "notifications.channels.missing.url_secret: the environment variable NO_SUCH_SECRET is empty or not set",
    )
    assert found["channel private"][0] == "FAILED"
    assert "10.0.0.1 is a private address" in found["channel private"][1]
    assert found["channel near"][0] == "ok"
    assert found["channel webhook"][0] == "ok"


def test_doctor_tells_dead_letters(tmp_path: Path) -> None:
    run("migrate", data_dir=tmp_path)
    buried(tmp_path)
    found = verdicts(Settings(data_dir=tmp_path))
    assert found["channel log"] == ("note", "1 dead letters; run: lazaretto notifications replay --channel log")
