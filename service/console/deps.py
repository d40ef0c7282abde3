"""What the console needs from the outside; ``service/wiring.py`` fills it in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from threading import Event

from service.console.streams import Streams
from service.domain.ids import Actor, Micros
from service.domain.keys import Identity
from service.domain.schedule import Schedule
from service.incident_office import IncidentOffice
from service.office import OfficeStages
from service.ports import Clock, KeyStore, ReadStore
from service.ports_console import Looking, Standing
from service.ports_incidents import IncidentDesk
from service.ports_notify import NotificationDesk
from service.ports_pages import KeyUses, PageStore
from service.reports.desk import ReportDesk
from service.reports.evidence import Bundler
from service.review.stages import ReviewStages
from service.settings import Settings
from service.transcripts import Reading

Drafts = Callable[[Actor, str, str, Micros | None, Micros | None, str], Awaitable[str]]
"""Draft a baseline of a version's traffic for somebody, from a time, to a time, for a reason; return its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleDeps:
    """The console's ports."""

    read: ReadStore
    looking: Looking
    standing: Callable[[], Standing]
    """Every version as the process knows it; the same object as long as nothing has changed."""
    keys: KeyStore
    """Asked on every request, so that a revoked key stops working at once."""
    office: OfficeStages
    """Where people's decisions are written; the same functions as the API's."""
    clock: Clock
    authenticate: Callable[[str], Identity]
    """Turn a pasted key into who it is; raises Unauthenticated."""
    used: Callable[[str], None]
    """Count a key, by its id, as used: a session asks with it, though nobody pastes it again."""
    session_key: bytes
    """Signs sessions and form tokens; at least 32 bytes, shared by replicas."""
    changed: Callable[[], None]
    """Called after a change, so that the gate sees it before the person does."""
    stale_seconds: float
    """``Settings.stale_seconds``."""
    transcripts: Reading | None = None
    """``None``: there are no pages of them."""
    schedule: Callable[[], Schedule] = Schedule
    """Of the red-team runs that the service starts by itself."""
    review: ReviewStages | None = None
    """Broken glass, named reviewers and proposed baselines; without it the page of a version has nothing of them."""
    incidents: IncidentDesk | None = None
    """What stands beside incidents; without it they are shown without."""
    triage: IncidentOffice | None = None
    pages: PageStore | None = None
    """Parts of long lists; without it there are no pages that list."""
    desk: NotificationDesk | None = None
    channels: tuple[str, ...] = ()
    """Names of the channels that are set up."""
    settings: Settings | None = None
    """What is in force; secrets are never shown."""
    uses: KeyUses | None = None
    streams: Streams = field(default_factory=Streams)
    """Pages that are kept current; at most ``Settings.console_streams_max``."""
    ending: Event = field(default_factory=Event)
    """Set when the process has been asked to end: streams end by themselves."""
    reports: ReportDesk | None = None
    """``None``: there are no reports."""
    draft: Drafts | None = None
    """``None``: the console drafts no baselines."""
    bundler: Bundler | None = None
