"""What the operator promised and allowed for one model."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import msgspec

from service.domain.adversarial import Adversarial, Following
from service.domain.performance import Performance
from service.domain.reports import Reports
from service.domain.requests import Requests

SECONDS_PER_DAY = 86_400.0


class Action(StrEnum):
    """What an alert of one cause does, from mildest to strongest."""

    RECORD = "record"
    NOTIFY = "notify"
    SUSPECT = "suspect"
    QUARANTINE = "quarantine"


class Cause(StrEnum):
    """The named reason of an alert."""

    DATA_DRIFT = "data_drift"
    PREDICTION_DRIFT = "prediction_drift"
    DATA_QUALITY = "data_quality"
    LATENCY = "latency"
    PERFORMANCE = "performance"
    """Answers turn out to be wrong more often, or by more, than on the reference."""
    TRAFFIC = "traffic"
    """More or fewer events than usual."""
    STALE = "stale"
    """No events at all. No evidence is behind it: a pause is as long as it is."""
    ADVERSARIAL = "adversarial"
    """Somebody uses the model against its owner. ``Policy.adversarial`` says what follows."""


UNCOUNTED = frozenset({Cause.STALE, Cause.ADVERSARIAL})
"""Causes of alerts that no column stands behind."""


class FailMode(StrEnum):
    """What the gate says of a version whose state it does not know."""

    OPEN = "open"
    CLOSED = "closed"


class BaselineReview(StrEnum):
    """Which baselines wait for a second person where there is one in force already."""

    NEVER = "never"
    MOVED = "moved"
    """Those that differ from the one in force, and all of a version that is held."""
    ALWAYS = "always"


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The false alarms that the model may raise."""

    false_alarms: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    per_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 30.0


class BlastRadius(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much automatic quarantine may take away.

    ``keep_last_healthy`` holds for models that have several versions in service: the last healthy one of them stays.
    ``fleet_share`` caps the share of all versions that policies may hold in quarantine, once the fleet has
    ``fleet_minimum`` versions.
    """

    keep_last_healthy: bool = True
    fleet_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    fleet_minimum: Annotated[int, msgspec.Meta(ge=1)] = 10


class Actions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The action for each cause."""

    data_drift: Action = Action.QUARANTINE
    prediction_drift: Action = Action.QUARANTINE
    data_quality: Action = Action.QUARANTINE
    latency: Action = Action.NOTIFY
    performance: Action = Action.SUSPECT
    """Labels come from whoever may send events: by default they take no traffic away."""
    traffic: Action = Action.NOTIFY
    """How many events come says little about the model that answers them."""
    stale: Action = Action.NOTIFY
    """At most ``notify``: where no traffic goes, there is nothing to take away."""

    def of(self, cause: Cause) -> Action:
        """Return the action for ``cause``; what adversarial use does to a version has rules of its own."""
        action: Action = Action.NOTIFY if cause is Cause.ADVERSARIAL else getattr(self, cause.value)
        return action


class Incidents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When people hear of an incident again, and what counts as the return of one."""

    regressed_within_days: Annotated[float, msgspec.Meta(ge=0, le=365)] = 7.0
    """A cause that comes back so soon after its incident was over is told as `regressed`."""
    cooldown_seconds: Annotated[float, msgspec.Meta(ge=0, le=SECONDS_PER_DAY)] = 0.0
    """So long after an incident was over nobody is paged of a new one of the same cause; whoever is left then is."""


class Direction(StrEnum):
    """Which way a column's numbers have to move to be news."""

    BOTH = "both"
    UP = "up"
    DOWN = "down"


class ColumnChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator decided about one column; by default nothing."""

    direction: Direction = Direction.BOTH
    minimum_effect: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    """Instead of the policy's."""
    weight: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0
    """Relative to the other columns of its group."""
    ignore: bool = False


SEGMENTS_MAX = 32
"""Values of a segment that may have evidence of their own."""
SEGMENT_PREFIX = "segment."
"""Before the name of a segment that events carry apart from their features: ``segment.region``."""
SEGMENT_VALUE_MAX = 300


class Segments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parts of the traffic that have evidence of their own."""

    column: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    """``segment.`` and a key of the events' ``segment``; or a categorical feature, or the prediction."""
    values: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=SEGMENT_VALUE_MAX)], ...],
        msgspec.Meta(min_length=1, max_length=SEGMENTS_MAX),
    ]
    share: Annotated[float, msgspec.Meta(ge=0.01, le=0.9)] = 0.5
    """Of the false-alarm budget, for all of them together; the rest is for all events together."""

    @property
    def key(self) -> str | None:
        """The key of the events' ``segment``; ``None`` when the column is one that is counted."""
        return self.column.removeprefix(SEGMENT_PREFIX) if self.column.startswith(SEGMENT_PREFIX) else None

    def name_of(self, value: str) -> str:
        """Return what people call one of them: ``region=eu``."""
        return f"{self.column.removeprefix(SEGMENT_PREFIX)}={value}"


class Traffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched of the traffic itself, and from when on."""

    learn_days: Annotated[float, msgspec.Meta(ge=0, le=60)] = 7.0
    """How much traffic a version's own usual is learnt from; 0 watches no traffic."""
    minimum_ratio: Annotated[float, msgspec.Meta(ge=1.05, le=10)] = 1.5
    """So many times more or less is never news."""
    minimum_share: Annotated[float, msgspec.Meta(ge=1e-6, le=0.9)] = 0.01
    """Up to this share of repeated or oddly made events is never news."""
    stale_after_seconds: Annotated[float, msgspec.Meta(ge=1, le=30 * SECONDS_PER_DAY)] | None = None
    """A pause of this length is an alert. By default twice the longest one while learning, at least five minutes."""
    duplicates: bool = False
    """Whether events that repeat others are counted; it costs time."""


MINIMUM_EFFECT = 0.05
"""The smallest change worth a page unless somebody says otherwise, in standard deviations; also in replay."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """All that a policy says about evidence: whenever it changes, evidence starts from zero."""

    minimum_effect: float = MINIMUM_EFFECT
    columns: tuple[tuple[str, ColumnChoice], ...] = ()
    """By name."""
    shares: tuple[tuple[str, float], ...] = ()
    """By name."""
    segments: Segments | None = None
    """Values in order."""
    traffic: Traffic = Traffic()
    follow: Following | None = None
    events_of_one: int | None = None
    requests: Requests | None = None


COLUMNS_MAX = 10_000
"""Columns that a policy may speak about."""
NAME_MAX = 300
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1000)]


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator may decide about one model; the defaults are safe to run."""

    budget: Budget = Budget()
    tick_seconds: Annotated[float, msgspec.Meta(ge=0.05, le=3600)] = 1.0
    minimum_effect: Annotated[float, msgspec.Meta(ge=0, le=2)] = MINIMUM_EFFECT
    columns: Annotated[dict[Name, ColumnChoice], msgspec.Meta(max_length=COLUMNS_MAX)] = {}
    shares: Annotated[dict[Name, Share], msgspec.Meta(max_length=32)] = {}
    """Of the false-alarm budget, by group of columns, relative to one another. Empty: every column has the same."""
    segments: Segments | None = None
    traffic: Traffic = Traffic()
    performance: Performance = Performance()
    adversarial: Adversarial = Adversarial()
    actions: Actions = Actions()
    confirmations: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    dry_run: bool = False
    reviewers: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2
    review_hours: Annotated[float, msgspec.Meta(ge=0.01, le=720)] = 24.0
    """How long a review may take before people are told that nobody has decided."""
    review_reminders: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    """How often they are told."""
    break_glass_minutes_max: Annotated[float, msgspec.Meta(ge=0, le=1_440)] = 60.0
    """How long one person may let a held version serve; 0 lets nobody."""
    baseline_review: BaselineReview = BaselineReview.MOVED
    fail: FailMode = FailMode.OPEN
    fallback: str | None = None
    blast_radius: BlastRadius = BlastRadius()
    incidents: Incidents = Incidents()
    reports: Reports = Reports()

    @property
    def ticks_per_false_alarm(self) -> float:
        """The promised mean number of ticks between false alarms: the alarm threshold A."""
        period = self.budget.per_days * SECONDS_PER_DAY / self.budget.false_alarms
        return max(1.0, period / self.tick_seconds)

    def sealed(self, pseudonym: Callable[[str], str]) -> "Policy":
        """Return it as it may be stored: with no principal's name."""
        return msgspec.structs.replace(self, adversarial=self.adversarial.sealed(pseudonym))

    @property
    def tuning(self) -> Tuning:
        """What it says about evidence, in one form for everything that means the same."""
        told = {name: choice for name, choice in self.columns.items() if choice != ColumnChoice()}
        return Tuning(
            minimum_effect=self.minimum_effect,
            columns=tuple(sorted(told.items(), key=lambda item: item[0])),
            shares=tuple(sorted(self.shares.items())),
            segments=None
            if self.segments is None
            else msgspec.structs.replace(self.segments, values=tuple(sorted(self.segments.values))),
            traffic=self.traffic,
            follow=self.adversarial.follow,
            events_of_one=self.adversarial.events_of_one,
            requests=self.adversarial.requests,
        )
