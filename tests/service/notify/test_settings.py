"""Settings of notifications: what is wrong is named, secrets stay where they are."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.channel_settings import NotificationSettings, Secret, SecretMissing
from service.clock import SystemClock
from service.notify.channels import build_channels
from service.settings import Settings

HOOK = {"kind": "webhook", "url": "https://example.org/hook"}
PAGER = {"kind": "pagerduty", "routing_key": {"env": "PD_KEY"}}


def bad(content: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        NotificationSettings.model_validate(content)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in refused.value.errors())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"channels": {"ops": {"kind": "pigeon"}}}, "channels.ops: Input tag 'pigeon'"),
        ({"channels": {"ops": {**HOOK, "colour": 1}}}, "channels.ops.webhook.colour: Extra inputs"),
        ({"channels": {"ops": {"kind": "webhook"}}}, "exactly one of 'url' and 'url_secret'"),
        ({"channels": {"ops": {"kind": "webhook", "url": "ftp://x"}}}, "channels.ops.webhook.url"),
        ({"channels": {"ops": {"kind": "webhook", "url": "https://me:pw@x/"}}}, "channels.ops.webhook.url"),
        ({"channels": {"log": HOOK}}, "'log' is the name of a channel that is there already"),
        ({"channels": {"Ops!": HOOK}}, "channels.Ops!"),
        ({"channels": {"pd": {"kind": "pagerduty"}}}, "channels.pd.pagerduty.routing_key: Field required"),
        ({"channels": {"pd": {**PAGER, "routing_key": "abc"}}}, "channels.pd.pagerduty.routing_key"),
        ({"channels": {"pd": {**PAGER, "routing_key": {}}}}, "needs exactly one of 'file' and 'env'"),
        ({"channels": {"ops": HOOK}, "routes": [{"channels": ["chat"]}]}, "routes[0].channels: there is no channel"),
        ({"channels": {"ops": HOOK}, "routes": [{"channels": ["ops"], "models": ["a"]}]}, "routes[0], the last one"),
        ({"channels": {"o": HOOK}, "routes": [{"channels": ["o"]}] * 2}, "routes[0] matches everything"),
        ({"channels": {"o": {**HOOK, "quiet": {"severities": ["high"]}}}}, "quiet.severities.0"),
        ({"channels": {"o": {**HOOK, "quiet": {"from": "25:00"}}}}, "'25:00' must be a time"),
        ({"channels": {"o": {**HOOK, "quiet": {"zone": "Mars/Base"}}}}, "'Mars/Base' is no known time zone"),
        ({"channels": {"o": {**HOOK, "quiet": {"zone": "../../etc/passwd"}}}}, "is no known time zone"),
        ({"channels": {"o": {**HOOK, "quiet": {"days": []}}}}, "must name at least one day"),
        ({"channels": {"am": {"kind": "alertmanager", "urls": []}}}, "channels.am.alertmanager.urls"),
        (
            {"channels": {"am": {"kind": "alertmanager", "urls": ["http://x"], "quiet": {}}}},
            "'quiet' is not for Alertmanager",
        ),
        (
            {"channels": {"m": {"kind": "email", "host": "x", "sender": "a@b\nBcc: c@d", "recipients": ["e@f"]}}},
            "channels.m.email.sender",
        ),
        (
            {
                "channels": {
                    "m": {
                        "kind": "email",
                        "host": "x",
                        "sender": "a@b",
                        "recipients": ["e@f"],
                        "security": "none",
                        "username": "u",
                        "password": {"env": "P"},
                    }
                }
            },
            "would be sent in clear",
        ),
        ({"channels": {"a": {"kind": "apprise", "url_secret": {"env": "A"}}}}, "unchecked_addresses: Field required"),
        ({"allow": ["10.0.0.0/33"]}, "allow.0"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(content: dict[str, Any], says: str) -> None:
    assert says in bad(content)


def test_a_secret_is_read_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text("abc\n")
    assert Secret(file=path).read("x") == "abc"
    monkeypatch.setenv("KEY", "def")
    assert Secret(env="KEY").read("x") == "def"


def test_a_secret_that_is_missing_names_its_setting_and_never_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PD_KEY", raising=False)
    chosen = NotificationSettings.model_validate({"channels": {"pd": PAGER}})
    with pytest.raises(SecretMissing, match=r"notifications\.channels\.pd\.routing_key: .*PD_KEY is empty or not set"):
        build_channels(chosen, None, None, SystemClock())
    with pytest.raises(SecretMissing, match="No such file"):
        Secret(file=tmp_path / "none").read("x")
    path = tmp_path / "url"
    path.write_text("s3cr3t-words")
    slack = {"kind": "slack", "url_secret": {"file": str(path)}}
    with pytest.raises(SecretMissing, match="does not hold an address") as failed:
        build_channels(NotificationSettings.model_validate({"channels": {"s": slack}}), None, None, SystemClock())
    assert "s3cr3t" not in str(failed.value)


def test_channels_come_from_the_file_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lazaretto.toml"
    path.write_text(
        """
        [notifications]
        allow = ["10.0.0.0/8"]
        [notifications.channels.ops]
        kind = "webhook"
        url = "https://example.org/"
        quiet = {from = "22:00", to = "07:00", zone = "Europe/Berlin"}
        [[notifications.routes]]
        severities = ["high"]
        channels = ["ops"]
        [[notifications.routes]]
        channels = []
        """
    )
    monkeypatch.setenv("LAZARETTO_CONFIG", str(path))
    chosen = Settings().notifications
    assert chosen.channels["ops"].kind == "webhook"
    assert chosen.routes[0].severities == ("high",)
    assert set(build_channels(chosen, None, None, SystemClock())) == {"log", "ops"}


def test_channels_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAZARETTO_NOTIFICATIONS", '{"channels": {"ops": {"kind": "webhook", "url": "https://x.org/"}}}')
    assert list(Settings().notifications.channels) == ["ops"]
