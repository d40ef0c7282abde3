"""The attacks that the benchmark shows to be blind spots, for docs/red-team.md."""

from collections.abc import Sequence

from bench.adversarial.report import GOAL_R, named, of, only, share
from bench.adversarial.report_cost import RED
from bench.adversarial.results import EVERY, MONITOR, Results, Seen
from bench.report import table
from redteam.attacks import ATTACKS
from redteam.judge import attack_result
from redteam.session import Kind
from service.domain.atlas import atlas

ELSEWHERE = {
    "membership-copies": "*membership*",
    "sponge": "*cost*",
    "label-flips": "*poisoning*",
    "baseline-poison": "whoever accepts a baseline",
}
"""What sees an attack that the benchmark does not measure; tests hold it to that."""
HEAD = ("victim", "attack", "sessions", "succeed", "seen in time", "all accounts together", "what else sees it",
        "ATLAS")  # fmt: skip


def blind_spots(results: Results) -> str:
    """Return every attack that is seen in time in less than half of its successes, and what never succeeds.

    Red are those that no crowd tells of either, and nothing else.
    """
    rows: list[list[str]] = []
    silent: list[str] = []
    tried = blind = 0
    for victim in dict.fromkeys(seen.verdict.victim for seen in results.seen):
        for name in _tried(results.seen, victim):
            tried += 1
            found = attack_result(only(of(results.seen, MONITOR, EVERY, victim), [name]))
            together = attack_result(only(of(results.seen, "campaign", EVERY, victim), [name])).timely
            if not found.timely.trials:
                silent.append(f"{name} on {victim}")
            elif found.timely.ratio < GOAL_R:
                unseen = name not in ELSEWHERE and (not together.trials or together.ratio < GOAL_R)
                blind += unseen
                title = f"{RED} {ATTACKS[name].title}" if unseen else ATTACKS[name].title
                rows.append([victim, title, str(found.sessions), str(found.timely.trials), share(found.timely),
                             share(together), ELSEWHERE.get(name, "-"), _techniques(name)])  # fmt: skip
    head = (
        f"{blind} of {tried} attacks, and {len(rows) - blind} that campaigns or what else stands there see; "
        f"thresholds `{results.bars[:8]}`, commits {_commits(results)}."
    )
    never = f"\n\nNo success, so nothing is said of being seen in time: {', '.join(silent)}." if silent else ""
    return f"{head}\n\n{table(HEAD, rows)}{never}"


def _tried(seen: Sequence[Seen], victim: str) -> list[str]:
    names = named(of(seen, MONITOR, EVERY, victim), Kind.ATTACK)
    return [name for name in names if name in ATTACKS]


def _techniques(name: str) -> str:
    known = atlas().techniques
    return "; ".join(f"{one} {known[one].name}" if one in known else one for one in ATTACKS[name].techniques)


def _commits(results: Results) -> str:
    own = {commit for part, commit in results.commits.items() if not part.startswith(("unseen", "cost"))}
    return ", ".join(sorted(own)) or results.machine["commit"]
