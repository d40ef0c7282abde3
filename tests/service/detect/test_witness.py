"""What the events of one principal are counted as alone is what they are counted as among all others."""

from dataclasses import replace

import numpy as np

from detectors.binning import count
from detectors.columns import ColumnGroup
from service.detect.columns import columns_of
from service.detect.engines import Engine
from service.detect.references import from_bytes
from service.detect.witness import _Heard, _Own
from service.domain.ids import Micros, Position, VersionId
from service.frames import Coded, encode_frame
from service.ports import EntryKind, LogEntry
from tests.service.worker.world import SMALL_BUDGET, compiled, make_frame

EVE, BOB = "e" * 32, "b" * 32


def test_each_column_is_counted_with_all_that_it_is_made_of() -> None:
    engine = Engine.of_all(from_bytes(compiled().artefact), SMALL_BUDGET.tuning)
    frame = make_frame(3, 40)
    numeric = frame.numeric.copy()
    numeric[frame.numeric_names.index("probabilities.ok"), :10] = 3.0
    codes = np.array([0, 1] * 20, np.int32)
    frame = replace(frame, numeric=numeric, principals=Coded((EVE, BOB), codes))
    entry = LogEntry(
        position=Position(1),
        kind=EntryKind.BATCH,
        version_id=VersionId(1),
        arrival_us=Micros(1),
        rows=40,
        body=encode_frame(frame),
    )
    heard = [_Heard(entry=entry, frame=frame, names=(EVE, BOB), codes=codes.astype(np.int64))]
    baseline = engine.baseline
    whole = count(baseline, columns_of(frame, baseline.names, baseline.spaces, shares=engine.shares))
    groups = {column.spec.group for column in baseline.columns}
    assert {ColumnGroup.SCORE, ColumnGroup.MULTIVARIATE, ColumnGroup.PREDICTION} <= groups
    for name in baseline.names:
        place = baseline.slices[baseline.index[name]]
        own = _Own(engine, heard, name)
        assert own.counts(None)[place].tolist() == whole[place].tolist(), name
        parts = own.counts([EVE]) + own.counts([BOB])
        assert parts[place].tolist() == whole[place].tolist(), name
