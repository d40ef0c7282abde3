"""Of a busy tick, the joint scores look at a sample that follows from the log alone."""

from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.ids import VersionId
from service.frames import between
from tests.service.detect.test_watch import Disk, watched_control
from tests.service.worker.world import batch_entry, make_frame


@pytest.mark.parametrize("sizes", [[240], [1] * 240, [7, 1, 200, 32], [120, 120]])
def test_a_busy_tick_is_looked_at_jointly_in_a_sample_that_batches_do_not_change(sizes: list[int]) -> None:
    def counts(batches: Sequence[int]) -> tuple[NDArray[np.int64], list[str]]:
        events = make_frame(5, 240)
        watch = Disk(control := watched_control()).watch()
        watch.take(batch_entry(1, 0.0, 1, make_frame(4, 40)), serving=True)
        watch.close_due(batch_entry(2, 1.0, 1, make_frame(5, 1)))
        first = 0
        for position, rows in enumerate(batches, 2):
            part = between(events, first, first + rows)
            watch.take(batch_entry(position, 1.0, 1, part), serving=True)
            first += rows
        assert control is not None
        watched = watch._folds[VersionId(1)].watched
        assert watched is not None
        watched.settle()
        baseline = watched.engine.baseline
        per_column = np.add.reduceat(watched.open_counts[: baseline.total], baseline.starts)
        sampled = [name for name, events in zip(baseline.names, per_column, strict=True) if events == 60]
        assert {*sampled, *(space.parts_name for space in baseline.tilted)} == watched.engine.joint
        assert watched.open_counts[baseline.total] == 60
        assert {int(n) for n in per_column} == {60, 240}
        return watched.open_counts, sampled

    with patch("service.detect.watched.JOINT_EVENTS", 10), patch("service.detect.watched.JOINT_BLOCK", 3):
        whole, parts = counts([240]), counts(sizes)
    assert whole[0].tolist() == parts[0].tolist()
    assert "score.mahalanobis" in whole[1]
