"""Every setting, typed, in one place: ``LAZARETTO_*`` in the environment, or the TOML file ``LAZARETTO_CONFIG``."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from service.channel_settings import NotificationSettings


class Settings(BaseSettings):
    """Settings with safe defaults. Sizes are in bytes, times in the unit that ends the name."""

    model_config = SettingsConfigDict(env_prefix="LAZARETTO_", extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    data_dir: Path = Path("lazaretto-data")
    database_url: str | None = None
    """SQLAlchemy URL of the state store; by default ``state.db`` in the data directory."""
    log_url: str | None = None
    """``sqlite:///path`` or ``postgresql://...`` of the telemetry log; by default ``telemetry.db`` in ``data_dir``."""
    secret_key: SecretStr | None = None
    """64 hex digits; by default ``secret.key`` in the data directory, made on first use. Replicas must share it."""
    transcript_key: SecretStr | None = None
    """64 hex digits that the values in transcripts are encrypted with; by default derived from the secret key."""
    transcript_keys_before: tuple[SecretStr, ...] = Field(default=(), max_length=8)
    """Earlier ones: what they encrypted can still be read."""
    log_level: Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"] = "INFO"

    # Limits of one request.
    body_bytes_max: int = Field(default=16 * 1024 * 1024, ge=1024)
    decompressed_bytes_max: int = Field(default=64 * 1024 * 1024, ge=1024)
    compression_ratio_max: float = Field(default=100.0, ge=1)
    rows_max: int = Field(default=50_000, ge=1)
    json_depth_max: int = Field(default=16, ge=4, le=200)
    string_bytes_max: int = Field(default=8_192, ge=16)
    columns_max: int = Field(default=2_000, ge=1)
    embedding_dimension_max: int = Field(default=4_096, ge=1)
    labels_max: int = Field(default=10_000, ge=1)
    baseline_bytes_max: int = Field(default=512 * 1024 * 1024, ge=1024)
    baseline_rows_max: int = Field(default=5_000_000, ge=1)
    baseline_seconds_max: float = Field(default=300.0, gt=0)
    """How long a baseline may take to compile."""
    admin_bytes_max: int = Field(default=1024 * 1024, ge=1024)
    """Body of anything that is not telemetry or a baseline."""
    list_max: int = Field(default=500, ge=1)
    """Longest list in one answer."""
    errors_max: int = Field(default=100, ge=1)
    """How many bad places one answer names."""

    # The connection.
    header_bytes_max: int = Field(default=32 * 1024, ge=1024)
    header_seconds_max: float = Field(default=10.0, gt=0)
    body_seconds_max: float = Field(default=30.0, gt=0)
    """How long a body may take before it must also arrive at ``body_rate_min``."""
    body_rate_min: int = Field(default=64 * 1024, ge=1)
    """Bytes per second that a long upload must keep up."""
    drain_bytes_max: int = Field(default=64 * 1024 * 1024, ge=0)
    """How much of a body is read, and thrown away, after its answer, so that the client gets to see the answer."""
    connections_max: int = Field(default=1_000, ge=1)
    """Beyond this only the gate and the health pages answer; at twice as many, connections are closed."""
    keep_alive_seconds: int = Field(default=75, ge=1)
    shutdown_seconds: int = Field(default=10, ge=1)
    """How long requests that are being answered may take to finish when the process is asked to end."""

    # The telemetry log.
    log_queue_entries_max: int = Field(default=4_096, ge=1)
    log_queue_bytes_max: int = Field(default=128 * 1024 * 1024, ge=1024)
    log_group_entries_max: int = Field(default=256, ge=1)
    log_group_bytes_max: int = Field(default=4 * 1024 * 1024, ge=1024)
    log_retention_hours: float = Field(default=168.0, gt=0)
    log_bytes_max: int = Field(default=20 * 1024**3, ge=1024**2)

    # The worker.
    worker_batch_entries_max: int = Field(default=2_048, ge=1)
    worker_batch_bytes_max: int = Field(default=32 * 1024 * 1024, ge=1024)
    worker_idle_seconds: float = Field(default=0.02, gt=0)
    worker_lease_seconds: float = Field(default=10.0, gt=0)
    worker_pulse_file: Path | None = None
    """File that the worker touches every second while it goes round; ``lazaretto health --worker`` looks at its age."""

    # The gate and the snapshots behind it.
    refresh_seconds: float = Field(default=0.1, gt=0)
    figures_seconds: float = Field(default=1.0, gt=0)
    """How often the figures behind ``/metrics`` are read from the store."""
    gate_unknown: Literal["open", "closed"] = "open"
    """What the gate says of a model that is not registered."""
    gate_principal_header: str = Field(default="x-principal", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    """Request header in which gateways name the principal that asks; empty: the gate looks at none."""
    enforcement_seconds: float = Field(default=60.0, ge=1)
    """How long gateways may take to follow a quarantine before events that still come are told."""
    flag_streams_max: int = Field(default=200, ge=0)
    """Event streams of flags that may be open at once."""
    console_streams_max: int = Field(default=200, ge=0)
    """Pages of the console that are kept current at once; further ones ask again and again."""
    stale_seconds: float = Field(default=300.0, gt=0)
    """A version without events for this long is ``stale``."""
    store_timeout_seconds: float = Field(default=5.0, gt=0)

    # Reports about drift; each is made by processes of its own.
    reports_queue_max: int = Field(default=8, ge=0, le=1_000)
    """Reports that may wait or be made at once; 0 makes none."""
    reports_seconds_max: float = Field(default=300.0, ge=1, le=3_600)
    """How long drawing rows, and how long rendering them, may take."""
    reports_memory_bytes_max: int = Field(default=3 * 1024**3, ge=256 * 1024**2)
    """Address space of the process that renders."""
    reports_bytes_max: int = Field(default=32 * 1024**2, ge=1024**2, le=48 * 1024**2)
    """Of one report, page and JSON together."""
    reports_kept_max: int = Field(default=100, ge=1, le=10_000)
    """Reports that are kept in all; the oldest give way."""
    reports_python: Path | None = None
    """Interpreter that has Evidently; by default the one of the service."""

    # Metrics.
    metrics_series_max: int = Field(default=25_000, ge=100)
    metrics_columns_per_version: int = Field(default=3, ge=0, le=20)
    metrics_redteam_attacks_max: int = Field(default=100, ge=0, le=500)
    """Attacks of the latest red-team run that a version shows."""
    metrics_require_key: bool = False
    """Whether ``/metrics`` needs a key with scope ``read``."""

    # Red-team runs that the service starts by itself, against shadow models of its own.
    redteam_plan: Path | None = None
    """Plan file; without one there are no such runs."""
    redteam_every_hours: float = Field(default=168.0, ge=0.01, le=24 * 366)
    redteam_seconds_max: float = Field(default=7_200.0, ge=1, le=86_400)
    """A run that is not over by then is ended."""
    redteam_scope: Path | None = None
    """Scope file, where the service or an endpoint of the plan is not this machine."""
    redteam_file_under: str | None = Field(default=None, pattern=r"^[^/]+/[^/]+$")
    """``MODEL/VERSION`` at which results are filed, too."""

    # Notifications.
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    notifications: NotificationSettings = NotificationSettings()
    """Channels, routes and quiet hours: tables of the TOML file, or one JSON object in the environment."""

    @field_validator("log_level", mode="before")
    @classmethod
    def _level_in_capitals(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env file: the environment or TOML, nothing hidden
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, which wins over the TOML file."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        path = os.environ.get("LAZARETTO_CONFIG")
        if path:
            sources += (_read_file(settings_cls, Path(path)),)
        return sources

    @property
    def state_url(self) -> str:
        """SQLAlchemy URL of the state store."""
        return self.database_url or f"sqlite:///{self.data_dir / 'state.db'}"

    @property
    def telemetry_url(self) -> str:
        """URL of the telemetry log."""
        return self.log_url or f"sqlite:///{self.data_dir / 'telemetry.db'}"

    @property
    def secret_file(self) -> Path:
        """Where the secret key is kept when no setting gives it."""
        return self.data_dir / "secret.key"

    @property
    def uploads_dir(self) -> Path:
        """Where reference data lies while it is compiled, and no longer."""
        return self.data_dir / "uploads"


class SettingsFileError(Exception):
    """The file that ``LAZARETTO_CONFIG`` names is not there, or is not TOML."""


def _read_file(settings_cls: type[BaseSettings], path: Path) -> TomlConfigSettingsSource:
    """Read the file of settings; one that is not there must not pass for one without settings."""
    if not path.is_file():
        raise SettingsFileError(f"LAZARETTO_CONFIG names {path}, but there is no such file")
    try:
        return TomlConfigSettingsSource(settings_cls, path)
    except ValueError as error:  # not TOML, or not UTF-8
        raise SettingsFileError(f"{path} is not valid TOML: {error}") from None


SECRET_BYTES = 32


class SecretKeyError(Exception):
    """The secret key is not 64 hex digits, or its file cannot be used."""


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """Keys for separate purposes, all derived from the one secret key: none of them tells another."""

    pepper: bytes
    """Of the hashes of API keys."""
    signing: bytes
    """Of baselines."""
    pseudonyms: bytes
    """Of principals."""
    sessions: bytes
    """Of the console's cookies."""
    webhooks: bytes
    """Of messages, unless a webhook has a secret of its own."""
    jitter: bytes
    """Of the delays of enforcement."""
    bundles: bytes
    """Seed of the key that signs evidence bundles."""
    transcripts: tuple[bytes, ...]
    """Of the values in transcripts and of the rows behind reports: the first one encrypts, all of them decrypt."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Derive from the setting, or from the key file, which is made on first use."""
        root = _root_key(settings)
        names = ("pepper", "signing", "pseudonyms", "sessions", "webhooks", "jitter", "bundles")
        derived = {name: _derive(root, name) for name in names}
        return cls(**derived, transcripts=_transcript_keys(settings, _derive(root, "transcripts")))


def _transcript_keys(settings: Settings, derived: bytes) -> tuple[bytes, ...]:
    """Return the key in use first, then the earlier ones; the derived one was in use before there was a setting."""
    own = settings.transcript_key
    keys = [] if own is None else [_parse_secret(own.get_secret_value(), "LAZARETTO_TRANSCRIPT_KEY")]
    before = [
        _parse_secret(key.get_secret_value(), f"LAZARETTO_TRANSCRIPT_KEYS_BEFORE[{i}]")
        for i, key in enumerate(settings.transcript_keys_before)
    ]
    return tuple(dict.fromkeys((*keys, derived, *before)))


def _derive(root: bytes, purpose: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"lazaretto/{purpose}/v1".encode()).derive(root)


def _root_key(settings: Settings) -> bytes:
    if settings.secret_key is not None:
        return _parse_secret(settings.secret_key.get_secret_value(), "LAZARETTO_SECRET_KEY")
    path = settings.secret_file
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _make_secret_file(path)
    return _parse_secret(path.read_text(encoding="ascii", errors="replace"), str(path))


def _make_secret_file(path: Path) -> None:
    """Write a whole file under another name and link it: of two first starts, one wins, and neither reads half."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(SECRET_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass  # another process was first: its key counts
    finally:
        draft.unlink()


def _parse_secret(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != SECRET_BYTES:
        raise SecretKeyError(f"{where} must hold {2 * SECRET_BYTES} hex digits; make some with: openssl rand -hex 32")
    return key
