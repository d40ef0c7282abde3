"""What a run gives. Everything is kept, so that the page can be drawn again without measuring again."""

import msgspec

LEVEL = 0.95
"""Confidence of every interval on the page, two-sided."""


class NullCell(msgspec.Struct):
    """False alarms on one kind of stream, all seeds together."""

    stream: str
    columns: int
    reference: int
    promise: float
    events: int
    alarms: int
    seconds: float
    note: str = ""


class PeerNull(msgspec.Struct):
    """False alarms of a peer on one kind of stream."""

    peer: str
    stream: str
    columns: int
    events: int
    alarms: int


class DelayCell(msgspec.Struct):
    """Delays of the engine for one change; keys are the promise A."""

    case: str
    kl: float
    how: str
    delays: dict[str, list[int]] = {}
    early: dict[str, int] = {}
    late: dict[str, int] = {}
    """Runs without an alarm until the end; they count as later than all others."""
    rows: int = 0
    """How long was waited after the change."""
    limited: bool = True
    """Whether the goals are about this case."""


class PeerDelay(msgspec.Struct):
    """Delays of a peer for one change."""

    peer: str
    setting: str
    case: str
    delays: list[int]
    late: int
    rows: int


class Tuning(msgspec.Struct):
    """How a peer was brought to the same rate of false alarms."""

    peer: str
    parameter: str
    natural: str
    tuned: str
    how: str


class RealCell(msgspec.Struct):
    """One detector on one real stream."""

    stream: str
    detector: str
    rows: int
    change: int | None
    """Row of the known change; None if none is known."""
    kind: str
    """What is known: ``change``, ``none`` (nothing changes), ``unlabelled`` or ``windows``."""
    false_alarms: int
    quiet_rows: int
    delay: int | None
    later: int = 0
    """Alarms from the change on, or in all when nothing is known."""
    hits: int = 0
    targets: int = 0
    blamed: str = ""
    tick_rows: int = 1
    again: int = 0
    """Alarms of a change that has lasted since the alarm before; known of the engine only."""
    pages: int | None = None
    """False alarms, where those at most a window of the peers apart are one; ``None`` in results from before."""


class SpeedCell(msgspec.Struct):
    """Rows per second on one core, one figure per repeat."""

    tool: str
    columns: int
    window: int
    rates: list[float]
    memory_mb: list[float] = []
    """Resident memory after the first tenth of the rows, and after all."""
    rows: int = 0


class Results(msgspec.Struct):
    """One run."""

    machine: dict[str, str]
    plan: str
    peers: dict[str, str] = {}
    absent: dict[str, str] = {}
    nulls: list[NullCell] = []
    peer_nulls: list[PeerNull] = []
    delays: list[DelayCell] = []
    joint: bool = False
    """Whether the engine looks at several columns together."""
    peer_delays: list[PeerDelay] = []
    tunings: list[Tuning] = []
    real: list[RealCell] = []
    real_absent: str = ""
    speed: list[SpeedCell] = []
    seconds: dict[str, float] = {}
    commits: dict[str, str] = {}
    """By part: a page may be drawn from several runs."""
