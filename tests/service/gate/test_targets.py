"""Reading which model a gateway asks about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.gate.targets import Ambiguous, Target, parse_path, read_targets

TEMPLATES = [
    ("v2/models/fraud/infer", Target("fraud")),
    ("v2/models/fraud", Target("fraud")),
    ("/v2/models/fraud/versions/3/infer", Target("fraud", "3")),
    ("v2/models/fraud/versions/3", Target("fraud", "3")),
    ("v1/models/fraud:predict", Target("fraud")),
    ("v1/models/fraud:explain", Target("fraud")),
    ("v1/models/fraud/versions/2026-11-02:predict", Target("fraud", "2026-11-02")),
    ("v1/models/fraud", Target("fraud")),
    ("fraud/2026-11-02", Target("fraud", "2026-11-02")),
    ("fraud/2026-11-02/predict", Target("fraud", "2026-11-02")),
    ("fraud", Target("fraud")),
    ("v2//models///fraud/infer", Target("fraud")),
    ("v2/health/ready", None),
    ("v2", None),
    ("", None),
    ("///", None),
]


@pytest.mark.parametrize(("path", "expected"), TEMPLATES)
def test_each_template_names_its_model(path: str, expected: Target | None) -> None:
    assert parse_path(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "v2/models/good/../bad/infer",
        "v2/./models/good",
        "..",
        "v2/models/good%2f..%2fbad",
        "v2/models/bad;x/infer",
        "v2\\models\\bad",
        "v2/models/bad\x00",
    ],
)
def test_a_path_that_a_server_could_read_otherwise_is_ambiguous(path: str) -> None:
    assert isinstance(parse_path(path), Ambiguous)


@pytest.mark.parametrize(
    "uri",
    [
        "/v2/models/fraud/infer?x=1",
        "http://example.test/v2/models/fraud/infer",
        "https://example.test:8443/v2/models/fraud/infer?next=http://other/",
        "/v2/models/fr%61ud/infer#top",
    ],
)
def test_forwarded_uris_lose_host_query_and_one_round_of_escapes(uri: str) -> None:
    assert read_targets("", [uri]) == (Target("fraud"),)


def test_the_own_path_decides_alone_so_a_client_header_cannot_point_elsewhere() -> None:
    assert read_targets("v2/models/bad/infer", ["/v2/models/good/infer"]) == (Target("bad"),)


def test_every_forwarded_uri_counts_when_there_is_no_own_path() -> None:
    assert read_targets("", ["/bad/1", "/good/1"]) == (Target("bad", "1"), Target("good", "1"))


def test_nothing_named_is_one_reading_of_nothing() -> None:
    assert read_targets("", []) == (None,)


@given(tail=st.text(max_size=60), uris=st.lists(st.text(max_size=60), max_size=3))
def test_any_text_gives_at_least_one_reading(tail: str, uris: list[str]) -> None:
    for reading in read_targets(tail, uris):
        assert reading is None or isinstance(reading, Target | Ambiguous)
    assert read_targets(tail, uris)
