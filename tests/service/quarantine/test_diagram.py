"""The documentation's diagram is the table that the code runs on."""

from pathlib import Path

from service.domain.states import TRANSITIONS, State
from service.quarantine.diagram import mermaid

PAGE = Path(__file__).parents[3] / "docs" / "states.md"


def test_the_page_shows_the_table_as_it_is() -> None:
    assert f"```mermaid\n{mermaid()}\n```" in PAGE.read_text(), "docs/states.md is stale: paste the output of mermaid()"


def test_the_diagram_has_every_transition_and_the_page_every_state() -> None:
    assert mermaid().count("-->") == len(TRANSITIONS) + 2
    page = PAGE.read_text()
    assert all(f"| `{state}` |" in page for state in State)
