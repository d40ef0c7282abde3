"""Rules that linters do not know, or that a comment could switch off there."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.sources import CODE, ROOT, name, parse, python_files

MIGRATION_IMPORTS = {"__future__", "alembic", "collections", "sqlalchemy", "typing"}
WALL_CLOCK = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
BLIND = {"Exception", "BaseException"}


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_import_contracts_have_no_exceptions() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert len(settings["contracts"]) >= 7
    assert [contract["name"] for contract in settings["contracts"] if contract.get("ignore_imports")] == []


def _import_roots(tree: ast.Module) -> set[str]:
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add("." if node.level else (node.module or "").split(".")[0])
    return roots


def test_old_migrations_never_break_when_the_models_move() -> None:
    versions = [path for path in python_files("migrations") if path.parent.name == "versions"]
    strangers = {name(path): _import_roots(parse(path)) - MIGRATION_IMPORTS for path in versions}
    assert {path: roots for path, roots in strangers.items() if roots} == {}


def _names(kind: ast.expr | None) -> set[str]:
    if isinstance(kind, ast.Tuple):
        return {name for element in kind.elts for name in _names(element)}
    return {kind.id} if isinstance(kind, ast.Name) else set()


def _logs_the_traceback(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "exception"


def _is_blind(node: ast.AST) -> bool:
    """A handler for everything that neither raises again nor logs the traceback, or a suppression of everything."""
    if isinstance(node, ast.ExceptHandler):
        catches_all = node.type is None or bool(_names(node.type) & BLIND)
        last = node.body[-1]
        raises_again = isinstance(last, ast.Raise) and last.exc is None
        return catches_all and not raises_again and not any(_logs_the_traceback(part) for part in node.body)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        return called == "suppress" and any(_names(argument) & BLIND for argument in node.args)
    return False


def _offenders(rule: object, *folders: str) -> list[str]:
    assert callable(rule)
    return [
        f"{name(path)}:{node.lineno}"
        for path in python_files(*folders)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.expr | ast.ExceptHandler) and rule(node)
    ]


def test_nothing_swallows_errors_that_it_does_not_name() -> None:
    assert _offenders(_is_blind, *CODE, "migrations") == []


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    f()\nexcept:\n    pass",
        "try:\n    f()\nexcept Exception as e:\n    log(e)",
        "try:\n    f()\nexcept (ValueError, BaseException):\n    pass",
        "with contextlib.suppress(Exception):\n    f()",
    ],
)
def test_the_rule_against_swallowing_sees(source: str) -> None:
    assert any(_is_blind(node) for node in ast.walk(ast.parse(source)))


def _asks_the_wall_clock(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute):
        return False
    owner = node.value
    last = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return (last, node.attr) in WALL_CLOCK


def test_only_the_clock_asks_the_machine_for_the_time() -> None:
    offenders = _offenders(_asks_the_wall_clock, "service", "detectors", "redteam", "migrations")
    assert [where for where in offenders if not where.startswith("service/clock.py:")] == []
    assert any(_asks_the_wall_clock(node) for node in ast.walk(parse(ROOT / "service" / "clock.py")))


def test_every_suppressed_lint_says_why() -> None:
    silent = [
        f"{name(path)}:{number}"
        for path in python_files(*CODE, "migrations")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*noqa\b", line) and not re.search(r"#\s*noqa: [A-Z]+[0-9]+(, [A-Z]+[0-9]+)* +- \S", line)
    ]
    assert silent == []


def test_every_rule_switched_off_for_all_files_has_its_reason_beside_it() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start = lines.index("[tool.ruff.lint]")
    end = lines.index("[tool.ruff.lint.pydocstyle]")
    ignores = [line for line in lines[start:end] if re.match(r'^ +"[A-Z]+[0-9]*",', line)]
    assert len(ignores) > 5
    assert [line for line in ignores if not re.search(r"# \S.{4,}", line)] == []


def test_types_are_strict_for_every_module() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"] is True
    ours = {"service", "detectors", "redteam", "tests"}
    assert ours <= set(settings["files"])
    for override in settings.get("overrides", []):
        assert set(override) <= {"module", "ignore_missing_imports"}, override
        assert not any(module.split(".")[0] in ours for module in override["module"])
