"""From the gate's memory to the record, and to people, with a clock and a store that tests hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from service.domain.enforcement import Enforcement
from service.domain.errors import Unavailable
from service.domain.ids import Actor, Micros, VersionId
from service.domain.records import AuditEntry, Message
from service.domain.states import State
from service.enforcement import EnforcementWatch
from service.gate.acknowledge import Acknowledgements
from service.gate.fleet import FleetView
from service.gate.refresh import Fleet
from tests.fakes import InMemoryStore, ManualClock
from tests.service.gate.fleets import a_fleet

ONE = VersionId(1)
SECOND = 1_000_000


@dataclass
class Ledger:
    """EnforcementLedger in memory."""

    rows: dict[VersionId, Enforcement] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    away: bool = False

    def latest(self, version_id: VersionId | None = None) -> Sequence[Enforcement]:
        return [one for one in self.rows.values() if version_id in {None, one.version_id}]

    def waiting(self) -> Sequence[Enforcement]:
        return [one for one in self.rows.values() if one.ended_us is None or one.overdue_us is not None]

    def acknowledge(self, version_id: VersionId, lock: int, at_us: Micros, decision_id: str) -> None:
        if self.away:
            raise Unavailable("the store is away")
        one = self.rows[version_id]
        if one.enforced_us is None and one.lock < lock:
            self.rows[version_id] = replace(one, enforced_us=at_us, decision_id=decision_id)

    def tell(self, one: Enforcement, kind: str, text: str, at_us: Micros, messages: Sequence[Message]) -> bool:
        if self.rows[one.version_id] != one:
            return False
        self.rows[one.version_id] = replace(one, overdue_us=at_us if kind == "not_enforced" else None)
        self.told.append((kind, text))
        self.messages += messages
        return True

    def audit(self, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
        raise NotImplementedError

    def drills(self, subject: str, limit: int) -> Sequence[AuditEntry]:
        raise NotImplementedError


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ledger = Ledger()
        self.heard = Acknowledgements(self.clock)
        self.last_us = Micros(0)
        fleet = Fleet(InMemoryStore().read, self.clock)
        view: FleetView = a_fleet(("fraud", "1", State.QUARANTINED))
        fleet.view = view
        self.start_us = self.clock.now_us()
        self.ledger.rows[ONE] = Enforcement(version_id=ONE, lock=0, quarantined_us=self.start_us, incident_id="i")
        self.watch = EnforcementWatch(
            ledger=self.ledger,
            heard=self.heard,
            fleet=fleet,
            clock=self.clock,
            last_arrival=lambda _: self.last_us,
            grace_seconds=60.0,
        )

    def later(self, seconds: float, *, event: bool) -> list[str]:
        """Let time pass, with an event at its end or without, and return what was told since the beginning."""
        self.clock.set(Micros(self.start_us + round(seconds * SECOND)))
        if event:
            self.last_us = self.clock.now_us()
        self.watch.look()
        return [kind for kind, _ in self.ledger.told]


def test_the_first_refusal_is_written_down_with_its_own_time() -> None:
    bench = Bench()
    bench.clock.set(Micros(bench.start_us + SECOND))
    bench.heard.note((ONE, 1), "d-1")
    bench.clock.set(Micros(bench.start_us + 5 * SECOND))
    bench.heard.note((ONE, 1), "d-2")
    bench.watch.write_down()
    one = bench.ledger.rows[ONE]
    assert (one.seconds, one.decision_id) == (1.0, "d-1")
    assert bench.heard.waiting() == ()


def test_what_cannot_be_written_now_is_written_later() -> None:
    bench = Bench()
    bench.ledger.away = True
    bench.heard.note((ONE, 1), "d-1")
    for _ in range(2):
        try:
            bench.watch.write_down()
        except Unavailable:
            bench.ledger.away = False
    assert bench.ledger.rows[ONE].decision_id == "d-1"


def test_another_quarantine_is_acknowledged_anew() -> None:
    heard = Acknowledgements(ManualClock())
    for lock in (1, 1, 4):
        heard.note((ONE, lock), f"d-{lock}")
        for one in heard.waiting():
            heard.written(one)
    assert heard.waiting() == ()
    heard.note((ONE, 4), "again")
    assert heard.waiting() == (), "the same lock is one look into a dictionary"
    heard.note((ONE, 7), "d-7")
    assert [one.decision_id for one in heard.waiting()] == ["d-7"]


def test_a_refusal_that_waits_for_the_store_does_not_stand_in_the_way_of_the_next_quarantine_s() -> None:
    heard = Acknowledgements(ManualClock())
    heard.note((ONE, 1), "d-1")
    heard.note((ONE, 4), "d-4")
    first, second = heard.waiting()
    assert [(one.lock, one.decision_id) for one in (first, second)] == [(1, "d-1"), (4, "d-4")]
    heard.written(first)
    assert heard.waiting() == (second,)


def test_events_after_the_deadline_reach_every_channel_once_and_so_does_their_end() -> None:
    bench = Bench()
    assert bench.later(59, event=True) == []
    assert bench.later(61, event=True) == ["not_enforced"]
    assert bench.later(62, event=True) == ["not_enforced"]
    assert [message.severity for message in bench.ledger.messages] == ["high"]
    payload = msgspec.json.decode(bench.ledger.messages[0].payload)
    assert (payload["status"], payload["commonLabels"]["alertname"]) == ("firing", "LazarettoNotEnforced")
    assert payload["commonAnnotations"]["incident_id"] == "i"
    assert bench.later(121.9, event=False) == ["not_enforced"]
    assert bench.later(122, event=False) == ["not_enforced", "enforced_again"]
    ending = msgspec.json.decode(bench.ledger.messages[-1].payload)
    assert ending["status"] == "resolved"
    assert ending["alerts"][0]["labels"] == payload["alerts"][0]["labels"]
    # And anew, should it begin anew: with a message of its own.
    assert bench.later(500, event=True)[-1] == "not_enforced"
    assert len({message.id for message in bench.ledger.messages}) == len(bench.ledger.messages) == 3
