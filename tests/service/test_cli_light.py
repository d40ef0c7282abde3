"""Commands import what they need when they run: a container engine asks ``lazaretto health`` every few seconds."""

import subprocess
import sys

import pytest

HEAVY = ("alembic", "fastapi", "httpx", "numpy", "pyarrow", "scipy", "sqlalchemy")
RUN = """
import sys
from service.cli import main
sys.argv = ["lazaretto", *{arguments!r}]
try:
    main()
except SystemExit as end:
    print(end.code, *sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)
"""


def run(*arguments: str, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    """Return the exit code of a command and which heavy modules it has imported."""
    script = RUN.format(arguments=list(arguments), heavy=heavy)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True)
    return done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("status", "--help")])
def test_help_loads_nothing_of_the_service(arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == ["0"]


def test_replay_loads_neither_the_store_nor_the_decisions_of_the_service(tmp_path: object) -> None:
    file = f"{tmp_path}/x.csv"
    with open(file, "w", encoding="utf-8") as out:  # noqa: PTH123 - a path as text, as on a command line
        out.write("x,y\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(300)))
    heavy = ("alembic", "fastapi", "httpx", "sqlalchemy", "service.pipeline", "numpy")
    assert run("replay", file, "--baseline", file, heavy=heavy) == ["0", "numpy"]


def test_a_failed_health_check_loads_nothing_either() -> None:
    """It fails again and again while a service starts."""
    assert run("health", "--ready", "--worker") == ["1"]


def test_an_expected_failure_is_still_one_sentence_and_exit_code_1() -> None:
    script = (
        "import sys; from service.cli import main; sys.argv = ['lazaretto', 'health', '--ready', '--worker']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "lazaretto: --ready asks the API and --worker looks at a worker: give one of them\n",
    )
