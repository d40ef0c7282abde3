"""Keeps pandas out of the processes that take in and count: Arrow imports it on first use where it is installed.

That takes a second, for nothing here, and would fall into a request. Arrow asks only once whether it is there.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _Absent(MetaPathFinder):
    def find_spec(self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def keep_pandas_out() -> None:
    """Let Arrow find no pandas; whoever imports it by name afterwards gets it."""
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        pa.array([0.0])
    finally:
        sys.meta_path.remove(absent)
