"""Telemetry with fingerprints in place of inputs, from a real victim, for tests of single principals."""

from collections.abc import Iterator, Sequence
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.principals.fingerprint import Fingerprinter
from redteam.attacks import ATTACKS
from redteam.attacks.sessions import session_of, sources_of
from redteam.session import Session
from redteam.victims import Victim, digits
from service.detect.reference import CompiledReference, compile_reference
from service.domain.adversarial import Adversarial, Following
from service.domain.policy import Action, Actions, Cause, Policy
from service.domain.principals import AdversarialUse, Kind
from service.domain.records import Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema, Treatment
from service.frames import Coded, Frame, encode_frame, pack_prints
from service.office import put_baseline, register_model, register_version
from service.ports import EntryKind, NewEntry
from tests.service.worker.world import ANA, DANA, SMALL_BUDGET, World

CLASSES = tuple(str(digit) for digit in range(10))
SCHEMA = Schema(
    features=(Feature(name="image", kind=FeatureKind.EMBEDDING, dimension=64, treatment=Treatment.DROP),),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=CLASSES),
)
"""Inputs are never stored."""
FOLLOW = Following(requests_per_second=10_000, share_of_one=1.0)
QUIET = Actions(data_drift=Action.RECORD, prediction_drift=Action.RECORD, data_quality=Action.RECORD)
POLICY = msgspec.structs.replace(SMALL_BUDGET, adversarial=Adversarial(follow=FOLLOW), actions=QUIET)
EVE, MALLORY, CARL = (digit * 32 for digit in "abc")
SALT, OTHER = b"sixteen secret bytes", b"sixteen other bytes!"


def name(number: int) -> str:
    """Return the pseudonym of an account."""
    return f"{number + 1:08x}" * 4


@cache
def victim() -> Victim:
    return digits()


@cache
def maker(salt: bytes = SALT) -> Fingerprinter:
    return Fingerprinter(salt, victim().dimension, low=victim().low, high=victim().high)


def prints_of(inputs: NDArray[np.floating], salt: bytes = SALT) -> list[bytes]:
    return [row.tobytes() for row in maker(salt).of(np.asarray(inputs, np.float64))]


def frame_of(
    answers: NDArray[np.floating],
    principals: Sequence[str] | None,
    prints: Sequence[object] | None,
    *,
    probabilities: bool = True,
    inputs: NDArray[np.floating] | None = None,
) -> Frame:
    """Return telemetry; with ``inputs`` they are the embedding ``image``."""
    rows = len(answers)
    names = tuple(dict.fromkeys(principals or ()))
    codes = np.array([names.index(one) for one in principals or ()], np.int32)
    return Frame(
        rows=rows,
        numeric_names=tuple(f"probabilities.{label}" for label in CLASSES) if probabilities else (),
        numeric=np.ascontiguousarray(np.asarray(answers, np.float32).T)
        if probabilities
        else np.zeros((0, rows), np.float32),
        categorical_names=("prediction",),
        categorical=(Coded(CLASSES, np.asarray(answers).argmax(axis=1).astype(np.int32)),),
        embeddings={} if inputs is None else {"image": np.asarray(inputs, np.float32)},
        principals=None if principals is None else Coded(names, codes),
        event_ids=None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"" if prints is None else pack_prints(prints),
    )


@cache
def reference(*, probabilities: bool = True) -> CompiledReference:
    inputs = np.concatenate([victim().reference[0], victim().calibration[0]])
    frame = frame_of(victim().predict(inputs), None, prints_of(inputs), probabilities=probabilities)
    return compile_reference(SCHEMA, frame, follow=True)


def world_with(compiled: CompiledReference, policy: Policy = POLICY, schema: Schema = SCHEMA) -> tuple[World, Version]:
    world = World()
    register_model(world.office, ANA, "m1", "team", "", policy)
    version = register_version(world.office, ANA, "m1", "1", schema, DANA)
    put_baseline(world.office, ANA, version, compiled)
    return world, version


def append(world: World, version: Version, frame: Frame, seconds: float = 1.0) -> None:
    number = world.log.head() + 1
    world.log.append_now(
        NewEntry(
            kind=EntryKind.BATCH,
            version_id=version.id,
            batch_id=str(number),
            rows=frame.rows,
            body=encode_frame(frame),
        )
    )
    world.clock.advance(seconds)


def batches(
    session: Session, principals: Sequence[str], rows: int = 50, *, probabilities: bool = True
) -> Iterator[Frame]:
    """Yield the telemetry of a session, request ``i`` from ``principals[i]``."""
    prints = prints_of(session.inputs)
    for start in range(0, len(session), rows):
        part = slice(start, start + rows)
        yield frame_of(session.probabilities[part], principals[part], prints[part], probabilities=probabilities)


@cache
def attack(source: int, which: str = "hopskipjump-l2", requests: int = 400) -> Session:
    held = victim().confirmation
    return session_of(ATTACKS[which], victim(), held, sources_of(victim(), held)[source], 7, requests)


def uses(world: World) -> list[AdversarialUse]:
    alerts = world.store.tables.alerts.values()
    return [alert.adversarial for alert in alerts if alert.cause is Cause.ADVERSARIAL and alert.adversarial is not None]


def kinds(world: World) -> set[Kind]:
    return {use.kind for use in uses(world)}


def contained(world: World) -> set[str]:
    return {one.principal for one in world.store.tables.containments.values()}


def told(world: World, version: Version) -> dict[str, object]:
    """Return what the status says of principals."""
    status: dict[str, object] = msgspec.json.decode(world.store.tables.snapshots[version.id].status)["principals"]
    return status
