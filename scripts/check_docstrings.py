"""numpydoc on every public name of the detectors, with the rules of pyproject.toml.

The names are looked at as imported: numpydoc's own linter reads only the text, and takes the fields of a dataclass for
unknown parameters and properties for functions.
"""

import importlib
import inspect
import pkgutil
import sys
import tomllib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType

from numpydoc.validate import ERROR_MSGS, validate

import detectors

ROOT = Path(__file__).parents[1]
NOT_CONSTRUCTED = {"PR01"}
"""Means nothing for enumerations and protocols: the signature of their constructor is the machinery's."""


def wanted_checks() -> set[str]:
    """Return the codes that count: all but those listed after ``all``."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["numpydoc_validation"]
    listed = set(settings["checks"])
    return set(ERROR_MSGS) - listed if "all" in listed else listed


def modules() -> Iterator[ModuleType]:
    """Yield every module of the detectors."""
    yield detectors
    for found in pkgutil.walk_packages(detectors.__path__, "detectors."):
        yield importlib.import_module(found.name)


def public_names(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield its public functions and classes, and their public methods and properties."""
    for name, thing in vars(module).items():
        own = getattr(thing, "__module__", None) == module.__name__
        if name.startswith("_") or not own or not (inspect.isfunction(thing) or inspect.isclass(thing)):
            continue
        yield f"{module.__name__}.{name}", thing
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not member.startswith("_") and (callable(value) or isinstance(value, property | classmethod)):
                yield f"{module.__name__}.{name}.{member}", value


def is_never_constructed(thing: object) -> bool:
    """Tell whether nobody calls this class to make a new value."""
    return inspect.isclass(thing) and (issubclass(thing, Enum) or getattr(thing, "_is_protocol", False))


def main() -> int:
    """Print every finding and return 1 if there is one."""
    checks, checked, findings = wanted_checks(), 0, []
    for name, thing in (pair for module in modules() for pair in public_names(module)):
        checked += 1
        counting = checks - NOT_CONSTRUCTED if is_never_constructed(thing) else checks
        findings += [f"{name}: {code} {text}" for code, text in validate(name)["errors"] if code in counting]
    sys.stdout.write("\n".join([*findings, f"{checked} public names, {len(findings)} findings\n"]))
    return 1 if findings or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
