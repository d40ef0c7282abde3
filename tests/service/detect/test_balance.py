"""What one principal can do to the evidence has a bound, and does not depend on how the log was cut."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.watch import watch_of
from service.detect.balance import Balance
from service.detect.reference import CompiledReference
from service.domain.adversarial import Adversarial, DriftOfOne
from service.domain.certificate import Certificate
from service.domain.policy import Policy
from service.domain.states import State
from service.frames import Coded, Frame, encode_frame
from service.office import set_policy
from service.ports import EntryKind, NewEntry
from tests.service.worker.world import ANA, SMALL_BUDGET, World, compiled, make_frame

BALANCED = msgspec.structs.replace(SMALL_BUDGET, adversarial=Adversarial(events_of_one=5))


@cache
def reference() -> CompiledReference:
    return compiled()


def of(frame: Frame, codes: list[int]) -> Frame:
    names = tuple(f"{code:032x}" for code in range(max(codes, default=0) + 1))
    return replace(frame, principals=Coded(names, np.array(codes, np.int32)))


@settings(max_examples=60)
@given(
    codes=st.lists(st.integers(-1, 4), min_size=1, max_size=60),
    most=st.integers(1, 8),
    cuts=st.sets(st.integers(1, 59), max_size=5),
)
def test_the_first_events_of_each_principal_count_however_the_log_is_cut(
    codes: list[int], most: int, cuts: set[int]
) -> None:
    frame = of(make_frame(1, len(codes)), codes)
    expected, seen = [], dict.fromkeys(range(5), 0)
    for row, code in enumerate(codes):
        seen[code] = seen.get(code, 0) + 1
        if code < 0 or seen[code] <= most:
            expected.append(row)
    balance, found = Balance(most), []
    bounds = [0, *sorted(cut for cut in cuts if cut < len(codes)), len(codes)]
    for start, stop in pairwise(bounds):
        part = replace(
            frame,
            rows=stop - start,
            numeric=frame.numeric[:, start:stop],
            categorical=tuple(Coded(c.labels, c.codes[start:stop]) for c in frame.categorical),
            embeddings={name: values[start:stop] for name, values in frame.embeddings.items()},
            principals=Coded(frame.principals.labels, frame.principals.codes[start:stop]) if frame.principals else None,
        )
        found.append(balance.only(part).numeric)
        again = Balance(most)
        again.adopt(balance.stored())
        balance = again
    np.testing.assert_array_equal(np.concatenate(found, axis=1), frame.numeric[:, expected])
    assert balance.counted == len(expected)
    assert balance.left_out == len(codes) - len(expected)
    balance.close(7)
    balance.close(8)
    assert balance.counted == 0
    assert balance.since_us == 7


def flooded(policy: Policy) -> tuple[World, State]:
    """Let one principal send five times what forty ordinary ones send together, with everything moved."""
    world = World()
    version = world.add_version(policy=policy, reference=reference())
    for second in range(60):
        ordinary = of(make_frame(2 * second, 80), [row % 40 for row in range(80)])
        flood = of(make_frame(2 * second + 1, 400, shift=2.0), [40] * 400)
        for name, frame in (("ordinary", ordinary), ("flood", flood)):
            world.log.append_now(
                NewEntry(
                    kind=EntryKind.BATCH,
                    version_id=version.id,
                    batch_id=f"{name}-{second}",
                    rows=frame.rows,
                    body=encode_frame(frame),
                )
            )
        world.clock.advance(1)
    world.catch_up()
    return world, world.state(version)


def test_one_principal_that_drowns_the_others_drives_the_evidence_unless_it_is_balanced() -> None:
    """Balanced, its part is 5 of 85 events: the mean of age may move by 2 * 5 / 85 = 0.12 deviations."""
    careless = Adversarial(drift_of_one=DriftOfOne.QUARANTINE)
    assert flooded(msgspec.structs.replace(SMALL_BUDGET, adversarial=careless))[1] is State.QUARANTINED
    free, state = flooded(SMALL_BUDGET)
    assert state is State.SUSPECT
    assert certified(free) is None
    allowed = msgspec.structs.replace(BALANCED, minimum_effect=0.2)
    world, state = flooded(allowed)
    assert state is State.ACTIVE
    assert world.store.tables.alerts == {}
    (snapshot,) = world.store.tables.snapshots.values()
    assert msgspec.json.decode(snapshot.status)["left_out"] == 60 * 395


def certified(world: World) -> Certificate | None:
    (snapshot,) = world.store.tables.snapshots.values()
    return watch_of(snapshot).certificate


def test_the_status_certifies_what_one_principal_can_do() -> None:
    world, _ = flooded(BALANCED)
    told = certified(world)
    assert told is not None
    assert told.events_of_one == 5
    # The minute and the one before it hold all 59 ticks that are over, of 85 events each.
    assert told.shares["1m"] == pytest.approx(119 * 5 / (59 * 85), rel=0.02)
    assert told.shares["1h"] == told.shares["1d"] == 1.0
    assert {"age", "prediction", "latency_ms"}.isdisjoint(told.uncertified)
    assert "score.mahalanobis" in told.uncertified, "of a busy tick not all events are looked at jointly"
    alone, _ = flooded(msgspec.structs.replace(SMALL_BUDGET, adversarial=Adversarial(events_of_one=1)))
    one = certified(alone)
    assert one is not None
    assert told.evidence_log10 == pytest.approx(5 * one.evidence_log10, abs=0.01)
    assert one.shares["1m"] == pytest.approx(told.shares["1m"] / 5 * 85 / 41, rel=0.02)


def test_a_window_from_before_the_policy_is_not_certified() -> None:
    """Under one baseline windows go on when the policy changes, and hold what counted before."""
    world, _ = flooded(SMALL_BUDGET)
    (version,) = world.store.tables.versions.values()
    set_policy(world.office, ANA, version.model, BALANCED)
    for second in range(200):
        frame = of(make_frame(second, 80), [row % 40 for row in range(80)])
        world.log.append_now(
            NewEntry(
                kind=EntryKind.BATCH,
                version_id=version.id,
                batch_id=f"after-{second}",
                rows=frame.rows,
                body=encode_frame(frame),
            )
        )
        world.clock.advance(1)
    world.catch_up()
    told = certified(world)
    assert told is not None
    assert set(told.shares) == {"1m"}


@pytest.mark.parametrize("entries_max", [1, 7])
def test_evidence_is_the_same_however_passes_cut_the_log(entries_max: int) -> None:
    world, _ = flooded(BALANCED)
    (whole,) = world.store.tables.snapshots.values()
    other = World()
    version = other.add_version(policy=BALANCED, reference=reference())
    worker = other.worker(entries_max=entries_max)
    for second in range(60):
        ordinary = of(make_frame(2 * second, 80), [row % 40 for row in range(80)])
        flood = of(make_frame(2 * second + 1, 400, shift=2.0), [40] * 400)
        for name, frame in (("ordinary", ordinary), ("flood", flood)):
            other.log.append_now(
                NewEntry(
                    kind=EntryKind.BATCH,
                    version_id=version.id,
                    batch_id=f"{name}-{second}",
                    rows=frame.rows,
                    body=encode_frame(frame),
                )
            )
            other.catch_up(worker)
            if second % 9 == 4:
                worker = other.worker(entries_max=entries_max)
        other.clock.advance(1)
    other.catch_up(worker)
    (cut,) = other.store.tables.snapshots.values()
    assert cut.blob == whole.blob
