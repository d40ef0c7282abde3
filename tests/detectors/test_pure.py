"""Detectors are pure: numpy, scipy, themselves, and a short list of the standard library."""

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "detectors"
FILES = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {
    "__future__", "base64", "collections", "collections.abc", "dataclasses", "enum", "fractions", "functools",
    "hashlib", "itertools", "json", "math", "struct", "types", "typing",
}  # fmt: skip
LIBRARIES = {"detectors", "numpy", "scipy"}
FORBIDDEN_CALLS = {"open", "print", "input", "eval", "exec", "compile", "__import__"}


def _module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert node.module is not None
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_a_detector_imports_only_what_is_allowed(path: Path) -> None:
    found = set(_imports(ast.parse(path.read_text(encoding="utf-8"))))
    assert {name for name in found if name.split(".")[0] not in LIBRARIES} <= ALLOWED


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_a_detector_does_no_input_or_output_and_draws_no_random_numbers(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"line {node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"random", "load", "save", "fromfile", "tofile", "pickle"}, f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_the_examples_in_docstrings_are_true(path: Path) -> None:
    module = importlib.import_module(_module(path))
    assert doctest.testmod(module).failed == 0
