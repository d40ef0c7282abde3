"""A new baseline is compared with the one before."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from service.detect.moved import TOLD_MAX, in_short, moved
from service.detect.reference import compile_reference
from service.domain.schema import Feature, FeatureKind
from service.frames import Frame
from tests.service.worker.world import SCHEMA, compiled, make_frame


def told(frame: Frame, names: tuple[str, ...] | None = None) -> dict[str, str]:
    before = compiled()
    return {warning["column"]: warning["text"] for warning in moved(before.artefact, frame, names or before.columns)}


def test_rows_of_the_same_kind_differ_in_nothing() -> None:
    assert told(make_frame(5, 4_000)) == {}


def test_a_column_that_has_moved_is_named_with_its_effects() -> None:
    said = told(make_frame(6, 4_000, shift=1.0))
    assert "age" in said
    assert "income" not in said
    assert "PSI" in said["age"]
    assert "KS" in said["age"]
    assert in_short(moved(compiled().artefact, make_frame(6, 4_000, shift=1.0), compiled().columns)).startswith(
        ", differs from the one before in "
    )
    assert in_short(({"column": "age", "code": "missing", "text": ""},)) == ""


def test_columns_that_come_and_go_are_named() -> None:
    before = compiled()
    names = tuple(name for name in before.columns if name != "income")
    said = told(make_frame(7, 4_000), (*names, "shoe"))
    assert said.keys() == {""}
    texts = [warning["text"] for warning in moved(before.artefact, make_frame(7, 4_000), (*names, "shoe"))]
    assert any("has not: income" in text for text in texts)
    assert any("had not: shoe" in text for text in texts)


def test_only_so_many_are_told() -> None:
    many = TOLD_MAX + 10
    names = tuple(f"n{i}" for i in range(many))
    features = tuple(Feature(name=name, kind=FeatureKind.NUMERIC) for name in names)
    schema = msgspec.structs.replace(SCHEMA, features=features)
    rng = np.random.default_rng(8)
    whole = make_frame(8, 2_000, extras=False)
    frame = replace(whole, numeric_names=names, numeric=rng.normal(size=(many, 2_000)), embeddings={})
    before = compile_reference(schema, frame)
    after = replace(frame, numeric=frame.numeric + 2.0)
    found = moved(before.artefact, after, before.columns)
    assert len([warning for warning in found if warning["column"]]) == TOLD_MAX
    assert any("more columns differ" in warning["text"] for warning in found)


@pytest.mark.parametrize("artefact", [b"", b"no baseline", b"LZPRIN01\xc1"])
def test_a_baseline_that_cannot_be_read_is_said_and_no_error(artefact: bytes) -> None:
    (warning,) = moved(artefact, make_frame(9, 100), ("age",))
    assert "cannot be compared" in warning["text"]
