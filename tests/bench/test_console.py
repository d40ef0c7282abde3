"""The benchmark of the console says which pages keep the budget, and asks for the pages that there are."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import console
from bench.console import MODELS, Timing, paths_of, render


def timing(path: str = "/fleet", median: float = 20.0, processor: float = 9.0, size: int = 60_000) -> Timing:
    return Timing(path, 200, median, 2 * median, processor, size)


def test_a_page_inside_the_budget_keeps_it() -> None:
    text = render([timing()], 1_000, 10_000, 15, 0.5)
    assert text.count("kept by every page") == 3
    assert "| `/fleet` | 9 | 20 | 40 | 60 |" in text
    assert "1,000 models of one version with 25 features each, 10,000 incidents" in text


@pytest.mark.parametrize(
    ("slow", "part"),
    [
        (timing("/slow", median=151.0), "by the clock: not kept by `/slow`;"),
        (timing("/slow", processor=150.0), "By what they compute: not kept by `/slow`;"),
        (timing("/slow", size=200_000), "by their size: not kept by `/slow`."),
    ],
)
def test_a_page_over_the_budget_is_named(slow: Timing, part: str) -> None:
    text = render([timing(), slow], 1_000, 10_000, 15, 0.5)
    assert part in text
    assert text.count("kept by every page") == 2


def test_the_fleet_and_the_urgent_version_are_among_the_pages() -> None:
    paths = paths_of(MODELS)
    assert {"/", "/fleet"} <= set(paths)
    assert any(path.startswith("/models/model-0100/versions/") for path in paths)
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
def test_a_page_that_does_not_answer_is_no_page_that_keeps_the_budget(
    status: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measure(*_: object) -> list[Timing]:
        return [timing(), replace(timing("/broken"), status=status)]

    monkeypatch.setattr(console, "measure", measure)
    monkeypatch.setattr(console, "make_key", lambda _: "lzk_")
    monkeypatch.setattr(console, "PAGE", tmp_path / "page.md")
    (tmp_path / "data").mkdir()
    assert console.main(["--keep", str(tmp_path)]) == code
    assert (tmp_path / "page.md").exists() == (status == 200)
    assert ("/broken: 500" in capsys.readouterr().err) == (status == 500)
