"""What is known of one version, as a fold over its log entries: counters, and the evidence once there is a baseline."""

import logging
import math

import msgspec
import numpy as np

from detectors.errors import StateError
from detectors.evidence import EvidenceState
from service.detect.answers_before import LookBack
from service.detect.balance import Balance, StoredBalance
from service.detect.changes import Changes
from service.detect.conduct import Conduct
from service.detect.engines import Engine, Engines
from service.detect.keeping import unreadable
from service.detect.outcomes import Outcomes, StoredOutcomes
from service.detect.parts import StoredPart
from service.detect.plan import Era, Plan
from service.detect.principals import Principals
from service.detect.rebuild import Rebuild, StoredRebuild
from service.detect.requests import RequestWatch
from service.detect.status import finite
from service.detect.traffic import StoredTraffic, Traffic
from service.detect.trail import Trail
from service.detect.watched import Watched
from service.detect.windows import ReadWindow, Windows
from service.domain.evaluation import Evaluation, Silence
from service.domain.ids import Micros, Position, VersionId
from service.domain.policy import Tuning
from service.domain.records import Snapshot, Window
from service.ports import LogEntry

FORMAT = 8
UNUSABLE = "the stored baseline cannot be used: its signature or its content is not what was signed; put it again"
_logger = logging.getLogger("lazaretto.detect")


class Stored(msgspec.Struct, array_like=True):
    """What a snapshot's own fields do not say."""

    format: int
    last_arrival_us: int
    restart_position: int
    tick_us: int
    tuning: Tuning
    entered: bool
    """False while no entry has been folded under a plan."""
    last_tick_start_us: int = 0
    open_tick: int = -1
    open_events: int = 0
    open_counts: bytes = b""
    changes: bytes = b""
    evidence: bytes = b""
    """Empty without a baseline."""
    last_events: int = 0
    parts: list[StoredPart] = []
    """Of the evidence of segments."""
    traffic: StoredTraffic | None = None
    heard_us: int = 0
    silent: bool = False
    rebuild: StoredRebuild | None = None
    balance: StoredBalance | None = None
    outcomes: StoredOutcomes | None = None


class VersionFold:
    """The state of one version after an entry of the log."""

    def __init__(self, version_id: VersionId) -> None:
        self.version_id = version_id
        self.events_total = self.labels_total = self.leaks_total = 0
        self.last_arrival_us = 0
        self.heard_us = 0
        """Since when silence counts: the last event, or the end of a time in which nobody could have been heard."""
        self.silent = False
        """Whether people were told that no events come."""
        self.position = Position(0)
        """Of the last entry that changed anything here."""
        self.touched_us = Micros(0)
        """When that entry arrived."""
        self.era: Era | None = None
        self.watched: Watched | None = None
        self.principals: Principals | None = None
        """Who is followed one by one; kept beside snapshots, now and then."""
        self._keeps = False
        """Whether anything of principals is kept in the store."""
        self.conduct = Conduct(version_id)
        """What the entries say of cost, labels and what is vouched for; not in snapshots."""
        self.outcomes = Outcomes(version_id)
        self.requests: RequestWatch | None = None
        """Which requests are odd by themselves; only in the status of snapshots."""
        self._trail = Trail()
        self._rows: list[Window] = []
        """Of windows under an earlier baseline, not written yet."""

    def enter(self, era: Era, engine: Engine | None, position: Position) -> None:
        """Begin an era with the entry at a position: the open tick goes to the windows, evidence starts from zero."""
        before = self.watched
        if before is not None:
            before.flush()
            self._rows += before.windows.take_rows()
        self.watched = None
        if engine is not None:
            if before is not None and self.era is not None and self.era.baseline_id == era.baseline_id:
                windows = before.windows
            else:
                windows = _new_windows(self.version_id, era, engine)
                if before is not None:
                    windows.carry_on(before.windows)
            self.watched = Watched(
                engine, windows, era.tick_us, self._traffic_of(era, engine, before), Balance.of(era.tuning)
            )
        self.principals = Principals.of(self.version_id, engine, era.tuning)
        self.conduct = Conduct(self.version_id, era.tuning.follow, str(era.baseline_id).encode())
        self.requests = self._requests_of(era, engine)
        self.outcomes.begin(self.era, era, Position(min(self.position, position - 1)))
        self.era = era

    def _requests_of(self, era: Era, engine: Engine | None) -> RequestWatch | None:
        """Return who looks at requests in a new era: under the same baseline the list goes on."""
        before, watch = self.requests, RequestWatch.of(engine, era.tuning, era.baseline_id)
        if before is not None and watch is not None:
            watch.carry_on(before)
        return watch

    def _traffic_of(self, era: Era, engine: Engine, before: Watched | None) -> Traffic | None:
        """Return the traffic of a new era: what was learnt under the same baseline still holds."""
        traffic = Traffic.of(era, engine)
        if before is None or self.era is None or self.era.baseline_id != era.baseline_id:
            return traffic
        if traffic is not None and before.traffic is not None:
            traffic.carry_on(before.traffic)
        return traffic

    def take_batch(self, entry: LogEntry, *, serving: bool) -> None:
        """Count the events of one entry; those of a version that should get none are leaks of the gate."""
        self.events_total += entry.rows
        self.last_arrival_us = self.heard_us = entry.arrival_us
        if not serving:
            self.leaks_total += entry.rows
        self._touch(entry.position, entry.arrival_us)
        if self.watched is not None:
            self.watched.take(entry, serving=serving)
        if self.principals is not None:
            self.principals.take(entry)
        if self.requests is not None:
            self.requests.take(entry)
        self.outcomes.take(entry, self.watched)

    def quiet_us(self, plan: Plan) -> int | None:
        """Return how long a pause is silence; ``None`` while nobody knows."""
        said = plan.settled.tuning.traffic.stale_after_seconds
        if said is not None:
            return round(said * 1e6)
        traffic = None if self.watched is None else self.watched.traffic
        return None if traffic is None else traffic.monitor.quiet_us

    def tell_silence(self, entry: LogEntry, since_us: Micros, *, over: bool, learnt: bool) -> Silence:
        """Note that people hear of a silence, or of its end."""
        self.silent = over is False
        self._touch(entry.position, entry.arrival_us)
        return Silence(
            version_id=self.version_id,
            position=entry.position,
            at_us=entry.arrival_us,
            since_us=since_us,
            over=over,
            learnt=learnt,
        )

    def hear_from(self, entry: LogEntry) -> None:
        """Let silence count from an entry on: before it, nobody could have been heard."""
        self.heard_us = entry.arrival_us
        self._touch(entry.position, entry.arrival_us)

    def take_labels(self, entry: LogEntry, before: LookBack) -> None:
        """Count labels, compare those who report them, and join them with their answers; ``before`` knows the log."""
        self.labels_total += entry.rows
        self.outcomes.take_labels(entry, self.watched, before)
        self.conduct.take_labels(entry)
        self._touch(entry.position, entry.arrival_us)

    def close_tick(self, plan: Plan, position: Position, at_us: Micros) -> Evaluation | None:
        """Close the open tick because the entry at ``position`` is of a later one.

        Returns ``None`` when there is nothing to judge: a tick without a value, or one from before people last settled
        what the evidence says.
        """
        self._touch(position, at_us)
        watched = self.watched
        if watched is None or not watched.step():
            return None
        log_model = watched.log_model
        self._trail.add(watched.windows.last_tick_start_us, log_model)
        if position <= plan.restart_position:
            return None
        if log_model >= plan.threshold_log:
            watched.settle_changes()
        return Evaluation(
            version_id=self.version_id,
            position=position,
            at_us=at_us,
            evidence_log=log_model,
            threshold_log=plan.threshold_log,
            findings=watched.findings(plan.threshold_log),
            sufficient=watched.engine.sufficient,
            rebuilt=watched.judge_rebuild(log_model, plan.threshold_log, at_us),
        )

    def snapshot(self, plan: Plan, last: Position) -> Snapshot:
        """Return all that is needed to go on bit for bit, the log read to ``last``, and what people want to see."""
        if self.watched is not None:
            self.watched.settle()
        kept = self._kept_principals(last)
        return Snapshot(
            version_id=self.version_id,
            baseline_id=None if self.era is None else self.era.baseline_id,
            position=self.position,
            events_total=self.events_total,
            labels_total=self.labels_total,
            leaks_total=self.leaks_total,
            evidence_log=self._evidence_log(),
            threshold_log=plan.threshold_log,
            blob=msgspec.msgpack.encode(self._stored()),
            status=self._status(plan.threshold_log),
            updated_us=self.touched_us,
            principals=kept,
            answers=self.outcomes.take_blocks(),
            answers_first=self.outcomes.first_block,
        )

    def _kept_principals(self, last: Position) -> bytes | None:
        if self.principals is not None:
            self._keeps = True
            return self.principals.due(last)
        kept, self._keeps = b"" if self._keeps else None, False
        return kept

    def forget_status(self) -> None:
        """Let the status be written anew: what was promised may have changed."""
        if self.watched is not None:
            self.watched.forget_status()

    @property
    def closes_us(self) -> int | None:
        """When the open tick ends; ``None`` when there is none."""
        return None if self.watched is None else self.watched.closes_us

    def take_rows(self) -> list[Window]:
        """Return the window rows that have to be written since the last call, each one once."""
        rows, self._rows = self._rows, []
        if self.watched is not None:
            rows += self.watched.windows.take_rows()
        return list({(row.level, row.start_us): row for row in rows}.values())

    def restore(self, snapshot: Snapshot, engines: Engines, read: ReadWindow) -> None:
        """Go on from a snapshot.

        A snapshot of another release's format keeps its counters and starts its evidence from zero: that costs delay,
        where refusing to go on would cost the monitoring.
        """
        self.events_total = snapshot.events_total
        self.labels_total = snapshot.labels_total
        self.leaks_total = snapshot.leaks_total
        self.position, self.touched_us = snapshot.position, snapshot.updated_us
        self._trail = Trail.of_status(snapshot.status)
        try:
            stored = msgspec.msgpack.decode(snapshot.blob, type=Stored)
            self._adopt(snapshot, stored, engines, read)
        except (msgspec.MsgspecError, StateError) as error:
            extra = {"version_id": snapshot.version_id, "reason": str(error)}
            _logger.error("snapshot not understood: evidence starts from zero", extra=extra)  # noqa: TRY400 - the message says it all
            self.era, self.watched = None, None
        self._keeps = bool(snapshot.principals)
        if self.principals is not None and snapshot.principals:
            try:
                self.principals.adopt(snapshot.principals)
            except StateError as error:
                unreadable(self.version_id, error)
                self.principals = None if self.era is None else self._principals_of(self.era, engines)

    def _principals_of(self, era: Era, engines: Engines) -> Principals | None:
        return Principals.of(self.version_id, engines.of(era), era.tuning)

    def _adopt(self, snapshot: Snapshot, stored: Stored, engines: Engines, read: ReadWindow) -> None:
        if stored.format != FORMAT:
            raise StateError(f"format {stored.format}; this release writes {FORMAT}")
        self.last_arrival_us = stored.last_arrival_us
        self.heard_us, self.silent = stored.heard_us, stored.silent
        self.outcomes.adopt(stored.outcomes, snapshot)
        if not stored.entered:
            return
        self.era = Era(
            baseline_id=snapshot.baseline_id,
            restart_position=Position(stored.restart_position),
            tick_us=stored.tick_us,
            tuning=stored.tuning,
        )
        engine = engines.of(self.era)
        self.principals = Principals.of(self.version_id, engine, self.era.tuning)
        self.conduct = Conduct(self.version_id, self.era.tuning.follow, str(self.era.baseline_id).encode())
        self.requests = RequestWatch.of(engine, self.era.tuning, snapshot.baseline_id)
        if self.requests is not None:
            self.requests.restore(snapshot.status)
        if engine is None or not stored.evidence:
            return
        windows = _new_windows(self.version_id, self.era, engine)
        windows.restore(stored.last_tick_start_us, read)
        traffic = Traffic.of(self.era, engine)
        if traffic is not None and stored.traffic is not None:
            traffic.adopt(stored.traffic)
        self.watched = Watched(engine, windows, stored.tick_us, traffic, Balance.of(stored.tuning))
        if self.watched.balance is not None and stored.balance is not None:
            self.watched.balance.adopt(stored.balance)
        self.watched.parts.restore(stored.parts)
        self.watched.set_evidence(EvidenceState.from_bytes(engine.bets, stored.evidence), stored.evidence)
        if stored.rebuild is not None:
            self.watched.rebuild = Rebuild.adopt(engine, stored.rebuild)
        self.watched.open_tick = stored.open_tick
        self.watched.open_events = stored.open_events
        self.watched.last_events = stored.last_events
        self.watched.open_counts = np.frombuffer(stored.open_counts, np.int64).copy()
        self.watched.changes = Changes.from_bytes(stored.changes, engine.baseline.total)

    def _stored(self) -> Stored:
        era, watched = self.era, self.watched
        stored = Stored(
            format=FORMAT,
            last_arrival_us=self.last_arrival_us,
            restart_position=0 if era is None else era.restart_position,
            tick_us=0 if era is None else era.tick_us,
            tuning=Tuning() if era is None else era.tuning,
            entered=era is not None,
            heard_us=self.heard_us,
            silent=self.silent,
            outcomes=self.outcomes.stored(),
        )
        if watched is not None:
            stored.last_tick_start_us = watched.windows.last_tick_start_us
            stored.open_tick = watched.open_tick
            stored.open_events = watched.open_events
            stored.last_events = watched.last_events
            stored.open_counts = watched.open_counts.tobytes()
            stored.changes = watched.changes.to_bytes()
            stored.evidence = watched.evidence_bytes()
            stored.parts = watched.parts.stored()
            stored.traffic = None if watched.traffic is None else watched.traffic.stored()
            stored.balance = None if watched.balance is None else watched.balance.stored()
            stored.rebuild = None if watched.rebuild is None else watched.rebuild.stored()
        return stored

    def _status(self, threshold_log: float) -> str:
        watched = self.watched
        status: dict[str, object] = {
            "monitoring": self._monitoring(),
            "insufficient": self._insufficient(),
            "notes": () if watched is None else watched.engine.notes,
            "events_total": self.events_total,
            "last_arrival_us": self.last_arrival_us,
            "log_evidence": finite(self._evidence_log()),
            "ticks": 0 if watched is None else watched.read.ticks,
            "traffic": None if watched is None or watched.traffic is None else watched.traffic.status(),
            "left_out": 0 if watched is None or watched.balance is None else watched.balance.left_out,
            "certificate": None if watched is None else watched.certificate(),
            "rebuild": None if watched is None or watched.rebuild is None else watched.rebuild.status(),
            "principals": None if self.principals is None else self.principals.status(),
            "requests": None if self.requests is None else self.requests.status(),
            "windows": {} if watched is None else watched.windows.extents(watched.tick_us),
            "columns": msgspec.Raw(b"[]" if watched is None else watched.columns_json(threshold_log)),
            "trail": self._trail.json(),
            "conduct": self.conduct.status(),
            "performance": self.outcomes.status(None if watched is None else watched.engine),
        }
        if watched is not None and watched.engine.segments:
            status["segments"] = msgspec.Raw(watched.segments_json(threshold_log))
        return msgspec.json.encode(status).decode()

    def _monitoring(self) -> str:
        if self.silent:
            return "stale"
        if self.era is None or self.era.baseline_id is None:
            return "warming"
        return "watching" if self._insufficient() is None else "insufficient"

    def _insufficient(self) -> str | None:
        """Say what is missing for a promise about false alarms, once there is a baseline."""
        if self.era is None or self.era.baseline_id is None:
            return None
        return UNUSABLE if self.watched is None else self.watched.engine.insufficient

    def _evidence_log(self) -> float:
        return -math.inf if self.watched is None else self.watched.log_model

    def _touch(self, position: Position, at_us: Micros) -> None:
        self.position, self.touched_us = position, at_us


def _new_windows(version_id: VersionId, era: Era, engine: Engine) -> Windows:
    return Windows(version_id, str(era.baseline_id), engine.baseline.total, len(engine.names))
