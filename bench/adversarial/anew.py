"""Put costs that were measured anew into the page; all else on it stays what was measured when it says."""

import re
from typing import Any

from bench.adversarial.report_cost import costs, speeds
from bench.adversarial.results import Results
from bench.report import END

HEAD = "### Cost\n\n"


def costs_anew(page: str, figures: dict[str, Any], results: Results) -> tuple[str, dict[str, Any]]:
    """Return the page and its figures with the costs of a later run, whose victims are those of the page.

    Raises
    ------
    ValueError
        When the page has no table of costs, or lacks a goal that the run tells of.
    """
    start = page.index(HEAD) + len(HEAD)
    stop = page.index(END, start)
    page = f"{page[:start]}{costs(results)}\n{page[stop:]}"
    for victim in dict.fromkeys(cost.victim for cost in results.costs):
        for row in speeds(results, victim):
            line = f"| {victim} | {' | '.join(row)} |"
            page, found = re.subn(
                rf"^\| {re.escape(victim)} \| {re.escape(row[0])} \|.*$", line, page, flags=re.MULTILINE
            )
            if found != 1:
                raise ValueError(f"the page has {found} rows for {victim}: {row[0]}")
    return page, figures | {"costs": results.costs, "commits": figures["commits"] | results.commits}
