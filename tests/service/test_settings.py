"""Settings and the secrets derived from them."""

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import SecretKeyError, Secrets, Settings, SettingsFileError

KEY = "00" * 32


def test_defaults_point_into_the_data_directory(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.state_url == f"sqlite:///{tmp_path / 'state.db'}"
    assert settings.telemetry_url == f"sqlite:///{tmp_path / 'telemetry.db'}"


def test_the_environment_wins_over_the_file_and_arguments_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "lazaretto.toml"
    config.write_text('port = 1000\nhost = "file"\nlog_level = "DEBUG"\n')
    monkeypatch.setenv("LAZARETTO_CONFIG", str(config))
    monkeypatch.setenv("LAZARETTO_PORT", "2000")
    monkeypatch.setenv("LAZARETTO_HOST", "environment")
    settings = Settings(host="argument")
    assert (settings.host, settings.port, settings.log_level) == ("argument", 2000, "DEBUG")


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", 70_000), ("rows_max", 0), ("gate_unknown", "ajar"), ("log_level", "LOUD"), ("no_such_setting", 1)],
)
def test_a_bad_setting_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({name: value})


@pytest.mark.parametrize("content", [None, b"port = = 1", b"port = 1\n\xff"])
def test_a_file_of_settings_that_is_absent_or_no_toml_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    config = tmp_path / "lazaretto.toml"
    if content is not None:
        config.write_bytes(content)
    monkeypatch.setenv("LAZARETTO_CONFIG", str(config))
    with pytest.raises(SettingsFileError, match="lazaretto\\.toml"):
        Settings()


def test_the_level_of_the_log_may_be_written_small() -> None:
    assert Settings(log_level="debug").log_level == "DEBUG"


def test_the_secret_file_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    first = Secrets.of(settings)
    assert stat.S_IMODE(settings.secret_file.stat().st_mode) == 0o600
    assert Secrets.of(settings) == first
    assert [path.name for path in settings.data_dir.iterdir()] == ["secret.key"]


def test_purposes_have_keys_of_their_own_and_another_secret_gives_others(tmp_path: Path) -> None:
    one = Secrets.of(Settings(data_dir=tmp_path, secret_key=KEY))
    other = Secrets.of(Settings(data_dir=tmp_path, secret_key="11" * 32))
    keys = {one.pepper, one.signing, one.pseudonyms, one.sessions, one.webhooks}
    assert len(keys) == 5
    assert other.pepper not in keys
    assert not (tmp_path / "secret.key").exists()


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 31])
def test_a_secret_key_that_is_none_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(SecretKeyError, match="64 hex digits") as caught:
        Secrets.of(Settings(data_dir=tmp_path, secret_key=text))
    assert not text or text not in str(caught.value)


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    secrets = Secrets.of(Settings(data_dir=tmp_path, secret_key=KEY))
    assert secrets.pepper.hex() not in repr(secrets)
    assert repr(secrets.pepper) not in repr(secrets)
