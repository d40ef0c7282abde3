"""Detectors that remember, each as a stream: a state that takes one thing after the other and answers."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import msgspec
import numpy as np

from detectors.evidence import EvidenceState
from detectors.principals.campaigns import Crowd, Index
from detectors.principals.cost import Costs
from detectors.principals.feedback import Feedback
from detectors.principals.fingerprint import HASHES
from detectors.principals.grown import grown
from detectors.principals.monitor import Principal, Yardstick
from detectors.principals.packing import Packer
from detectors.principals.ranked import ranked
from detectors.traffic import TrafficMonitor, TrafficOptions
from detectors.traffic.repeats import Repeats
from tests.detectors.test_conformance import batch_of, counted, engine, reference

CLASSES, DIMENSION = 3, 8
WORDS = ("cat", "dog", "owl")
Item = Any
State = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A detector that takes one thing after the other."""

    name: str
    start: Callable[[], State]
    take: Callable[[State, Item], Any]
    items: Callable[[int, int], list[Item]]
    """Of a seed, so many."""
    keep: Callable[[State], Any]
    """A snapshot; of what is not kept over a restart a copy, so that at least nothing is shared between two."""
    back: Callable[[Any], State]
    refused: tuple[Item, ...] = ()
    """Raise ``DetectorError``, and change nothing."""
    ignored: tuple[Item, ...] = ()
    """Are taken, and change nothing."""
    odd: tuple[Item, ...] = ()
    """Are taken, whatever they change."""
    bytes_max: int = 1_000_000
    """Of a snapshot, after however many."""

    def play(self, state: State, items: Sequence[Item]) -> list[Any]:
        """Return the answers as they were given."""
        return [copy.deepcopy(self.take(state, item)) for item in items]

    def bits(self, state: State) -> bytes:
        """Return all that is remembered."""
        return bits_of(self.keep(state))


def bits_of(value: Any) -> bytes:
    """Return a value as bytes: objects by their attributes, numbers exactly."""
    return msgspec.msgpack.encode(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return [value.dtype.str, list(value.shape), value.tobytes()]
    if isinstance(value, dict):
        return [[_plain(key), _plain(one)] for key, one in value.items()]
    if isinstance(value, set):
        return sorted(_plain(one) for one in value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    names = getattr(type(value), "__slots__", None) or sorted(vars(value))
    return [type(value).__name__, [_plain(getattr(value, name)) for name in names]]


# Traffic: ticks with events, and how many of them were looked at and had something.
WEEK = TrafficOptions(tick_us=1_000_000, learn_us=60_000_000, shares=("odd",))


def ticks_of(seed: int, count: int) -> list[Item]:
    rng = np.random.default_rng(seed)
    ticks = np.cumsum(rng.integers(1, 3, count)).tolist()
    events = rng.poisson(np.where(np.arange(count) < 2 * count // 3, 20, 70)).tolist()
    return [(tick, [n, n, int(rng.binomial(n, 0.02))]) for tick, n in zip(ticks, events, strict=True)]


def take_tick(monitor: TrafficMonitor, item: tuple[int, list[int]]) -> Any:
    monitor.step(*item)
    return monitor.log_model, monitor.log_columns, [list(map(str, vars_of(moved))) for moved in monitor.moved()]


def vars_of(value: Any) -> list[Any]:
    return [getattr(value, name) for name in type(value).__dataclass_fields__]


# Repeats: hashes of the sampled events of a tick.
def hashes_of(seed: int, count: int) -> list[Item]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 400, rng.integers(0, 60)).astype(np.uint32) for _ in range(count)]


def take_hashes(repeats: Repeats, item: Any) -> Any:
    repeats.add(item)
    return repeats.close()


# Principals: points, labels, answers.
def requests_of(seed: int, count: int) -> list[Item]:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, DIMENSION))
    near = rng.random(count) < 0.6
    points[near] = 0.5 + 0.05 * points[near]
    odds = np.exp(points[:, :CLASSES])
    answers = odds / odds.sum(axis=1, keepdims=True)
    return [(p.astype(np.float32), int(a.argmax()), a) for p, a in zip(points, answers, strict=True)]


@cache
def yardstick() -> Yardstick:
    told = requests_of(0, 400)
    points, labels, answers = (np.array([one[place] for one in told]) for place in range(3))
    return replace(Yardstick.fit(points, labels, answers, grown()), bets=ranked())


@cache
def packer() -> Packer:
    return Packer(yardstick())


def take_request(principal: Principal, item: Any) -> Any:
    reading = principal.take(*item)
    membership = principal.membership
    return tuple(reading), membership.evidence, membership.equal_evidence, principal.extraction.fidelity


def packed(state: State) -> Any:
    return msgspec.msgpack.encode(packer().pack(state))


def unpacked(data: Any) -> State:
    return packer().unpack(msgspec.msgpack.decode(data))


ANSWER = np.array([0.5, 0.25, 0.25])
POINT = np.zeros(DIMENSION, np.float32)


def point_with(value: float) -> Any:
    found = POINT.copy()
    found[3] = value
    return found


NO_POINTS = tuple((point_with(value), 0, ANSWER) for value in (np.nan, np.inf, -np.inf, 3e38))
NO_ANSWERS = tuple((POINT, 0, np.array([value, 0.5, 0.5])) for value in (np.nan, np.inf, 1e300))
NO_SHAPES = ((POINT[:5], 0, ANSWER), (POINT, 0, ANSWER[:2]), (POINT, 3, ANSWER), (POINT, -1, ANSWER))


# A crowd: the same, with who sent them.
def sent_of(seed: int, count: int) -> list[Item]:
    return [(*item, i % 5) for i, item in enumerate(requests_of(seed, count))]


def take_sent(crowd: Crowd, item: Any) -> Any:
    joint = crowd.take(*item)
    return None if joint is None else (joint.evidence, joint.members)


# Campaigns: hashes of fingerprints.
def prints_of(seed: int, count: int) -> list[Item]:
    rng = np.random.default_rng(seed)
    pool = np.random.default_rng(9).integers(1 << 16, 1 << 63, size=(30, HASHES)).astype(np.uint64)
    return [(pool[rng.integers(30)], int(rng.integers(50)), at) for at in range(count)]


def take_print(index: Index, item: Any) -> Any:
    campaign = index.add(*item)
    return None if campaign is None else _plain(campaign)


# Costs: rounds of requests.
def rounds_of(seed: int, count: int) -> list[Item]:
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(6)]
    slow = {"c5": 2.0}
    return [
        [(n, float(rng.lognormal()) * slow.get(n, 1.0), 1.0) for n in names for _ in range(12)] for _ in range(count)
    ]


def take_round(costs: Costs, item: Any) -> Any:
    for name, cost, size in item:
        costs.add(name, cost, size)
    return [[name, vars_of(spender)] for name, spender in costs.close(7).items()]


# Labels: what was answered, then what turned out to be true.
def labels_of(seed: int, count: int) -> list[Item]:
    rng = np.random.default_rng(seed)
    names = [f"r{i}" for i in range(4)]
    found = []
    for i in range(count):
        for name in names:
            answer = WORDS[rng.integers(3)]
            wrong = rng.random() < (0.6 if name == "r3" else 0.05)
            found.append((f"{seed}-{i}-{name}", name, answer, "fish" if wrong else answer))
    return found[:count]


def take_label(feedback: Feedback, item: Any) -> Any:
    event, owner, answer, label = item
    feedback.remember(event, owner, answer)
    told = feedback.report(None, event, label)
    return None if told is None else [told[0], vars_of(told[1])[1:]]


# Evidence: counts of ticks.
def counts_of(seed: int, count: int) -> list[Item]:
    return [(tick, counted(reference(), batch_of(seed + tick, 20))) for tick in range(min(count, 12))]


class Evidence:
    """A state that is put in place of itself."""

    def __init__(self, state: EvidenceState) -> None:
        self.state = state


def take_counts(held: Evidence, item: Any) -> Any:
    held.state = engine().step(held.state, *item)
    read = engine().read(held.state)
    return read.log_model, read.log_columns


STREAMS = (
    Stream(
        name="traffic",
        start=lambda: TrafficMonitor(WEEK),
        take=take_tick,
        items=ticks_of,
        keep=TrafficMonitor.to_bytes,
        back=lambda data: TrafficMonitor.from_bytes(WEEK, data),
        refused=((0, [1, 1, 0]), (10**6, [1, 1]), (10**6, [])),
        odd=((10**6, [0, 0, 0]), (10**6 + 1, [2**50, 2**50, 2**50]), (2**40, [1, 1, 1])),
        bytes_max=60_000,
    ),
    Stream(
        name="repeats",
        start=Repeats,
        take=take_hashes,
        items=hashes_of,
        keep=Repeats.to_bytes,
        back=Repeats.from_bytes,
        ignored=(np.zeros(0, np.uint32),),
        odd=(np.full(10_000, 7, np.uint32), np.arange(20_000, dtype=np.uint32), np.array([2**32 - 1], np.uint32)),
        bytes_max=40_000,
    ),
    Stream(
        name="principal",
        start=lambda: Principal(yardstick()),
        take=take_request,
        items=requests_of,
        keep=packed,
        back=unpacked,
        refused=(*NO_POINTS, *NO_ANSWERS, *NO_SHAPES),
        odd=((point_with(1e18), 0, ANSWER), (POINT, 1, np.zeros(CLASSES)), (POINT, 2, np.full(CLASSES, 1e17))),
        bytes_max=470_000,
    ),
    Stream(
        name="crowd",
        start=lambda: Crowd(yardstick().population, DIMENSION, yardstick().forest, 64),
        take=take_sent,
        items=sent_of,
        keep=lambda crowd: copy.deepcopy(crowd, {id(one): one for one in (yardstick().population, yardstick().forest)}),
        back=lambda crowd: copy.deepcopy(crowd, {id(one): one for one in (yardstick().population, yardstick().forest)}),
        bytes_max=20_000_000,
    ),
    Stream(
        name="campaigns",
        start=lambda: Index(1 << 8, 40, 8),
        take=take_print,
        items=prints_of,
        keep=packed,
        back=unpacked,
        ignored=((np.zeros(HASHES, np.uint64), 1, 10**6),),
        odd=((np.full(HASHES, 2**64 - 1, np.uint64), 2**31 - 1, 10**6), (np.arange(HASHES, dtype=np.uint64), 0, 2**60)),
        bytes_max=60_000,
    ),
    Stream(
        name="costs",
        start=lambda: Costs(50, 0.5),
        take=take_round,
        items=rounds_of,
        keep=copy.deepcopy,
        back=copy.deepcopy,
        ignored=([], [("eve", value, 1.0) for value in (np.nan, np.inf, 0.0, -1.0)]),
        odd=([("eve", 1.0, size) for size in (np.nan, np.inf, 0.0, -1.0, 1e300, 5e-324)], [("eve", 1e308, 1.0)] * 9),
        bytes_max=60_000,
    ),
    Stream(
        name="labels",
        start=lambda: Feedback(100, 20),
        take=take_label,
        items=labels_of,
        keep=copy.deepcopy,
        back=copy.deepcopy,
        odd=(("", "", "", ""), ("e", "x" * 300, "no class", "none"), ("e", "x", "cat", "cat")),
        bytes_max=100_000,
    ),
    Stream(
        name="evidence",
        start=lambda: Evidence(engine().start()),
        take=take_counts,
        items=counts_of,
        keep=lambda held: held.state.to_bytes(),
        back=lambda data: Evidence(EvidenceState.from_bytes(engine(), data)),
        odd=((10**6, np.zeros_like(counted(reference(), batch_of(0, 1)))),),
        bytes_max=200_000,
    ),
)
