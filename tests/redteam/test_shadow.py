"""A shadow in a monitor: what is sent to it, and what of its answers is of which session."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from redteam.attacks.streams import HONEST
from redteam.company import CLIENTS, company, wants_company
from redteam.honest import REPORTERS
from redteam.lazaretto import Monitor, MonitorFailed, Seen, Shadow
from redteam.places import label_of
from redteam.session import Kind, Session, takes_days
from redteam.telemetry import FINGERPRINT, LATENCY, salt_of
from tests.redteam.toys import toy_victim

VICTIM = toy_victim((8, 8), low=0.0, high=1.0, count=30)


class Lazaretto(Monitor):
    """Answers as a service does that takes everything, and accuses whom the test says."""

    def __init__(self) -> None:
        super().__init__(http=None, rate=1e9)  # type: ignore[arg-type]  # nothing is asked over it
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[pa.Table] = []
        self.baselines: list[pa.Table] = []
        self.alerts: list[dict[str, Any]] = []
        self.policy: dict[str, Any] = {}
        self.labels: list[int] = []
        self.looks = 0
        self.drifts_after = 10**9
        self.costs_after = 0

    def ask(self, method: str, path: str, **given: Any) -> Any:
        self.asked.append((method, path))
        if path.endswith("/baseline"):
            self.baselines.append(pa.ipc.open_stream(given["content"]).read_all())
            return {"warnings": []}
        if path.endswith("/events"):
            self.bodies.append(pa.ipc.open_stream(given["content"]).read_all())
            return {"accepted": self.bodies[-1].num_rows, "rejected": 0}
        if path.endswith("/policy"):
            self.policy = given.get("json", self.policy)
            names = self.policy["adversarial"].get("explainers", [])
            return {"adversarial": {"explainers": [f"pseudonym:of {name}" for name in names]}}
        if path == "/v1/alerts":
            drift = {"id": "d", "incident_id": "i", "cause": "data_drift", "adversarial": None}
            told = self.alerts if len(self.bodies) >= self.costs_after else []
            return {"alerts": [*told, *([drift] if len(self.bodies) >= self.drifts_after else [])]}
        if path.endswith("/labels"):
            self.labels.append(len(given["json"]["labels"]))
        self.looks += path.endswith("/status")
        # Labels are worked off after the events that they are about.
        return {"events_total": 10**9, "labels_total": sum(self.labels) if self.looks > 1 else 0, "principals": []}


def session(source: int, accounts: int = 1, requests: int = 12) -> Session:
    inputs = np.random.default_rng(source).uniform(size=(requests, 64)).astype(np.float32)
    return Session(
        workload="zoo",
        kind=Kind.ATTACK,
        victim="toy",
        seed=0,
        source=source,
        inputs=inputs,
        probabilities=VICTIM.predict(inputs.astype(np.float64)).astype(np.float32),
        seconds=np.arange(requests, dtype=np.float64),
        accounts=(np.arange(requests) % accounts).astype(np.int32),
    )


def alert(name: str, principal: str, queries: int, subject: str = "p", tier: str = "intent") -> dict[str, Any]:
    use = {"tier": tier, "principals": [principal], "queries_at_alarm": queries, "subject": subject}
    return {"id": name, "incident_id": f"i-{name}", "cause": "adversarial", "adversarial": use}


def test_no_two_sessions_go_around_one_input_under_one_version() -> None:
    shadow = Shadow(Lazaretto(), VICTIM)
    seen = []
    for source in (3, 4, 3, 4, -1, -1, 5, 4):
        shadow.watch(session(source) if source >= 0 else replace(session(7), source=-1))
        seen.append(shadow.version)
    assert seen == ["1", "1", "2", "2", "2", "2", "2", "3"]


def test_a_deployment_with_a_secret_tells_fingerprints_of_reference_and_requests() -> None:
    for salt in (None, salt_of("toy", 0)):
        monitor = Lazaretto()
        Shadow(monitor, VICTIM, salt).watch(session(1))
        tables = [*monitor.baselines, *monitor.bodies]
        assert len(tables) == 2
        assert all((FINGERPRINT in table.column_names) == (salt is not None) for table in tables)


def test_an_alarm_is_placed_at_the_request_of_its_account_and_campaigns_are_told_apart() -> None:
    monitor = Lazaretto()
    shadow = Shadow(monitor, VICTIM)
    prefix = f"of redteam-{monitor.run}-1-"
    monitor.alerts = [alert("a", f"{prefix}2", 2, "campaign x"), alert("b", f"{prefix}0", 4)]
    seen = shadow.watch(session(1, accounts=3))
    # The second request of account 2 is the sixth one of all, the fourth of account 0 the tenth.
    assert seen == Seen(alarm=5, tiers={"intent": 5}, contained=0, campaign=5)
    assert "explainers" not in monitor.policy["adversarial"]


def test_what_is_said_of_an_earlier_session_is_no_alarm_of_this_one() -> None:
    monitor = Lazaretto()
    shadow = Shadow(monitor, VICTIM)
    shadow.watch(session(1))
    monitor.alerts = [alert("late", f"of redteam-{monitor.run}-1-0", 3)]
    assert shadow.watch(session(2)) == Seen(alarm=None, tiers={}, contained=0)
    assert shadow.watch(session(5)).alarm is None, "and it is told once"


def test_who_reports_labels_is_judged_beside_honest_clients_under_a_version_of_its_own() -> None:
    monitor = Lazaretto()
    shadow = Shadow(monitor, VICTIM)
    shadow.watch(session(1))
    told = replace(session(2), feedback=np.arange(12, dtype=np.int32) % 5)
    monitor.alerts = [alert("p", f"of redteam-{monitor.run}-3-0", 3, "poisoning by principals", "poisoning")]
    monitor.looks = 0
    seen = shadow.watch(told)
    assert shadow.version == "2"
    assert sum(monitor.labels) == HONEST + 12
    assert monitor.looks == 2, "it waits for the labels, too"
    honest = [name for body in monitor.bodies[1:-1] for name in body.column("principal").to_pylist()]
    assert len(honest) == HONEST
    assert len(set(honest)) == REPORTERS
    assert set(monitor.bodies[-1].column("principal").to_pylist()) == {f"redteam-{monitor.run}-3-0"}
    assert seen == Seen(alarm=2, tiers={"poisoning": 2}, contained=0)
    shadow.watch(replace(told, source=5))
    assert shadow.version == "3"
    monitor.alerts = []
    shadow.watch(session(6))
    assert shadow.version == "4"


class Busy(Lazaretto):
    """Works off one event at each look, as far as it comes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def ask(self, method: str, path: str, **given: Any) -> Any:
        answer = super().ask(method, path, **given)
        if path.endswith("/status"):
            answer |= {"events_total": min(self.looks, self.most), "labels_total": 0}
        return answer


def test_a_monitor_that_is_slow_is_waited_for_and_one_that_stands_still_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr("redteam.lazaretto.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("redteam.lazaretto.time.sleep", lambda _: None)
    monkeypatch.setattr("redteam.lazaretto.WAIT_SECONDS", 8.0)
    busy = Busy(40)
    # Far longer than the eight seconds, at one event every two or three.
    assert Shadow(busy, VICTIM).watch(session(1, requests=40)).alarm is None
    assert busy.looks == 40
    with pytest.raises(MonitorFailed, match=r"none of 8 of 40 events in 8 s"):
        Shadow(Busy(32), VICTIM).watch(session(1, requests=40))


def test_an_accusation_of_labels_is_placed_at_the_request_that_the_label_is_about() -> None:
    told = replace(session(2), feedback=np.array([-1, 0, -1, 1, 2, -1, 3, -1, -1, -1, -1, -1], np.int32))
    assert [label_of(told, 0, n) for n in (0, 1, 2, 3, 4, 9)] == [1, 1, 3, 4, 6, 6]
    assert label_of(session(2), 0, 2) == 1
    assert label_of(replace(told, feedback=np.full(12, -1, np.int32)), 0, 2) == 11


def test_what_takes_days_is_sent_day_by_day_until_the_traffic_has_drifted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redteam.lazaretto.TICK_SECONDS", 0.0)
    monitor = Lazaretto()
    shadow = Shadow(monitor, VICTIM)
    shadow.watch(session(1))
    slow = replace(session(2), workload="boiling-frog", seconds=np.repeat(np.array([0.0, 9e4, 1e5, 3e5]), 3))
    monitor.drifts_after = 3
    assert shadow.watch(slow) == Seen(alarm=8, tiers={"drift": 8}, contained=0)
    assert shadow.version == "2", "what others have sent is no drift of this one"
    assert [body.num_rows for body in monitor.bodies[1:]] == [3, 6], "the last day is not needed"
    monitor.drifts_after = 10**9
    assert shadow.watch(slow) == Seen(alarm=None, tiers={}, contained=0)
    assert [body.num_rows for body in monitor.bodies[3:]] == [3, 6, 3]
    assert shadow.version == "3"
    shadow.watch(session(7))
    assert shadow.version == "4", "which has asked around every input"
    shadow.watch(session(8))
    assert shadow.version == "4"
    assert not takes_days(replace(slow, kind=Kind.ORDINARY))
    assert not takes_days(replace(slow, seconds=np.linspace(0.0, 77_000.0, 12)))


def test_what_is_slow_is_sent_beside_others_round_by_round_and_nobody_else_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("redteam.lazaretto.TICK_SECONDS", 0.0)
    took = np.linspace(1.0, 9.0, 12, dtype=np.float32)
    slow = replace(session(2), workload="sponge", seconds=np.repeat(np.arange(4.0), 3), latency_ms=took)
    monitor = Lazaretto()
    shadow = Shadow(monitor, VICTIM)
    assert shadow.watch(slow) == Seen(alarm=None, tiers={}, contained=0)
    assert shadow.version == "2"
    mine, others = monitor.bodies[:8:2], [*monitor.bodies[1:8:2], monitor.bodies[8]]
    assert [body.num_rows for body in mine] == [3] * 4
    assert np.concatenate([body.column(LATENCY).to_numpy() for body in mine]).tolist() == took.tolist()
    assert [body.num_rows for body in others] == [3 * CLIENTS] * 5, "the last one closes the last round"
    names = {name for body in others for name in body.column("principal").to_pylist()}
    assert len(names) == CLIENTS
    assert names.isdisjoint(mine[0].column("principal").to_pylist())
    assert all(body.column(LATENCY).null_count == 0 for body in others)
    ids = [one for body in monitor.bodies for one in body.column("event_id").to_pylist()]
    assert len(set(ids)) == len(ids)
    # One of the others is accused of it: that is no alarm of this session.
    monitor.alerts = [alert("c", f"of redteam-{monitor.run}-4-0", 3, tier="cost")]
    assert shadow.watch(slow) == Seen(alarm=None, tiers={}, contained=0)
    monitor.alerts = [alert("d", f"of redteam-{monitor.run}-5-0", 3, tier="cost")]
    monitor.bodies.clear()
    monitor.costs_after = 6
    # It is told of when the third round begins, which closes the second one, and what is left is sent all the same.
    assert shadow.watch(slow) == Seen(alarm=6, tiers={"cost": 6}, contained=0)
    assert [body.num_rows for body in monitor.bodies] == [3, 30, 3, 30, 3, 30, 3]


def test_ordinary_requests_of_an_endpoint_are_timed_as_the_attack_was() -> None:
    asked = []

    def timed(inputs: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        asked.append(len(inputs))
        return VICTIM.predict(inputs), np.full(len(inputs), 77.0)

    slow = replace(session(2), workload="sponge", latency_ms=np.ones(12, np.float32))
    others = company(replace(VICTIM, timed=timed), slow, 2)
    assert asked == [len(VICTIM.calibration[0])], "each input once, however many clients ask for it"
    assert others.latency_ms is not None
    assert set(others.latency_ms.tolist()) == {77.0}
    simulated = company(VICTIM, slow, 2).latency_ms
    assert simulated is not None
    assert 77.0 not in simulated
    assert not wants_company(replace(slow, latency_ms=None))
    assert not wants_company(replace(slow, workload="flood"))
