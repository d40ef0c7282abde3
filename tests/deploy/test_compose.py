"""The compose file fits the specification, names files that are there, and gives nobody more than it needs."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml
from sqlalchemy import make_url

from service.channel_settings import AlertmanagerSettings
from service.cli import app as commands
from service.settings import Settings
from tests.deploy import dockerfile

ROOT = dockerfile.ROOT
ROOM_BYTES = 2 * 1024**3
"""For the API process while a report is rendered beside it."""
FOLDER = ROOT / "deploy"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"lazaretto", "api", "worker"}
WRITTEN_BESIDE = {"grafana", "alertmanager"}
"""Folders of dashboards and routes: their mounts are looked at once they are there."""
SUBNET = COMPOSE["networks"]["monitoring"]["ipam"]["config"][0]["subnet"]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    subprocess.run([FOLDER / "make-secrets", folder], check=True, capture_output=True)
    return folder


def _read(content: dict[str, Any]) -> compose_spec.PyCompose:
    """Read it as the specification says, anchors resolved: unknown keys and values are refused."""
    return compose_spec.PyCompose.from_yaml(yaml.safe_dump(content))


def test_it_fits_the_specification() -> None:
    assert set(_read(COMPOSE).service_names()) == set(SERVICES)


@pytest.mark.parametrize(
    ("key", "value"),
    [("helthcheck", {}), ("restart", "sometimes"), ("healthcheck", {"test": ["CMD", "true"], "interval": "often"})],
)
def test_the_specification_finds_a_mistake(key: str, value: Any) -> None:
    broken = yaml.safe_load(TEXT)
    broken["services"]["grafana"][key] = value
    with pytest.raises(ValueError, match=r"services\.grafana"):
        _read(broken)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_bounded_and_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith(("0", "root"))
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")] == []
    if name not in OURS:
        assert re.search(r":v?\d+[\w.-]*$", service["image"]), "pinned to a version"


def test_what_is_mounted_is_there_and_read_only() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            assert target.startswith("/"), name
            if not source.startswith("."):
                assert source in COMPOSE["volumes"]
                continue
            assert mode == ["ro"], volume
            path = FOLDER / source
            if (
                path.relative_to(FOLDER).parts[0] in WRITTEN_BESIDE
                and not (FOLDER / path.relative_to(FOLDER).parts[0]).exists()
            ):
                continue
            assert path.exists(), volume
    alertmanager = FOLDER / "alertmanager"
    assert not alertmanager.exists() or (alertmanager / "alertmanager.yml").is_file()


def test_every_secret_is_a_file_that_is_made_and_no_password_stands_here(secrets: Path) -> None:
    declared = COMPOSE["secrets"]
    assert {name for service in SERVICES.values() for name in service.get("secrets", [])} == set(declared)
    for secret in declared.values():
        assert secret["file"].startswith("./secrets/")
        assert (secrets / Path(secret["file"]).name).is_file()
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|TOKEN|CONFIG$", variable):
                assert value.removeprefix("/run/secrets/") in service["secrets"], variable
    ignored = subprocess.run(
        ["git", "check-ignore", "deploy/secrets/lazaretto.toml"], cwd=ROOT, capture_output=True, check=False
    )
    assert ignored.returncode == 0


def test_secrets_are_made_once_closed_to_others_and_never_twice_the_same(secrets: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {stat.S_IMODE((secrets / name).stat().st_mode) for name in before} == {0o444}
    again = subprocess.run([FOLDER / "make-secrets", secrets], check=True, capture_output=True, text=True)
    assert again.stdout == ""
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    subprocess.run([FOLDER / "make-secrets", tmp_path / "other"], check=True, capture_output=True)
    assert [name for name, text in before.items() if (tmp_path / "other" / name).read_text() == text] == []


@pytest.mark.parametrize("name", ["lazaretto.toml", "lazaretto-postgres.toml"])
def test_the_made_settings_are_settings(name: str, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAZARETTO_CONFIG", str(secrets / name))
    settings = Settings()
    assert settings.secret_key is not None
    assert len(bytes.fromhex(settings.secret_key.get_secret_value())) == 32
    assert [str(network) for network in settings.notifications.allow] == [SUBNET]
    (channel,) = settings.notifications.channels.values()
    assert isinstance(channel, AlertmanagerSettings)
    assert [str(url) for url in channel.urls] == ["http://alertmanager:9093"]
    if "postgres" in name:
        url = make_url(settings.database_url or "")
        assert (url.host, url.username, url.database) == (
            "postgres",
            "lazaretto",
            SERVICES["postgres"]["environment"]["POSTGRES_DB"],
        )
        assert url.password == (secrets / "postgres-password").read_text()
        assert settings.log_url == settings.database_url


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_are_the_image_with_a_command_it_knows(name: str) -> None:
    service = SERVICES[name]
    stage = dockerfile.shipped()
    (user,), (volume,), (port,) = (dockerfile.values(stage, word) for word in ("USER", "VOLUME", "EXPOSE"))
    assert service["user"] == user
    assert (FOLDER / service["build"]["context"]).resolve() == ROOT
    assert [one.split(":")[1] for one in service["volumes"]] == [volume]
    assert service["command"][0] in {command.name for command in commands.registered_commands}
    assert service["healthcheck"]["test"][:3] == ["CMD", "lazaretto", "health"]
    assert [published.rsplit(":", 1)[1] for published in service.get("ports", [])] == (
        [] if name == "worker" else [port]
    )
    known = {f"LAZARETTO_{field.upper()}" for field in Settings.model_fields} | {"LAZARETTO_CONFIG"}
    assert set(service["environment"]) <= known


def test_what_renders_reports_fits_beside_the_service() -> None:
    variables = dockerfile.environment(" ".join(dockerfile.values(dockerfile.shipped(), "ENV")), {"PATH": ""})
    renders = int(variables["LAZARETTO_REPORTS_MEMORY_BYTES_MAX"])
    assert "target" not in COMPOSE["x-lazaretto"]["build"], "what is built by itself has reports"
    for name in OURS - {"worker"}:
        memory = SERVICES[name]["deploy"]["resources"]["limits"]["memory"]
        assert int(memory.removesuffix("G")) * 1024**3 - renders >= ROOM_BYTES, name


def test_each_variant_answers_to_the_name_that_prometheus_scrapes() -> None:
    scraped = yaml.safe_load((FOLDER / "compose" / "prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped["scrape_configs"]}
    host = targets["lazaretto"][0].split(":")[0]
    answering = {
        "embedded": "lazaretto" if "monitoring" in SERVICES["lazaretto"]["networks"] else None,
        "postgres": None,
    }
    answering["postgres"] = SERVICES["api"]["networks"]["monitoring"]["aliases"][0]
    assert answering == {"embedded": host, "postgres": host}
    hosts = {target.split(":")[0] for job in targets.values() for target in job} - {"127.0.0.1"}
    hosts |= {
        one.split(":")[0]
        for part in scraped["alerting"]["alertmanagers"]
        for one in part["static_configs"][0]["targets"]
    }
    assert hosts <= set(SERVICES)
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    assert set(scraped["rule_files"]) <= set(mounted)


def test_grafana_finds_prometheus_under_the_uid_that_dashboards_name() -> None:
    (source,) = yaml.safe_load((FOLDER / "compose" / "datasource.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    shipped = FOLDER / "grafana" / "provisioning" / "datasources"
    for path in shipped.glob("*.yaml"):
        assert [one["uid"] for one in yaml.safe_load(path.read_text())["datasources"]] == [source["uid"]]
    mounted = {volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]}
    for path in (FOLDER / "grafana" / "provisioning" / "dashboards").glob("*.yaml"):
        assert {one["options"]["path"] for one in yaml.safe_load(path.read_text())["providers"]} <= mounted


def test_networks_part_what_need_not_meet() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert {name for name, own in networks.items() if "database" in own} == {"api", "worker", "postgres"}
    assert networks["postgres"] == {"database"}
    assert COMPOSE["networks"]["database"]["internal"] is True
    assert {
        name for name, service in SERVICES.items() if service.get("ports") and "front" not in networks[name]
    } == set()
    variants = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert {name for name, profiles in variants.items() if profiles == ["embedded"]} == {"lazaretto"}
    assert {name for name, profiles in variants.items() if profiles == ["postgres"]} == {"api", "worker", "postgres"}
