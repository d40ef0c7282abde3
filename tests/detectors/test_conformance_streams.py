"""The conformance suite of detectors that remember: traffic, repeats, principals, campaigns, costs, labels, evidence.

Each answers what it takes with something that can be compared bit for bit (``streams.py``). What is stateless is in
``test_conformance.py``; the last test here says that nothing is missing.
"""

import importlib
import inspect
import pkgutil
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors.errors import DetectorError
from tests.detectors.streams import STREAMS, Stream, bits_of, packer
from tests.detectors.test_conformance import DETECTORS

COUNT = 90
every = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)


@every
@given(seed=st.integers(1, 9), cuts=st.lists(st.integers(0, COUNT), max_size=4))
@settings(max_examples=8, deadline=None)
def test_a_snapshot_wherever_the_stream_is_cut_changes_no_bit(stream: Stream, seed: int, cuts: list[int]) -> None:
    items = stream.items(seed, COUNT)
    straight, cut = stream.start(), stream.start()
    whole = stream.play(straight, items)
    answers: list[Any] = []
    places = [0, *sorted(cuts), COUNT]
    for first, last in pairwise(places):
        answers += stream.play(cut, items[first:last])
        cut = stream.back(stream.keep(cut))
    assert bits_of(answers) == bits_of(whole)
    assert stream.bits(cut) == stream.bits(straight)


@every
def test_the_same_stream_gives_the_same_bits_and_is_left_alone(stream: Stream) -> None:
    items = stream.items(3, COUNT)
    before = bits_of(items)
    first, second = stream.start(), stream.start()
    answers = stream.play(first, items)
    assert bits_of(items) == before
    assert bits_of(stream.play(second, stream.items(3, COUNT))) == bits_of(answers)
    assert stream.bits(first) == stream.bits(second)


@every
def test_two_of_a_kind_share_nothing(stream: Stream) -> None:
    one, other = stream.start(), stream.start()
    untouched = stream.bits(other)
    stream.play(one, stream.items(4, COUNT))
    assert stream.bits(other) == untouched
    assert stream.bits(one) != untouched


@every
def test_what_is_refused_changes_nothing_and_what_is_odd_never_fails(stream: Stream) -> None:
    state = stream.start()
    stream.play(state, stream.items(5, COUNT))
    before = stream.bits(state)
    for item in stream.refused:
        with pytest.raises(DetectorError):
            stream.take(state, item)
        assert stream.bits(state) == before
    for item in stream.ignored:
        stream.take(state, item)
        assert stream.bits(state) == before
    for item in stream.odd:
        stream.take(state, item)
    again = stream.back(stream.keep(state))
    assert stream.bits(again) == stream.bits(state)


@every
def test_memory_is_bounded(stream: Stream) -> None:
    state = stream.start()
    stream.play(state, stream.items(6, 20 * COUNT))
    assert len(stream.bits(state)) <= stream.bytes_max


PARTS_OF = {
    "evidence": {"EvidenceEngine", "Together"},
    "traffic": {"TrafficMonitor"},
    "repeats": {"Repeats"},
    "principal": {
        "Principal",
        "Trail",
        "Probing",
        "Extraction",
        "Membership",
        "OpenRecord",
        "Cluster",
        "Heading",
        "Persistence",
        "Story",
    },
    "crowd": {"Crowd"},
    "campaigns": {"Index"},
    "costs": {"Costs"},
    "labels": {"Feedback"},
    "requests": {"RequestModel"},
}
"""Classes that take events, ticks or requests, by where the suites hold them to the rules."""
TAKES = {"take", "step", "add", "report", "judge", "run"}


def test_every_detector_is_in_a_suite() -> None:
    """A class of ``detectors`` that takes something is named above, and what is named there is in a suite."""
    found: set[str] = set()
    for module in pkgutil.walk_packages(detectors.__path__, "detectors."):
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name and not name.startswith("_") and TAKES & vars(kind).keys():
                found.add(name)
    assert found == set().union(*PARTS_OF.values())
    assert set(PARTS_OF) <= {one.name for one in (*STREAMS, *DETECTORS)}
    assert PARTS_OF["principal"] - {"Heading"} <= {name for name, *_ in packer().layout}
