"""Public data sets with a known change, with none, or with labelled anomalies. The folder's README says where from."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv, parquet

from bench.detection.streams import DAY_US, Table, Times, rows_of
from detectors.columns import Codes, Values

LOAN_CHANGED = ("car_value", "salary_range", "loan_length", "repaid_loan_on_prev_car")
LOAN_CONTROLS = ("debt_to_income_ratio", "driver_tenure", "size_of_downpayment")
NAB = (
    "artificialNoAnomaly/art_noisy",
    "realAWSCloudwatch/rds_cpu_utilization_e47b3b",
    "realKnownCause/ambient_temperature_system_failure",
    "realKnownCause/ec2_request_latency_system_failure",
    "realTraffic/speed_6005",
    "realTweets/Twitter_volume_AAPL",
)
ELEC_START_US = 831_427_200_000_000
"""7 May 1996, as its makers say: every row is half an hour."""
NAB_PROBATION = 0.15
"""The share of a series that its makers let detectors learn from."""
TCPD = {"quality_control_1": 100, "quality_control_3": 100, "quality_control_5": 100, "bank": 200}
"""Series with enough points before the change, and the points of the reference."""


@dataclass(frozen=True, kw_only=True)
class RealStream:
    """A reference and what follows it."""

    name: str
    table: Table
    reference: int
    """So many rows are the reference."""
    kind: str
    """As in ``RealCell``."""
    change: int | None = None
    """Row of the whole table."""
    windows: tuple[tuple[int, int], ...] = ()
    """First and last rows, of the whole table, of labelled anomalies."""
    tick_rows: int = 1
    promise: float = 1e4
    """In ticks."""
    times: Times | None = None
    """When the rows were, where that is known: columns may then be compared with their own hours."""

    @property
    def parts(self) -> tuple[Table, Table]:
        """Reference and rest."""
        return rows_of(self.table, slice(0, self.reference)), rows_of(self.table, slice(self.reference, None))


def values_of(array: Any) -> Values:
    """Return a column of a table: numbers, or numbered labels."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.string())
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    coded = array.dictionary_encode()
    labels = tuple(str(label) for label in coded.dictionary.to_pylist())
    return Codes(labels, pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32))


def table_of(table: Any, *names: str) -> Table:
    """Return some columns."""
    return {name: values_of(table[name].combine_chunks()) for name in names}


def shuffled(table: Table, start: int, stop: int) -> Table:
    """Return the table with some of its rows in random order."""
    order = np.arange(len(next(_arrays(table))))
    order[start:stop] = np.random.default_rng(0).permutation(order[start:stop])
    return {n: Codes(v.labels, v.codes[order]) if isinstance(v, Codes) else v[order] for n, v in table.items()}


def _arrays(table: Table) -> Iterator[Any]:
    return (v.codes if isinstance(v, Codes) else v for v in table.values())


def tabular(folder: Path) -> Iterator[RealStream]:
    """Yield the data sets with several columns."""
    elec = csv.read_csv(folder / "elec2.csv.gz").drop_columns(["class", "date"])
    yield RealStream(
        name="Elec2, market extended at row 17,424; ticks of a day",
        table=table_of(elec, *elec.column_names),
        reference=16_128,
        kind="change",
        change=17_424,
        tick_rows=48,
        times=ELEC_START_US + np.arange(elec.num_rows) * (DAY_US // 48),
    )
    whole = csv.read_csv(folder / "bike_sharing_hour.csv.gz")
    days = pc.strptime(whole["dteday"], format="%m/%d/%Y", unit="us").cast(pa.int64()).to_numpy()
    bike = whole.drop_columns(["dteday", "instant", "yr"])
    yield RealStream(
        name="bike hours, second year against the first; ticks of an hour, A = ten years",
        table=table_of(bike, *bike.column_names),
        reference=8_645,
        kind="change",
        change=8_645,
        promise=87_600,
        times=days + whole["hr"].to_numpy() * (DAY_US // 24),
    )
    before, after = (parquet.read_table(folder / f"synthetic_car_loan_{n}.parquet") for n in ("reference", "analysis"))
    names = [*LOAN_CHANGED, *LOAN_CONTROLS]
    loan = table_of(pa.concat_tables([before.select(names), after.select(names)]), *names)
    rows = before.num_rows
    yield RealStream(name="car loan, exact change", table=loan, reference=rows, kind="change", change=rows + 25_000)
    yield RealStream(
        name="car loan, unchanged, 1,000 reference rows",
        table=rows_of(loan, slice(0, rows)),
        reference=1_000,
        kind="none",
    )
    yield from _gas_and_network(folder)


def _gas_and_network(folder: Path) -> Iterator[RealStream]:
    gas = np.load(folder / "gas_sensor_drift.npz")
    first = int((gas["batch"] <= 2).sum())
    sensors: Table = {f"s{j}": gas["X"][:, j].astype(np.float64) for j in range(gas["X"].shape[1])}
    yield RealStream(
        name="gas sensors, batches 1 and 2 (shuffled), then 3 to 9",
        table=shuffled(sensors, 0, first),
        reference=1_200,
        kind="change",
        change=first,
    )
    train, test = (csv.read_csv(folder / f"nsl_kdd_{name}.csv.gz") for name in ("train20", "test_known"))
    calm = train.filter(pc.equal(train["label"], "normal"))
    both = pa.concat_tables([calm, test]).drop_columns(["label", "difficulty"])
    yield RealStream(
        name="NSL-KDD, normal connections, then the test traffic with attacks",
        table=table_of(both, *both.column_names),
        reference=8_000,
        kind="change",
        change=calm.num_rows,
    )


def changepoint(folder: Path) -> Iterator[RealStream]:
    """Yield single series with marks by people."""
    whole = parquet.read_table(folder / "nab_series.parquet")
    windows = json.loads((folder / "nab_labels.json").read_text(encoding="utf-8"))["windows"]
    for name in NAB:
        series = whole.filter(pc.equal(whole["series"].cast(pa.string()), name))
        times = [str(t)[:19] for t in series["timestamp"].to_pylist()]
        spans = [[str(end)[:19] for end in span] for span in windows[name]]
        places = [[i for i, time in enumerate(times) if start <= time <= end] for start, end in spans]
        reference = int(NAB_PROBATION * len(times))
        yield RealStream(
            name=f"NAB {name.split('/')[1]}",
            table={"value": values_of(series["value"].combine_chunks())},
            reference=reference,
            kind="windows" if spans else "none",
            windows=tuple((place[0], place[-1]) for place in places if place and place[0] >= reference),
            times=np.array(times, dtype="datetime64[us]").astype(np.int64),
        )
    series_of = json.loads(gzip.decompress((folder / "tcpd_series.json.gz").read_bytes()))
    for name, reference in TCPD.items():
        found = series_of[name]
        marks = [points[0] for points in found["annotations"].values() if points]
        values = np.array(_raw(found["series"]), dtype=np.float64)
        yield RealStream(
            name=f"TCPD {name}",
            table={"value": values},
            reference=reference,
            kind="change" if marks else "none",
            change=int(np.median(marks)) if marks else None,
        )


def _raw(series: Any) -> Any:
    return series[0]["raw"] if isinstance(series[0], dict) else series[0]


def telemetry(folder: Path) -> Iterator[RealStream]:
    """Yield traffic of real services; nobody has marked anything in it."""
    code = csv.read_csv(folder / "azure_llm_code_2023.csv.gz")
    yield RealStream(
        name="Azure LLM coding service, token counts of an hour",
        table=table_of(code, "ContextTokens", "GeneratedTokens"),
        reference=3_000,
        kind="unlabelled",
    )
    redis = csv.read_csv(folder / "azure_vm_redis_set.csv.gz")
    machines = redis["VM_id"].combine_chunks().value_counts().to_pylist()
    busiest = max(machines, key=lambda found: found["counts"])["values"]
    yield RealStream(
        name="Azure VM, Redis requests/s of one machine over 483 days",
        table=table_of(redis.filter(pc.equal(redis["VM_id"], busiest)).sort_by("starttime"), "value"),
        reference=4_000,
        kind="unlabelled",
    )
    for name, reference in (("predict", 2_000), ("model_switch", 10_000)):
        table = csv.read_csv(folder / f"alibaba_genai_{name}_latency.csv.gz")
        yield RealStream(
            name=f"Alibaba, {name.replace('_', ' ')} latency",
            table=table_of(table, "value"),
            reference=reference,
            kind="unlabelled",
        )


def real_streams(folder: Path) -> Iterator[RealStream]:
    """Yield all of them."""
    yield from tabular(folder / "tabular")
    yield from changepoint(folder / "changepoint")
    yield from telemetry(folder / "telemetry")
