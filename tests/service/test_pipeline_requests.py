"""Single requests through the worker: the odd ones are listed with reasons, bounded, without values that are secret."""

from typing import Any

import msgspec
import numpy as np
import pytest

from detectors.columns import Codes
from service.api.watch import watch_of
from service.detect.edits import ENTITIES_MAX, Edits
from service.detect.reference import compile_reference
from service.detect.references import from_bytes
from service.detect.requests import RequestWatch
from service.domain.requests import Requests, Rule, RuleKind
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.frames import Coded, Frame
from tests.service.odd import (
    CARL,
    EVE,
    IMMUTABLE,
    SCHEMA,
    WANTED,
    broken,
    frame,
    reference,
    seen,
    send,
    with_numbers,
    world_with,
)


def test_odd_requests_are_listed_with_event_principal_and_reasons() -> None:
    world, version = world_with(reference())
    send(world, version, frame(200, 2, CARL), frame(1, 3, EVE, ids=True, total=12.5, age=17.5))
    world.catch_up()
    found = seen(world, version)
    odd = found.oddest[0]
    assert (odd.event_id, odd.principal, odd.row) == ("event-3-0", EVE, 0)
    assert odd.score is not None
    assert odd.score >= 0.99
    text = " | ".join(odd.reasons)
    assert "not total = amount + fee: total is 12.5" in text
    assert "age is 17.5, not from 18 to inf" in text
    assert found.examined == 201
    assert sum(found.histogram) == 201
    assert found.over[1] >= 1
    assert {"total = amount + fee": 1, "age is whole": 1}.items() <= broken(found).items()
    assert set(found.parts) == {"rules", "precision", "rarity", "distance", "neighbour", "margin"}


def test_ordinary_requests_fill_all_tenths_and_break_next_to_nothing() -> None:
    """Fixed seeds: each tenth has about 500 of 5,000, whose spread with 1,000 held out is below 70."""
    world, version = world_with(reference())
    send(world, version, *(frame(500, 10 + i) for i in range(10)))
    world.catch_up()
    found = seen(world, version)
    assert sum(found.histogram) == 5_000
    assert sum(found.histogram[:5]) == pytest.approx(2_500, abs=500)
    assert found.over[0] <= 450
    assert sum(broken(found).values()) <= 100


def test_values_of_features_that_are_secret_are_never_shown() -> None:
    world, version = world_with(reference())
    send(world, version, frame(1, 3, EVE, secret=987_654.25))
    world.catch_up()
    (odd, *_) = seen(world, version).oddest
    assert any("breaks the rule 'secret is whole'" in reason for reason in odd.reasons)
    status = world.store.tables.snapshots[version.id].status
    assert "987654" not in status
    assert "987_654" not in status


def test_what_cannot_be_judged_is_counted_by_what_is_wrong_and_never_an_error() -> None:
    world, version = world_with(reference())
    wrong = frame(30, 4)
    numbers = np.array(wrong.numeric)
    at = {name: i for i, name in enumerate(wrong.numeric_names)}
    numbers[at["probabilities.no"], :10] = 0.9
    numbers[at["probabilities.yes"], :10] = 0.9
    numbers[at["probabilities.no"], 10:12] = -0.5
    numbers[at["probabilities.yes"], 10:12] = 1.5
    numbers[at["probabilities.yes"], 12:14] = np.inf
    numbers[:5, 20:25] = np.nan
    send(world, version, with_numbers(wrong, numbers), frame(5, 5, age=np.nan), frame(5, 6, total=1e300))
    world.catch_up()
    found = seen(world, version)
    assert found.invalid == {"features": 5, "probabilities": 14}
    assert found.examined == 30 - 19 + 10


def embedded(rows: int, seed: int, dimension: int = 8) -> Frame:
    rng = np.random.default_rng(seed)
    fields = {name: getattr(frame(rows, seed), name) for name in Frame.__dataclass_fields__}
    names = ("probabilities.no", "probabilities.yes")
    yes = rng.random(rows)
    face = rng.normal(size=(rows, dimension)).astype(np.float32)
    return Frame(
        **(
            fields
            | {"numeric_names": names, "numeric": np.array([1 - yes, yes]), "embeddings": {"face": face}}
            | {"categorical_names": (), "categorical": ()}
        )
    )


def test_an_embedding_of_another_dimension_is_named() -> None:
    schema = Schema(
        features=(Feature(name="face", kind=FeatureKind.EMBEDDING, dimension=8),),
        prediction=Prediction(kind=PredictionKind.CLASS, classes=("no", "yes")),
    )
    wanted = Requests()
    compiled = compile_reference(schema, embedded(600, 1), requests=wanted)
    world, version = world_with(compiled, wanted, schema)
    far = embedded(1, 3)
    far.embeddings["face"][:] = 50.0
    absent = embedded(2, 4)
    absent.embeddings["face"][:] = np.nan
    send(world, version, embedded(7, 2, dimension=5), far, absent)
    world.catch_up()
    found = seen(world, version)
    assert found.invalid == {"embedding": 9}
    assert found.parts == ("distance", "neighbour", "margin")
    assert "deviations from the middle" in found.oddest[0].reasons[0]


def test_no_more_are_looked_at_in_a_second_than_the_policy_says() -> None:
    few = msgspec.structs.replace(WANTED, requests_per_second=30)
    world, version = world_with(reference(), few)
    send(world, version, frame(20, 2), frame(100, 3), frame(50, 4), seconds=0)
    world.clock.advance(2)
    send(world, version, frame(100, 5))
    world.catch_up()
    found = seen(world, version)
    assert (found.examined, found.unexamined) == (60, 210)


def test_one_principal_has_its_part_of_the_list_and_no_more() -> None:
    world, version = world_with(reference())
    send(world, version, frame(300, 2, EVE, total=0.123), frame(3, 3, CARL, age=30.5))
    world.catch_up()
    listed = [one.principal for one in seen(world, version).oddest]
    assert listed.count(EVE) == 4
    assert listed.count(CARL) == 3


def test_old_requests_leave_the_list() -> None:
    world, version = world_with(reference())
    send(world, version, frame(3, 3, CARL, age=30.5))
    world.clock.advance(25 * 3_600)
    send(world, version, frame(1, 4, EVE, age=31.5))
    world.catch_up()
    assert [one.principal for one in seen(world, version).oddest] == [EVE]


def test_what_has_left_the_list_leaves_its_principal_room() -> None:
    world, version = world_with(reference())
    send(world, version, frame(10, 3, EVE, age=30.5, total=0.123))
    world.clock.advance(25 * 3_600)
    send(world, version, frame(2, 4, EVE, age=31.5))
    world.catch_up()
    assert [one.principal for one in seen(world, version).oddest] == [EVE, EVE]


def test_an_immutable_field_that_one_principal_changes_is_told_first() -> None:
    world, version = world_with(reference())
    same: dict[str, Any] = {"customer": ["c7", "c7", "c8"]}
    send(world, version, frame(3, 3, EVE, age=[30.0, 30.0, 41.0], secret=5_000.0, **same))
    send(world, version, frame(3, 4, EVE, age=[31.0, np.nan, 41.0], secret=5_001.0, **same))
    send(world, version, frame(3, 5, CARL, age=[50.0, 50.0, 51.0], secret=4_000.0, **same))
    world.catch_up()
    found = seen(world, version)
    assert broken(found)["age, secret of one customer"] == 4
    edited = [one for one in found.oddest if one.edited]
    assert len(edited) == 3
    assert found.oddest[0].edited
    reasons = {reason for one in edited for reason in one.reasons}
    assert "age of one customer was changed by one principal: '30' became '31'" in reasons
    assert "secret of one customer was changed by one principal" in reasons


def test_an_edit_is_listed_also_where_the_request_cannot_be_judged() -> None:
    world, version = world_with(reference())
    who: dict[str, Any] = {"customer": ["c7", "c7", "c8"]}
    send(world, version, frame(3, 3, EVE, age=[30.0, 30.0, 41.0], secret=5_000.0, **who))
    wrong = frame(3, 4, EVE, ids=True, age=[31.0, 32.0, 41.0], secret=5_000.0, **who)
    numbers = np.array(wrong.numeric)
    at = {name: i for i, name in enumerate(wrong.numeric_names)}
    numbers[at["probabilities.no"]] = 0.9
    numbers[at["probabilities.yes"]] = 0.9
    send(world, version, with_numbers(wrong, numbers))
    fields = {name: getattr(wrong, name) for name in Frame.__dataclass_fields__}
    ages = {"numeric_names": ("age",), "numeric": np.array([[33.0, 30.0, 41.0]])}
    send(world, version, Frame(**(fields | ages)))
    world.catch_up()
    found = seen(world, version)
    assert broken(found)["age, secret of one customer"] == 3
    assert (found.invalid, found.unexamined) == ({"probabilities": 3}, 3)
    edited = [one for one in found.oddest if one.edited]
    assert found.oddest[: len(edited)] == tuple(edited)
    assert [(one.score, one.parts) for one in edited] == [(None, {})] * 3
    newest, *others = edited
    assert newest.reasons == (
        "age of one customer was changed by one principal: '30' became '33'",
        "not judged: columns that the reference has are not there, or of another kind",
    )
    assert {one.event_id for one in others} == {"event-4-0", "event-4-1"}
    assert all(one.reasons[1] == "not judged: its probabilities do not add up to one" for one in others)


def test_entities_are_forgotten_rather_than_kept_without_bound() -> None:
    edits = Edits((IMMUTABLE,))
    rows = 5_000
    for number in range(6):
        labels = tuple(f"{number}-{i}" for i in range(rows))
        customers = Coded(labels, np.arange(rows, dtype=np.int32))
        columns: dict[str, Any] = {
            "age": np.ones(rows),
            "secret": np.ones(rows),
            "customer": Codes(customers.labels, customers.codes),
        }
        assert edits.see(Coded((EVE,), np.zeros(rows, np.int32)), columns, np.arange(rows)) == {}
    assert len(edits._known) == ENTITIES_MAX


def test_the_same_log_gives_the_same_status_wherever_the_passes_are_cut_and_the_worker_restarts() -> None:
    worlds = [world_with(reference()) for _ in range(2)]
    for world, version in worlds:
        for i in range(12):
            send(world, version, frame(40, 20 + i, EVE if i % 2 else CARL, ids=True, age=30.5 if i % 3 == 0 else 30.0))
    worlds[0][0].catch_up()
    cut_world = worlds[1][0]
    for _ in range(20):
        # Each time a new worker, that reads two entries and stops.
        cut_world.worker(entries_max=2).step()
    cut_world.catch_up()
    # Baselines have names of their own in each world.
    first, second = (msgspec.structs.replace(seen(*world), baseline_id=None) for world in worlds)
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    one, two = (world.store.tables.snapshots[version.id] for world, version in worlds)
    assert (one.evidence_log, one.blob) == (two.evidence_log, two.blob)
    assert len(first.oddest) > 5


def test_a_status_of_another_release_does_not_stop_the_worker_nor_touch_evidence() -> None:
    world, version = world_with(reference())
    send(world, version, frame(50, 2))
    world.catch_up()
    snapshot = world.store.tables.snapshots[version.id]
    measured = from_bytes(reference().artefact).requests
    assert measured is not None
    watch = RequestWatch(measured, WANTED, snapshot.baseline_id)
    watch.restore('{"requests": {"examined": "many"}}')
    watch.restore("{}")
    assert watch.seen().examined == 0
    watch.restore(snapshot.status)
    assert watch.seen().examined == 50


def test_nobody_looks_unless_the_policy_says_so() -> None:
    plain = reference(None)
    assert plain.artefact == compile_reference(SCHEMA, frame(2_000, 1)).artefact
    assert "score.request" not in plain.columns
    world, version = world_with(plain, None)
    send(world, version, frame(50, 2))
    world.catch_up()
    assert watch_of(world.store.tables.snapshots[version.id]).requests is None


def test_a_baseline_without_a_measure_or_with_other_rules_says_so() -> None:
    for compiled, requests, said in (
        (reference(None), WANTED, "nothing to measure single requests with"),
        (reference(), msgspec.structs.replace(WANTED, rules=()), "are not those that the baseline was put under"),
    ):
        world, version = world_with(compiled, requests)
        send(world, version, frame(50, 2))
        world.catch_up()
        assert said in str(msgspec.json.decode(world.store.tables.snapshots[version.id].status)["notes"])


def test_a_reference_that_is_too_small_or_breaks_a_declared_rule_is_told() -> None:
    few = compile_reference(SCHEMA, frame(150, 1), requests=WANTED)
    assert "at least 200" in str(few.warnings)
    assert from_bytes(few.artefact).requests is None
    strict = Requests(
        rules=(Rule(kind=RuleKind.RANGE, columns=("age",), low=50.0), Rule(kind=RuleKind.INTEGER, columns=("no",)))
    )
    told = str(compile_reference(SCHEMA, frame(2_000, 1), requests=strict).warnings)
    assert "the declared rule 'range of age' is broken by" in told
    assert "rules[1] has no effect: is 'no', but no version stores such a feature" in told
    silent = frame(2_000, 1)
    fields = {name: getattr(silent, name) for name in Frame.__dataclass_fields__}
    without = Frame(**(fields | {"numeric_names": silent.numeric_names[:5], "numeric": silent.numeric[:5]}))
    assert "the margin is not looked at" in str(compile_reference(SCHEMA, without, requests=WANTED).warnings)


def test_requests_that_break_rules_are_evidence_of_drift_as_well() -> None:
    """Every column keeps its distribution but for the sum: only what holds between the columns is broken."""
    world, version = world_with(reference())
    for i in range(40):
        one = frame(50, 100 + i)
        numbers = np.array(one.numeric)
        numbers[2] = np.roll(numbers[2], 1)
        send(world, version, with_numbers(one, numbers))
    world.catch_up()
    alerts = [alert for alert in world.store.tables.alerts.values() if alert.columns]
    blamed = {column.name: column.direction for alert in alerts for column in alert.columns}
    assert {"score.rule", "score.request"} & set(blamed)
