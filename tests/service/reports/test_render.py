"""Reports by the real Evidently: what has drifted is named, what has not is not, and nothing gets out."""

import json
import re
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from service.domain.reports import Reports
from service.frames import Frame
from service.reports.make import PROGRAM, Making, Rendered
from service.reports.samples import Reservoir, Sample
from tests.service.reports.frames import SCHEMA, frame_of, traffic

HOSTILE = "</script><img src=x onerror=alert(1)>"
MIB = 1024 * 1024


def sample(frame: Frame) -> Sample:
    reservoir = Reservoir(SCHEMA, Reports(), 2_000)
    reservoir.add(frame, 1)
    return reservoir.sample(0, 1, cut=False)


def making(python: Path | None, **changed: Any) -> Making:
    usual: dict[str, Any] = {
        "log_url": "", "keys": (b"k" * 32,), "seconds_max": 500.0, "memory_bytes_max": 3_072 * MIB,
        "output_bytes_max": 32 * MIB, "ending": Event(),
    }  # fmt: skip
    return Making(python=python, **(usual | changed))


def rendered(python: Path, current: Frame, reference: Frame) -> Rendered:
    found, why, _ = making(python).render("fraud 1", sample(current), sample(reference))
    assert found is not None, why
    return found


@pytest.fixture(scope="module")
def drifted(evidently_python: Path) -> Rendered:
    return rendered(evidently_python, traffic(1, 1_000, shift=0.5), traffic(2, 1_000))


def test_what_has_drifted_is_named_and_nothing_else(drifted: Rendered) -> None:
    # Ages moved by 0.6 deviations in 1,000 rows: missed once in 10^20. Each other column: 0.3 % of the time.
    assert [one.name for one in drifted.columns if one.drifted] == ["age"]
    assert {one.name: one.kind for one in drifted.columns} == {
        "age": "numeric", "plan": "categorical", "prediction": "categorical",
    }  # fmt: skip
    assert drifted.renderer.startswith("evidently 0.7.")


def test_the_json_is_evidentlys_own(drifted: Rendered) -> None:
    told = json.loads(bytes(drifted.json))
    drifts = [one for one in told["metrics"] if one["config"]["type"].endswith(":ValueDrift")]
    assert {one["config"]["column"]: one["config"]["method"] for one in drifts} == {
        "age": "ks", "plan": "homogeneity", "prediction": "homogeneity",
    }  # fmt: skip


def test_the_page_is_one_file_that_asks_nobody(drifted: Rendered) -> None:
    page = drifted.html
    assert "Content-Security-Policy" in page[:2_000]
    assert "default-src 'none'" in page[:2_000]
    outside = re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?!data:)[^\s>]+", page)
    assert outside == []
    assert "@font-face" in page
    assert "data:font/ttf;base64," in page


@pytest.mark.slow
def test_rows_that_have_not_changed_name_nothing_and_missing_new_and_hostile_values_are_shown(
    evidently_python: Path,
) -> None:
    rng = np.random.default_rng(3)
    usual = rendered(evidently_python, traffic(4, 1_000), traffic(5, 1_000))
    assert [one.name for one in usual.columns if one.drifted] == []

    ages = rng.normal(40, 8, 1_000)
    ages[:200] = np.nan
    odd = frame_of({"age": ages}, {"plan": [HOSTILE] * 300 + ["basic"] * 700, "prediction": ["ok"] * 1_000})
    found = rendered(evidently_python, odd, traffic(6, 1_000))
    assert {one.name for one in found.columns if one.drifted} == {"age (given)", "plan", "prediction"}
    assert HOSTILE not in found.html
    assert "onerror=alert(1)>" not in found.html
    assert "\u2039/script\u203a" in found.html or "\\u2039/script\\u203a" in found.html


def test_without_evidently_it_says_how_to_get_it(tmp_path: Path) -> None:
    # An interpreter without anything: isolated, and with no packages of a site.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {Path(__import__("sys").executable)} -S "$@"\n')
    bare.chmod(0o755)
    found, why, _ = making(bare).render("x", sample(traffic(1, 50)), sample(traffic(2, 50)))
    assert found is None
    assert re.fullmatch(r"rendering: Evidently cannot be loaded: .+; pip install 'lazaretto\[reports\]'", why)


def test_an_interpreter_that_is_not_there_is_told(tmp_path: Path) -> None:
    found, why, _ = making(tmp_path / "nowhere").render("x", sample(traffic(1, 50)), sample(traffic(2, 50)))
    assert found is None
    assert why.startswith("rendering: the program cannot be started: ")


def test_a_report_that_needs_too_much_memory_is_ended_and_told(evidently_python: Path) -> None:
    few = making(evidently_python, memory_bytes_max=256 * MIB)
    found, why, _ = few.render("x", sample(traffic(1, 50)), sample(traffic(2, 50)))
    assert found is None
    assert "256 MiB of memory" in why


def test_the_program_can_reach_nobody_and_start_nothing(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = f"""
import importlib.util, socket, subprocess, sys
spec = importlib.util.spec_from_file_location("render", {str(PROGRAM)!r})
render = importlib.util.module_from_spec(spec)
spec.loader.exec_module(render)
render.give_up_network()
for attempt in (
    lambda: socket.create_connection(("127.0.0.1", 9), 1),
    lambda: socket.getaddrinfo("localhost", 80),
    lambda: subprocess.run(["true"]),
):
    try:
        attempt()
    except PermissionError:
        print("refused")
    else:
        print("went through")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.split() == ["refused"] * 3, done.stderr
