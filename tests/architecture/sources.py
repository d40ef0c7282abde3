"""The files that the rules are about."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("service", "detectors", "redteam", "tests", "bench")


@cache
def repository_files() -> tuple[Path, ...]:
    """Return every file of the repository: tracked, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(path for path in (ROOT / name for name in sorted(set(names))) if path.is_file())


def python_files(*folders: str) -> tuple[Path, ...]:
    """Return the Python files under some top-level folders."""
    return tuple(p for p in repository_files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in folders)


def text_files() -> Iterator[tuple[str, str]]:
    """Yield the name and content of every text file."""
    for path in repository_files():
        data = path.read_bytes()
        if b"\0" not in data[:8_192]:
            yield name(path), data.decode(errors="replace")


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(), filename=str(path))


def name(path: Path) -> str:
    """Return a path as messages should show it."""
    return path.relative_to(ROOT).as_posix()
