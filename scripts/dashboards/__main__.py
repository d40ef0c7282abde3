"""Write Grafana's dashboards: ``python -m scripts.dashboards``; ``--check`` only says which are out of date."""

import argparse
import sys
from pathlib import Path

from scripts.dashboards.fleet import FLEET
from scripts.dashboards.health import HEALTH
from scripts.dashboards.oncall import ONCALL
from scripts.dashboards.panels import Dashboard, render
from scripts.dashboards.redteam import REDTEAM
from scripts.dashboards.version import MODEL

DASHBOARDS: tuple[Dashboard, ...] = (FLEET, MODEL, HEALTH, ONCALL, REDTEAM)
FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"


def files() -> dict[str, str]:
    """Return what should be in the folder, by name."""
    return {f"{dashboard.uid}.json": render(dashboard) for dashboard in DASHBOARDS}


def outdated() -> list[str]:
    """Return the files of the folder that are missing, different, or not ours."""
    there = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    wanted = files()
    return sorted(name for name in there | wanted if there.get(name) != wanted.get(name))


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when a file is out of date")
    old = outdated()
    if parser.parse_args().check:
        sys.stdout.writelines(f"{name} is out of date\n" for name in old)
        return 1 if old else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in set(old) - set(files()):
        (FOLDER / name).unlink()
    for name, text in files().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
