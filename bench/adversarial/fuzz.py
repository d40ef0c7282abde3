"""One principal and 100,000 requests: attacks of every kind and garbage, through the real pipeline; what it takes away.

usage: python -m bench.adversarial.fuzz [--requests N] [--seed N]      rewrites its part of docs/red-team.md

Every batch goes through ``accept_batch`` into a real log, and the worker folds it over a real store, as in production
but for HTTP and for the time, which moves on by a second with each batch. A few others ask for ordinary things
meanwhile. People clear whatever was raised now and then, so that evidence may begin anew.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.report import update_page
from bench.run import OUT, ROOT, SINGLE_THREADED
from redteam.attacks import ATTACKS
from redteam.attacks.sessions import session_of, sources_of
from redteam.telemetry import ARROW, arrow_of, schema_of
from redteam.victims import Victim, digits
from service.detect.reference import compile_reference
from service.domain.adversarial import Adversarial, DriftOfOne, Following
from service.domain.errors import LazarettoError
from service.domain.ids import Actor, Micros
from service.domain.policy import Policy
from service.domain.records import Version
from service.domain.states import SERVING, Event, State
from service.ingest.decode import Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.limits import Limits
from service.ingest.reference import read_reference
from service.ingest.schema import parse_schema
from service.log import open_log, open_reader
from service.office import OfficeStages, put_baseline, register_model, register_version, request_transition
from service.pipeline import AcceptStages, WorkStages, accept_batch
from service.settings import Settings
from service.store import open_store
from service.worker.loop import Worker
from service.worker.stats import WorkerStats

PAGE = ROOT / "docs" / "red-team.md"
BEGIN = "<!-- measured: begin (written by python -m bench.adversarial.fuzz) -->"
KEY = b"f" * 32
OWNER, EVE = Actor("owner"), "eve"
BATCH, OTHERS, OTHERS_ROWS = 100, 5, 8
POOL_QUERIES = 150
CLEARED_EVERY = 40
"""Batches between two looks of people, who clear everything."""
GARBAGE = 0.2
JSON = "application/json"
POLICIES = {
    "default, principals followed": Adversarial(follow=Following()),
    "the same, `events_of_one` 5": Adversarial(follow=Following(), events_of_one=5),
    "`drift_of_one: quarantine`, to see that it can happen": Adversarial(
        follow=Following(), drift_of_one=DriftOfOne.QUARANTINE
    ),
}


@dataclass
class Clock:
    """Time that moves when it is told to."""

    now: int = 1_795_428_000_000_000

    def now_us(self) -> Micros:
        """Return it."""
        return Micros(self.now)


@dataclass
class Fuzzed:
    """What became of a run."""

    requests: int = 0
    """That were taken; what was refused is none."""
    refused: int = 0
    """Bodies of which nothing was taken."""
    quarantines: Counter[str] = field(default_factory=Counter)
    """By cause of the alert."""
    alerts: Counter[str] = field(default_factory=Counter)
    """By cause, or tier."""
    spared: int = 0
    contained: int = 0
    seconds: float = 0.0


def pool_of(victim: Victim, names: tuple[str, ...], seed: int) -> list[NDArray[np.float64]]:
    """Return the requests of one session of each attack."""
    held = victim.confirmation
    places = sources_of(victim, held)
    found = []
    for i, name in enumerate(names):
        attack = ATTACKS[name]
        if attack.fits(victim):
            source = places[(seed + i) % len(places)]
            session = session_of(attack, victim, held, source, seed, min(attack.queries_max, POOL_QUERIES))
            if len(session):
                found.append(session.inputs.astype(np.float64))
    return found


def requests_of(
    victim: Victim, pool: list[NDArray[np.float64]], rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yield batches of inputs: sessions as they were, mixed, repeated, blurred, crossed, and noise."""
    while True:
        one, other = (pool[i] for i in rng.integers(0, len(pool), 2))
        begin = int(rng.integers(0, max(1, len(one) - BATCH)))
        piece: NDArray[np.float64] = np.resize(one[begin : begin + BATCH], (BATCH, victim.dimension))
        way = int(rng.integers(6))
        if way == 1:
            piece = piece[rng.permutation(BATCH)]
        elif way == 2:  # what was found, again and again
            piece = piece[rng.integers(0, 4, BATCH)]
        elif way == 3:
            piece = np.add(piece, rng.normal(0.0, 0.02 * (victim.high - victim.low), piece.shape))
        elif way == 4:
            mixed = np.resize(other, piece.shape)
            piece = np.where(rng.random((BATCH, 1)) < 0.5, piece, mixed)
        elif way == 5:
            piece = rng.uniform(victim.low, victim.high, piece.shape)
        yield np.clip(piece, victim.low, victim.high)


def garbage(victim: Victim, rng: np.random.Generator) -> Raw:
    """Return a body that is nonsense, more or less."""
    odd: list[Any] = [None, "", "x" * 50, -1, 1e300, True, [], {}, [1.0], [0.0] * victim.dimension, {"a": 1}]

    def pick() -> Any:
        return odd[int(rng.integers(len(odd)))]

    events = [
        {
            "principal": EVE,
            "event_id": pick(),
            "timestamp": pick(),
            "features": {"input": pick()} if rng.random() < 0.9 else pick(),
            "prediction": pick(),
            "probabilities": {"c0000": pick(), "c0001": pick()} if rng.random() < 0.7 else pick(),
            "latency_ms": pick(),
            "error": pick(),
        }
        for _ in range(BATCH)
    ]
    body = msgspec.json.encode({"events": events})
    if rng.random() < 0.2:
        body = body[: int(rng.integers(len(body)))]
    if rng.random() < 0.1:
        return Raw(body=rng.bytes(200), content_type=ARROW, content_encoding=None)
    return Raw(body=body, content_type=JSON, content_encoding=None)


class World:
    """The service without its sockets."""

    def __init__(self, folder: Path, victim: Victim, adversarial: Adversarial) -> None:
        settings = Settings(data_dir=folder)
        self.clock, self.victim = Clock(), victim
        self.store = open_store(settings.state_url, timeout_seconds=30.0)
        self.log = open_log(settings.telemetry_url, settings, self.clock)
        self.log.start()
        limits, sealer = Limits.from_settings(settings), Deidentifier(KEY)
        self.accept = AcceptStages.over(self.log, self.clock, limits, sealer)
        self.office = OfficeStages(
            control=self.store.control,
            clock=self.clock,
            head=self.log.head,
            limits=limits,
            deidentifier=sealer,
            signing_key=KEY,
        )
        schema = parse_schema(schema_of(victim), limits)
        register_model(self.office, OWNER, "fuzzed", "owner", "", Policy(adversarial=adversarial))
        self.version = register_version(self.office, OWNER, "fuzzed", "1", schema)
        reference = folder / "reference.arrow"
        inputs = np.concatenate([victim.reference[0], victim.calibration[0]])
        reference.write_bytes(arrow_of(victim, inputs, victim.predict(inputs)))
        frame = read_reference(reference, ARROW, schema, limits, None).frame
        put_baseline(self.office, OWNER, self.version, compile_reference(schema, frame, follow=True))
        self.reader = open_reader(settings.telemetry_url)
        stats = WorkerStats()
        stages = WorkStages(
            store=self.store.worker("fuzz", 1e6, self.clock), log=self.reader, signing_key=KEY, stats=stats.to_json
        )
        self.worker = Worker(stages, stats)

    async def send(self, raw: Raw) -> int:
        """Take a body; return how many of its events were taken: none of one that is refused."""
        try:
            receipt = await accept_batch(self.accept, self.version, raw, None)
        except LazarettoError:
            return 0
        return receipt.accepted

    def arrow(self, inputs: NDArray[np.float64], name: str, ids: str) -> Raw:
        """Return a body of requests of one principal."""
        rows = len(inputs)
        names = [f"{ids}-{i}" for i in range(rows)]
        body = arrow_of(self.victim, inputs, self.victim.predict(inputs), names, [name] * rows)
        return Raw(body=body, content_type=ARROW, content_encoding=None)

    def catch_up(self) -> None:
        """Let the worker fold all that there is."""
        while self.worker.step() != self.worker.idle_seconds:
            pass

    def now(self) -> Version:
        """Return the version as it stands."""
        found = self.store.read.version("fuzzed", "1")
        if found is None:
            raise RuntimeError("the version is gone")
        return found

    async def close(self) -> None:
        """Close everything."""
        await self.log.close()
        self.reader.close()
        self.store.close()


async def fuzz(
    victim: Victim, pool: list[NDArray[np.float64]], requests: int, seed: int, adversarial: Adversarial
) -> Fuzzed:
    """Send requests of one principal until so many were taken, and count what they bring about."""
    rng, done, begin = np.random.default_rng(seed), Fuzzed(), time.perf_counter()
    with TemporaryDirectory(prefix="lazaretto-fuzz-") as folder:
        world = World(Path(folder), victim, adversarial)
        try:
            batches = requests_of(victim, pool, rng)
            ordinary, turn = victim.confirmation[0], 0
            while done.requests < requests:
                turn += 1
                odd = rng.random() < GARBAGE
                raw = garbage(victim, rng) if odd else world.arrow(next(batches), EVE, f"eve-{turn}")
                taken = await world.send(raw)
                done.requests, done.refused = done.requests + taken, done.refused + (taken == 0)
                for other in range(OTHERS):
                    rows = ordinary[rng.integers(0, len(ordinary), OTHERS_ROWS)]
                    await world.send(world.arrow(rows, f"other-{other}", f"other-{other}-{turn}"))
                world.clock.now += 1_000_000
                if turn % CLEARED_EVERY == 0:
                    world.catch_up()
                    _clear(world)
            world.catch_up()
            _sum_up(world, done)
        finally:
            await world.close()
    done.seconds = time.perf_counter() - begin
    return done


def _clear(world: World) -> None:
    """Let people say that all is well, whatever was raised."""
    state = world.now().state
    steps = {
        State.SUSPECT: (Event.CLEAR,),
        State.QUARANTINED: (Event.START_REVIEW, Event.RELEASE),
    }.get(state, ())
    for event in steps:
        for person in (Actor("ada"), Actor("bob")):
            if event is Event.RELEASE or person == "ada":
                request_transition(world.office, person, "fuzzed", "1", event, "looked at it", None)
    if world.now().state not in SERVING:
        raise RuntimeError(f"the version is {world.now().state} although people cleared it")


def _sum_up(world: World, done: Fuzzed) -> None:
    read, version = world.store.read, world.now()
    alerts = [
        alert
        for adversarial in (True, False)
        for status in ("open", "closed")
        for alert in read.alerts(version_id=version.id, status=status, limit=10_000, adversarial=adversarial)
    ]
    causes = {alert.incident_id: alert.cause.value for alert in alerts}
    for alert in alerts:
        done.alerts[alert.cause.value if alert.adversarial is None else alert.adversarial.kind.value] += 1
    for record in read.transitions(version.id, 10_000):
        if record.after is State.QUARANTINED:
            done.quarantines[causes.get(record.incident_id or "", "unknown")] += 1
    done.spared = sum(item.kind == "spared" for incident in causes for item in read.timeline(incident))
    held = read.containments(version_id=version.id, holding_us=world.clock.now_us(), limit=1_000)
    done.contained = len(held)


def row_of(name: str, done: Fuzzed) -> str:
    """Return a run as a row of the table."""
    taken = ", ".join(f"{number} for {cause}" for cause, number in sorted(done.quarantines.items())) or "**0**"
    told = ", ".join(f"{cause} {number}" for cause, number in sorted(done.alerts.items())) or "-"
    return f"| {name} | {done.requests:,} | {taken} | {done.spared} | {told} | {done.contained} |"


def main(arguments: list[str]) -> int:
    """Run it under each policy, and write the table."""
    if any(os.environ.get(name) != value for name, value in SINGLE_THREADED.items()):
        command = [sys.executable, "-m", "bench.adversarial.fuzz", *arguments]
        os.execve(sys.executable, command, os.environ | SINGLE_THREADED)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    victim = digits()
    pool = pool_of(victim, tuple(name for name in ATTACKS if "+" not in name), given.seed)
    print(f"{len(pool)} attacks recorded", file=sys.stderr, flush=True)
    rows = []
    OUT.mkdir(parents=True, exist_ok=True)
    for name, adversarial in POLICIES.items():
        done = asyncio.run(fuzz(victim, pool, given.requests, given.seed, adversarial))
        rows.append(row_of(name, done))
        print(f"{rows[-1]} ({done.seconds:.0f} s)", file=sys.stderr, flush=True)
        (OUT / "fuzz.txt").write_text("\n".join(rows) + "\n")
    head = ("| policy | requests of one principal | quarantines | spared | alerts | contained |", "|---" * 6 + "|")
    text = f"{len(pool)} kinds of attack on digits, seed {given.seed}.\n\n" + "\n".join((*head, *rows))
    update_page(PAGE, text, BEGIN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
