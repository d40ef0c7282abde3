"""From a request for the page of an incident to the page: read, decide, render."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Response

from service.console.access import Viewer
from service.console.actions import SNOOZE_HOURS
from service.console.addresses import address, incident_url
from service.console.attack import gather_incident, incident_page
from service.console.beside import beside_of
from service.console.deps import ConsoleDeps
from service.console.incident_acts import UNRESOLVED, acts_of, others_of
from service.console.incident_fold import HOUR_US, FoldFacts, fold_of
from service.console.incident_frozen import frozen_section
from service.console.incident_past import READ, past_of
from service.console.pages import empty, render
from service.console.read_models import When
from service.console.reports import report_card
from service.console.runbooks import RUNBOOKS
from service.console.tags import FRESH_US, tag_of
from service.console.transcripts import may_read
from service.console.typed import NOTHING, Typed, sentence
from service.domain.errors import LazarettoError, NotFound
from service.domain.ids import Micros
from service.domain.records import Alert, Incident, Verdict
from service.domain.states import SERVING
from service.ports_pages import IncidentsWanted

OFFERED = 8
VERDICT_WORDS = {
    Verdict.REAL_DRIFT: "the world has changed: the model must follow",
    Verdict.DATA_BUG: "a sender or a pipeline is broken",
    Verdict.ATTACK: "somebody works against the model",
    Verdict.BENIGN: "a change that does not matter",
    Verdict.FALSE_ALARM: "nothing has changed: chance",
}


@dataclass(frozen=True, slots=True)
class IncidentAsked:
    """What a request says beside the address of the page."""

    known: str | None = None
    """The tag of the page that the browser has."""
    part: int = 1
    """Of the timeline."""


PLAIN = IncidentAsked()


@dataclass(frozen=True, slots=True)
class IncidentViews:
    """Makes the page of one incident."""

    deps: ConsoleDeps

    def page(
        self,
        viewer: Viewer,
        incident_id: str,
        *,
        notice: str | None = None,
        problem: LazarettoError | None = None,
        typed: Typed = NOTHING,
        asked: IncidentAsked = PLAIN,
    ) -> Response:
        """Render the page, or say that it is still the one that the browser has.

        Raises
        ------
        NotFound
            When there is no such incident, or none that the key may see.
        """
        read, now_us = self.deps.read, self.deps.clock.now_us()
        revision = read.revision()
        found = read.incident(incident_id)
        if found is None or not viewer.identity.sees(found.model):
            raise NotFound(f"There is no incident '{incident_id[:100]}', or your key may not see it.")
        known_at = revision, self.deps.standing().revision
        tag = tag_of(viewer.session.token, incident_id, asked.part, known_at, now_us // FRESH_US)
        if asked.known == tag and problem is None:
            return empty(304, {"etag": tag})
        gathered = gather_incident(read, found, now_us, asked.part)
        others, others_open = others_of(self.deps.pages, found)
        facts = self._facts(found, now_us, gathered.alerts, others_open)
        columns = frozenset(one.name for alert in gathered.alerts for one in alert.columns)
        pages = self.deps.pages
        return render(
            "incident.html",
            problem.status if problem else 200,
            {"etag": tag},
            viewer=viewer,
            address=address(incident_url(found.id), {"entries": asked.part if asked.part > 1 else None}),
            page=incident_page(gathered, viewer.identity),
            fold=None if facts is None else fold_of(facts, viewer.identity),
            acts=None if facts is None else acts_of(facts, others, viewer.identity),
            frozen=frozen_section(self.deps.incidents.evidence(found.id) if self.deps.incidents else None, now_us),
            past=None
            if pages is None
            else past_of(pages.alike(found, viewer.identity.models, READ), found, columns, now_us),
            runbook=RUNBOOKS[found.cause],
            transcript=may_read(self.deps, viewer, found),
            report=report_card(self.deps, viewer, found),
            beside=beside_of(self.deps.incidents, found, now_us),
            snooze_hours=SNOOZE_HOURS,
            verdicts=[(str(verdict), meaning) for verdict, meaning in VERDICT_WORDS.items()],
            typed=typed,
            as_of=When.of(now_us, now_us),
            notice=notice,
            problem=sentence(problem) if problem else None,
        )

    def missing(self, viewer: Viewer, error: NotFound) -> Response:
        """Render what there is instead of an incident that is not there."""
        pages, now_us = self.deps.pages, self.deps.clock.now_us()
        wanted = IncidentsWanted(models=viewer.identity.models, statuses=UNRESOLVED)
        found = () if pages is None else pages.incidents(wanted, OFFERED, 0).rows
        offered = [(one.id, one.title, When.of(one.opened_us, now_us)) for one in found]
        return render("incident_missing.html", error.status, viewer=viewer, text=error.detail, offered=offered)

    def _facts(self, incident: Incident, now_us: Micros, alerts: Sequence[Alert], others_open: int) -> FoldFacts | None:
        read, pages = self.deps.read, self.deps.pages
        model, version = read.model(incident.model), read.version(incident.model, incident.version)
        if model is None or version is None:
            return None
        held = version.state not in SERVING
        return FoldFacts(
            now_us=now_us,
            incident=incident,
            alerts=alerts,
            model=model,
            version=version,
            fleet=self.deps.standing().versions,
            keys=read.keys(),
            approvals=read.approvals(version.id),
            snapshot=read.snapshot(version.id),
            enforcement=pages.enforcement(version.id) if pages is not None and held else None,
            events_hour=None if pages is None else pages.events_since(version.id, Micros(now_us - HOUR_US)),
            others_open=others_open,
        )

    @staticmethod
    def url(incident_id: str, done: str) -> str:
        """Return where to go after an action."""
        return f"{incident_url(incident_id)}?done={done}"
