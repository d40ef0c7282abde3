"""From a report that was asked for to its parts: rows out of the log or the store, and the page made of them.

Both steps run in processes of their own. Whatever goes wrong becomes a sentence for people; the rows that were drawn
stay, so that they can be downloaded all the same.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import msgspec

from service.domain.records import Version
from service.domain.reports import ReportColumn, ReportFacts, ReportRecord, Reports
from service.reports.child import MIB, Limits, Outcome, own_environment, run, with_service
from service.reports.drawing import Job
from service.reports.samples import Pair, Sample, plain_numbers, texts_of

T = TypeVar("T")
ROWS_MIN = 20
"""Of fewer rows a report says nothing."""
DRAW_BYTES_MAX = 48 * MIB
DRAW_MEMORY_BYTES = 2_048 * MIB
PROGRAM = Path(__file__).with_name("render.py").resolve()
"""Run by itself, never imported: it knows nothing of the service."""


class Rendered(msgspec.Struct, kw_only=True):
    """What the rendering program answers."""

    html: str
    json: msgspec.Raw
    columns: list[ReportColumn]
    left_out: dict[str, str]
    renderer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What reports are made with."""

    log_url: str
    keys: tuple[bytes, ...]
    """The first one encrypts, all of them decrypt."""
    python: Path | None
    """Interpreter that has Evidently; by default this one."""
    seconds_max: float
    memory_bytes_max: int
    output_bytes_max: int
    ending: Event
    """Set when the process has been asked to end."""

    def draw(self, version: Version, reports: Reports, from_us: int, to_us: int) -> tuple[Pair | None, str]:
        """Draw rows of a time and of the time before it; or say why there are none."""
        job = Job(
            log_url=self.log_url,
            version_id=version.id,
            schema=version.schema,
            reports=reports,
            from_us=from_us,
            to_us=to_us,
        )
        command = [sys.executable, "-B", "-m", "service.reports.drawing"]
        limits = Limits(seconds=self.seconds_max, memory_bytes=DRAW_MEMORY_BYTES, output_bytes=DRAW_BYTES_MAX)
        outcome = self._run(command, msgspec.json.encode(job), limits, with_service)
        if outcome.failure:
            return None, f"drawing rows from the log: {outcome.failure}"
        return msgspec.msgpack.decode(outcome.output, type=Pair), ""

    def render(self, title: str, current: Sample, reference: Sample) -> tuple[Rendered | None, str, float]:
        """Render a report of two sides; or say why there is none. The third value is how many seconds it took."""
        job = {"title": title, "current": side_of(current), "reference": side_of(reference)}
        command = [str(self.python or sys.executable), "-I", "-B", str(PROGRAM)]
        limits = Limits(
            seconds=self.seconds_max, memory_bytes=self.memory_bytes_max, output_bytes=self.output_bytes_max
        )
        outcome = self._run(command, msgspec.json.encode(job), limits, dict)
        if outcome.failure:
            return None, f"rendering: {outcome.failure}", outcome.seconds
        try:
            return msgspec.json.decode(outcome.output, type=Rendered), "", outcome.seconds
        except msgspec.MsgspecError as error:
            return None, f"rendering: the result cannot be read: {error}", outcome.seconds

    def _run(
        self,
        command: Sequence[str],
        payload: bytes,
        limits: Limits,
        dressed: Callable[[dict[str, str]], dict[str, str]],
    ) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="lazaretto-report-") as folder:
            environment = dressed(own_environment(Path(folder)))
            return run(command, payload, limits, environment=environment, ending=self.ending, cwd=Path(folder))


def unpacked(packed: bytes, kind: type[T]) -> T | None:
    """Read kept rows; ``None`` for those of another release."""
    try:
        return msgspec.msgpack.decode(packed, type=kind)
    except msgspec.MsgspecError:
        return None


def side_of(sample: Sample) -> dict[str, Any]:
    """Return one side of a report as the rendering program reads it."""
    return {
        "rows": sample.rows,
        "numeric": {name: plain_numbers(sample, name) for name in sample.numeric},
        "categorical": {name: texts_of(sample, name) for name in sample.categorical},
    }


def facts_of(pair: Pair, reference: Sample | None, *, frozen: bool) -> ReportFacts:
    """Return what a report is made from; ``reference`` are kept rows of it, where there are some."""
    against = pair.before if reference is None else reference
    return ReportFacts(
        current_rows=pair.current.rows,
        reference_rows=against.rows,
        current_seen=pair.current.seen,
        reference="traffic" if reference is None else "reference",
        from_us=pair.current.from_us,
        to_us=pair.current.to_us,
        reference_from_us=against.from_us,
        reference_to_us=against.to_us,
        cut=pair.current.cut or against.cut,
        frozen=frozen,
        left_out=against.left_out | pair.current.left_out,
    )


def unfit(facts: ReportFacts, current: Sample, reference: Sample) -> str:
    """Say why rows are no ground for a report; empty when they are."""
    if current.rows < ROWS_MIN:
        return f"there are {current.rows} events in the time that the report is about; at least {ROWS_MIN} are needed"
    if reference.rows < ROWS_MIN:
        if facts.reference == "reference":
            return f"the kept reference has {reference.rows} rows; at least {ROWS_MIN} are needed"
        return (
            f"nothing to compare with: the policy keeps no rows of the reference (reports.reference_rows), and the log"
            f" has {reference.rows} events of the time before; at least {ROWS_MIN} are needed"
        )
    if not set(current.columns) & set(reference.columns):
        return "no column may be drawn: " + "; ".join(f"{name}: {why}" for name, why in facts.left_out.items())[:500]
    return ""


def told(facts: ReportFacts, rendered: Rendered, seconds: float, json: bytes) -> ReportFacts:
    """Return the facts with what the report found."""
    return msgspec.structs.replace(
        facts,
        columns=tuple(sorted(rendered.columns, key=_first)),
        left_out=facts.left_out | rendered.left_out,
        renderer=rendered.renderer,
        seconds=round(seconds, 3),
        html_sha256=sha256(rendered.html.encode()).hexdigest(),
        json_sha256=sha256(json).hexdigest(),
    )


def _first(column: ReportColumn) -> tuple[bool, float, str]:
    """Return what columns are sorted by: drifted ones first, of those the surest."""
    return not column.drifted, 1.0 if column.score is None else column.score, column.name


def whole_json(record: ReportRecord, facts: ReportFacts, rendered: Rendered) -> bytes:
    """Return the report as JSON: what it is made from, what is said of each column, and Evidently's own answer."""
    facts = msgspec.structs.replace(facts, columns=tuple(rendered.columns), renderer=rendered.renderer)
    return msgspec.json.encode(
        {
            "report_id": record.id,
            "model": record.model,
            "version": record.version,
            "incident_id": record.incident_id,
            "drifted": list(facts.drifted),
            "facts": facts,
            "evidently": rendered.json,
        }
    )
