"""How well a version's answers agree with what turned out to be true, as the worker tells it."""

from typing import Annotated

import msgspec

WINDOWS = ("1h", "1d", "7d")
"""The rolling windows of the figures; they end with the newest label."""
TOTAL = "total"
"""All labels since the version has any."""
Share = tuple[float, float, float]
"""A figure, and between which limits the true one lies, 95 %."""


class Performance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of the answers is remembered until labels come."""

    answers: Annotated[int, msgspec.Meta(ge=0, le=5_000_000)] = 50_000
    """The latest answers with an event id; 0 compares no labels."""


class ClassSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One class."""

    name: str
    support: int
    """Answers whose true class it is."""
    answered: int
    precision: Share | None = None
    recall: Share | None = None
    f1: float | None = None


class FiguresSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of some answers; those of classes, or those of numbers."""

    answers: int
    """With a label."""
    wrong: Share | None = None
    """Share of answers of another class than the true one."""
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    calibration_error: float | None = None
    classes: tuple[ClassSeen, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """By true class (row) and answer; the last of each are all other classes."""
    mae: Share | None = None
    bias: Share | None = None
    rmse: float | None = None
    quantiles: dict[str, float] = {}
    """Absolute errors that so many answers do not exceed, by share: ``0.5``, ``0.9``, ``0.95``, ``0.99``."""


class WindowSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The labels that came within [start, end)."""

    start_us: int
    end_us: int
    figures: FiguresSeen
    delay_median_seconds: float | None = None
    """From an answer to its label."""
    delay_p95_seconds: float | None = None


class PerformanceSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a version's answers and their labels."""

    kind: str
    """``class`` or ``number``."""
    capacity: int = 0
    """How many answers may be remembered."""
    remembered: int = 0
    labelled: int = 0
    """Of those remembered, how many have a label."""
    joined: int = 0
    """Labels that met their answer."""
    bet: int = 0
    """Of those, how many were evidence: their answer came under this baseline, and after the last release."""
    repeated: int = 0
    """Labels for answers that had one already; the first one counts."""
    late: int = 0
    """Labels whose answer is forgotten."""
    unknown: int = 0
    """Labels for events that nobody knows."""
    waiting: int = 0
    """Labels that came before their event, if there is one."""
    unfit: int = 0
    """Labels that are no numbers, where the model answers with numbers."""
    windows: dict[str, WindowSeen] = {}
    """By name, and ``total``."""
    baseline: FiguresSeen | None = None
    """Of the reference, where it had labels."""
    lacking: str | None = None
    """Why wrong answers are no evidence, in a sentence."""
