"""Wheels of what is installed here: the locked versions, without asking any index."""

import os
import shutil
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(requirements: list[str]) -> set[str]:
    """Return the names of all distributions that requirements stand on, for this Python and machine."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        key = f"{canonicalize_name(wanted.name)}[{','.join(sorted(wanted.extras))}]"
        if key in found:
            continue
        found.add(key)
        for text in metadata.requires(wanted.name) or []:
            below = Requirement(text)
            extras = wanted.extras or {""}
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(below)
    return {key.partition("[")[0] for key in found}


def pack(name: str, folder: Path) -> Path:
    """Pack an installed distribution into the wheel it came from, without its scripts: pip writes those anew."""
    distribution = metadata.distribution(name)
    files = [
        file for file in distribution.files or [] if not file.as_posix().startswith("..") and file.suffix != ".pyc"
    ]
    (info,) = {file.parts[0] for file in files if file.parts[0].endswith(".dist-info")}
    tags = [
        line.split()[-1] for line in (distribution.read_text("WHEEL") or "").splitlines() if line.startswith("Tag:")
    ]
    left_out = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"}
    stem = info.removesuffix(".dist-info")
    path = folder / f"{stem}-{_compressed(tags)}.whl"
    kept = [file for file in files if not (file.parts[0] == info and file.name in left_out)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in kept:
            archive.write(str(distribution.locate_file(file)), file.as_posix())
        lines = [f"{file.as_posix()},," for file in kept]
        archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,", ""]))
    return path


def lend_bytecode(names: set[str], site: Path) -> None:
    """Copy the bytecode of what was installed from here: compiling it would take longer than all the rest."""
    for name in names:
        distribution = metadata.distribution(name)
        for file in distribution.files or []:
            there = site / file
            if file.suffix != ".py" or not there.is_file():
                continue
            here = Path(str(distribution.locate_file(file)))
            for compiled in (here.parent / "__pycache__").glob(f"{here.stem}.cpython-*.pyc"):
                (there.parent / "__pycache__").mkdir(exist_ok=True)
                shutil.copy(compiled, there.parent / "__pycache__")
            seen = here.stat()
            os.utime(there, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def _compressed(tags: list[str]) -> str:
    """Return the tags of a wheel as its file name has them: ``py2.py3-none-any``."""
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    return "-".join(".".join(dict.fromkeys(values)) for values in parts)
