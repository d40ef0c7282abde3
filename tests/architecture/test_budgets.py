"""A file or a function that outgrows its budget is split, not exempted."""

import ast
from collections.abc import Iterator

from tests.architecture.sources import CODE, name, parse, python_files

FILE_LINES = 400
FUNCTION_LINES = 50


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _length_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    length = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        length -= docstring.end_lineno - docstring.lineno + 1
    return length


def test_no_file_is_longer_than_its_budget() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in python_files(*CODE)}
    assert len(lengths) > 20
    assert {path: length for path, length in lengths.items() if length > FILE_LINES} == {}


def test_no_function_is_longer_than_its_budget() -> None:
    lengths = {
        f"{name(path)}:{function.lineno} {function.name}": _length_without_docstring(function)
        for path in python_files(*CODE, "migrations")
        for function in _functions(parse(path))
    }
    assert len(lengths) > 100
    assert {where: length for where, length in lengths.items() if length > FUNCTION_LINES} == {}
