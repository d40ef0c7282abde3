"""Every size that a request may have."""

from dataclasses import dataclass, fields, replace

from service.settings import Settings

CLASSES_MAX = 256
"""Probability columns of one batch when the schema does not name the classes."""
SEGMENTS_MAX = 32
"""Different segment keys of one batch."""
FINGERPRINT_MAX = 4_096
"""Values of one event's fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one request, as the operator set them; the names are those of the settings."""

    body_bytes_max: int
    decompressed_bytes_max: int
    compression_ratio_max: float
    rows_max: int
    json_depth_max: int
    string_bytes_max: int
    columns_max: int
    embedding_dimension_max: int
    labels_max: int
    baseline_bytes_max: int
    baseline_rows_max: int
    errors_max: int
    rows_setting: str = "rows_max"
    """The setting to name when there are too many rows."""
    bytes_setting: str = "decompressed_bytes_max"
    """The setting to name when there is too much after decompression."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "Limits":
        """Take the limits out of the settings."""
        names = [field.name for field in fields(cls) if not field.name.endswith("_setting")]
        return cls(**{name: getattr(settings, name) for name in names})

    @property
    def of_baseline(self) -> "Limits":
        """The same for reference data, which may be larger."""
        return replace(
            self,
            body_bytes_max=self.baseline_bytes_max,
            decompressed_bytes_max=self.baseline_bytes_max,
            rows_max=self.baseline_rows_max,
            rows_setting="baseline_rows_max",
            bytes_setting="baseline_bytes_max",
        )

    @property
    def cells_max(self) -> int:
        """Rows times columns of one batch.

        A value takes at least four bytes of JSON, so only events that leave nearly everything out can reach this
        before the body is too large; they must not turn a few bytes each into thousands.
        """
        return self.decompressed_bytes_max // 4
