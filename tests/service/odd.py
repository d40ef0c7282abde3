"""Requests of a small table with rules, and a world whose policy looks at them."""

from functools import cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.api.watch import watch_of
from service.detect.reference import CompiledReference, compile_reference
from service.domain.adversarial import Adversarial
from service.domain.policy import Policy
from service.domain.records import Version
from service.domain.requests import Requests, RequestsSeen, Rule, RuleKind
from service.domain.schema import Classification, Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.frames import Coded, Frame, encode_frame
from service.office import put_baseline, register_model, register_version
from service.ports import EntryKind, NewEntry
from tests.service.worker.world import ANA, DANA, SMALL_BUDGET, World

NAMES = ("amount", "fee", "total", "age", "secret")
SCHEMA = Schema(
    features=(
        *(Feature(name=name, kind=FeatureKind.NUMERIC) for name in NAMES[:4]),
        Feature(name="secret", kind=FeatureKind.NUMERIC, classification=Classification.CONFIDENTIAL),
        Feature(name="customer", kind=FeatureKind.CATEGORICAL),
    ),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("no", "yes")),
)
IMMUTABLE = Rule(kind=RuleKind.IMMUTABLE, columns=("age", "secret"), entity="customer")
ADULT = Rule(kind=RuleKind.RANGE, columns=("age",), low=18.0)
WANTED = Requests(requests_per_second=1_000, kept=20, rules=(ADULT, IMMUTABLE))
EVE, CARL = "e" * 32, "c" * 32


def policy_of(requests: Requests | None = WANTED) -> Policy:
    return msgspec.structs.replace(SMALL_BUDGET, adversarial=Adversarial(requests=requests))


def frame(rows: int, seed: int, principal: str | None = None, *, ids: bool = False, **changed: Any) -> Frame:
    """Return requests; ``changed`` columns have other values, ``customer`` other labels."""
    rng = np.random.default_rng(seed)
    amount = np.round(rng.gamma(2.0, 100.0, rows), 2)
    fee = np.round(amount * rng.choice([0.01, 0.02], rows), 2)
    columns = {
        "amount": amount,
        "fee": fee,
        "total": amount + fee,
        "age": rng.integers(20, 80, rows).astype(float),
        "secret": np.round(rng.normal(5_000.0, 1_000.0, rows)),
    }
    yes = 1.0 / (1.0 + np.exp(-(columns["age"] - 50.0) / 10.0))
    customers = changed.pop("customer", [f"c{i}" for i in rng.integers(0, 10**6, rows)])
    labels = tuple(dict.fromkeys(customers))
    columns |= {"probabilities.no": 1.0 - yes, "probabilities.yes": yes}
    columns |= {name: np.broadcast_to(np.asarray(values, float), rows) for name, values in changed.items()}
    return Frame(
        rows=rows,
        numeric_names=tuple(columns),
        numeric=np.array(list(columns.values())),
        categorical_names=("customer", "prediction"),
        categorical=(
            Coded(labels, np.array([labels.index(one) for one in customers], np.int32)),
            Coded(("no", "yes"), (yes >= 0.5).astype(np.int32)),
        ),
        embeddings={},
        principals=None if principal is None else Coded((principal,), np.zeros(rows, np.int32)),
        event_ids=tuple(f"event-{seed}-{i}" for i in range(rows)) if ids else None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )


@cache
def reference(requests: Requests | None = WANTED, rows: int = 2_000) -> CompiledReference:
    return compile_reference(SCHEMA, frame(rows, 1), requests=requests)


def world_with(
    compiled: CompiledReference, requests: Requests | None = WANTED, schema: Schema = SCHEMA
) -> tuple[World, Version]:
    world = World()
    register_model(world.office, ANA, "m1", "team", "", policy_of(requests))
    version = register_version(world.office, ANA, "m1", "1", schema, DANA)
    put_baseline(world.office, ANA, version, compiled)
    return world, version


def send(world: World, version: Version, *frames: Frame, seconds: float = 1) -> None:
    for one in frames:
        world._seed += 1
        batch = NewEntry(
            kind=EntryKind.BATCH,
            version_id=version.id,
            batch_id=f"b{world._seed}",
            rows=one.rows,
            body=encode_frame(one),
        )
        world.log.append_now(batch)
        world.clock.advance(seconds)


def seen(world: World, version: Version) -> RequestsSeen:
    found = watch_of(world.store.tables.snapshots[version.id]).requests
    assert found is not None
    return found


def broken(found: RequestsSeen) -> dict[str, int]:
    return {one.rule: one.broken for one in found.rules if one.broken}


def with_numbers(one: Frame, numbers: NDArray[Any]) -> Frame:
    fields = {name: getattr(one, name) for name in one.__dataclass_fields__}
    return Frame(**(fields | {"numeric": numbers}))
