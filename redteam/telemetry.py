"""What a victim's model server would tell of its requests: schema, columns, and the fingerprints of inputs."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.fingerprint import BYTES, SALT_BYTES_MIN, Fingerprinter, salt_tag
from redteam.plan import Plan
from redteam.problems import Problem, Refused
from redteam.victims import Victim

ARROW = "application/vnd.apache.arrow.stream"
INPUT = "input"
FINGERPRINT, LATENCY = "fingerprint", "latency_ms"
Columns = Mapping[str, pa.Array]


def salt_of(victim: str, seed: int) -> bytes:
    """Return the secret of a deployment that is trained on the spot: the same for the same plan and seed."""
    return hashlib.sha256(f"red team\0{victim}\0{seed}".encode()).digest()


def maker_of(victim: Victim, salt: bytes) -> Fingerprinter:
    """Return what makes fingerprints of a victim's inputs."""
    return Fingerprinter(salt, victim.dimension, low=victim.low, high=victim.high)


def schema_of(victim: Victim) -> dict[str, Any]:
    """Return the schema of a victim's telemetry: an image is one embedding, a table has its columns."""
    if len(victim.shape) > 1:
        features: list[dict[str, Any]] = [{"name": INPUT, "kind": "embedding", "dimension": victim.dimension}]
    else:
        features = [{"name": name, "kind": "numeric"} for name in _columns(victim)]
    classes = [class_of(i) for i in range(victim.classes)]
    return {"features": features, "prediction": {"kind": "class", "classes": classes}}


def arrow_of(
    victim: Victim,
    inputs: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    ids: Sequence[str] | None = None,
    principals: Sequence[str] | None = None,
    more: Columns | None = None,
) -> bytes:
    """Return requests and answers as an Arrow IPC stream: events with ids and principals, or reference data."""
    columns: dict[str, pa.Array] = {}
    if ids is not None and principals is not None:
        columns |= {"event_id": pa.array(ids), "principal": pa.array(principals)}
    if len(victim.shape) > 1:
        values = pa.array(inputs.astype(np.float32).ravel())
        columns[f"features.{INPUT}"] = pa.FixedSizeListArray.from_arrays(values, victim.dimension)
    else:
        columns |= {f"features.{name}": pa.array(inputs[:, i]) for i, name in enumerate(_columns(victim))}
    columns["prediction"] = pa.array([class_of(i) for i in probabilities.argmax(axis=1).tolist()])
    columns |= {f"probabilities.{class_of(i)}": pa.array(probabilities[:, i]) for i in range(victim.classes)}
    table = pa.table(columns | dict(more or {}))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def beside(inputs: NDArray[np.float64], latency_ms: NDArray[np.float32] | None, maker: Fingerprinter | None) -> Columns:
    """Return the columns that not every deployment tells: how long answers took, and fingerprints."""
    columns: dict[str, pa.Array] = {}
    if latency_ms is not None:
        columns[LATENCY] = pa.array(latency_ms.astype(np.float64))
    if maker is not None:
        # Of what is sent: inputs travel with 32 bits.
        prints = maker.of(inputs.astype(np.float32).astype(np.float64))
        columns[FINGERPRINT] = pa.array([row.tobytes() for row in prints], pa.binary(BYTES))
    return columns


def class_of(number: int) -> str:
    """Return the name of a class; names sort as numbers do."""
    return f"c{number:04d}"


def _columns(victim: Victim) -> Iterator[str]:
    return (f"x{i:04d}" for i in range(victim.dimension))


def salts_of(plan: Plan) -> dict[str, bytes]:
    """Return the secrets of the deployments that a plan attacks, by victim; one that has none makes no fingerprints.

    Raises
    ------
    Refused
        When the secret of an endpoint is not there, or is none.
    """
    found = {name: salt_of(name, plan.seed) for name in plan.victims} if plan.fingerprints else {}
    told = plan.http
    if told is not None and told.salt_env:
        text = os.environ.get(told.salt_env, "")
        try:
            salt = bytes.fromhex(text)
            salt_tag(salt)
        except (ValueError, DetectorError) as error:
            reason = f"${told.salt_env} must be at least {2 * SALT_BYTES_MIN} hexadecimal digits"
            raise Refused("the run cannot begin", [Problem("victim.http.salt_env", reason)]) from error
        found[told.name] = salt
    return found
