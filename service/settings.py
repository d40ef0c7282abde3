"""Every setting, typed, in one place: ``LAZARETTO_*`` in the environment, or the TOML file ``LAZARETTO_CONFIG``."""

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource


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
    log_level: str = "INFO"

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
    errors_max: int = Field(default=100, ge=1)
    """How many bad places one answer names."""

    # The connection.
    header_bytes_max: int = Field(default=32 * 1024, ge=1024)
    header_seconds_max: float = Field(default=10.0, gt=0)
    body_seconds_max: float = Field(default=30.0, gt=0)
    connections_max: int = Field(default=1_000, ge=1)

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

    # The gate and the snapshots behind it.
    refresh_seconds: float = Field(default=0.1, gt=0)
    stale_seconds: float = Field(default=300.0, gt=0)
    """A version without events for this long is ``stale``."""
    store_timeout_seconds: float = Field(default=5.0, gt=0)

    # Metrics.
    metrics_series_max: int = Field(default=5_000, ge=100)
    metrics_columns_per_version: int = Field(default=3, ge=0, le=20)

    # Notifications.
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None

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
            sources += (TomlConfigSettingsSource(settings_cls, Path(path)),)
        return sources

    @property
    def state_url(self) -> str:
        """SQLAlchemy URL of the state store."""
        return self.database_url or f"sqlite:///{self.data_dir / 'state.db'}"

    @property
    def telemetry_url(self) -> str:
        """URL of the telemetry log."""
        return self.log_url or f"sqlite:///{self.data_dir / 'telemetry.db'}"
