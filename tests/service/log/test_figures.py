"""The log's figures and its paging."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.log.figures import BOUNDS, Meter
from service.log.paging import last_that_fits


def test_quantiles_are_the_upper_bounds_of_their_buckets() -> None:
    meter = Meter()
    assert meter.latency().quantile(0.5) == 0.0
    for seconds in [0.0007] * 98 + [0.03, 99.0]:
        meter.committed(seconds=seconds, entries=2, size=10, repeated=0)
    latency = meter.latency()
    assert latency.count == meter.commits == 100
    assert latency.quantile(0.5) == 0.001
    assert latency.quantile(0.99) == 0.05
    assert latency.quantile(1.0) == float("inf")
    assert latency.total_seconds == pytest.approx(98 * 0.0007 + 99.03)
    assert (meter.entries, meter.bytes) == (200, 1_000)


def test_a_latency_on_a_bound_belongs_to_that_bucket() -> None:
    meter = Meter()
    meter.committed(seconds=BOUNDS[3], entries=1, size=1, repeated=0)
    assert meter.latency().quantile(0.5) == BOUNDS[3]


@given(sizes=st.lists(st.integers(0, 100), max_size=20), room=st.integers(0, 500))
def test_a_page_holds_as_much_as_fits_and_at_least_one(sizes: list[int], room: int) -> None:
    last = last_that_fits(enumerate(sizes, start=1), room)
    if not sizes:
        assert last is None
        return
    assert last is not None
    assert last == 1 or sum(sizes[:last]) <= room
    assert last == len(sizes) or sum(sizes[: last + 1]) > room
