"""The tables that are about all victims: goals, theft, and cost."""

import statistics

from bench.adversarial import report
from bench.adversarial.report_cost import goal_row, speeds
from bench.adversarial.results import EVERY, MONITOR, ORDINARY, PRODUCT, Copied, Results, Seen
from bench.report import table
from redteam.attacks import ATTACKS, Family
from redteam.judge import Share, attack_result, benign_results
from redteam.session import Kind

STRANGE = ("knockoff-noise", "knockoff-strangers", "copycat-noise", "copycat-strangers")
SYNTHETIC = ("jacobian",)
"""Grown from inputs such as clients send, and near them: not from another distribution; shown beside."""
ORDINARY_THEFT = ("knockoff-own", "copycat-own")
BENIGN = 0.01
VERIFIED = 299
"""So many sessions without an alarm show, with a confidence of 95 %, that at most 1 % alarm."""


def goals(results: Results) -> str:
    """Return the goals, and whether they are met."""
    rows = []
    for victim in dict.fromkeys(seen.verdict.victim for seen in results.seen):
        rows += [[victim, *row] for row in _goals(results, victim)]
    return table(["victim", "goal", "measured", ""], rows)


def _goals(results: Results, victim: str) -> list[list[str]]:
    seen: list[Seen] = results.seen
    everyone = report.of(seen, MONITOR, EVERY, victim)
    groups = dict(report.sums(everyone))
    rows = []
    if groups["all query attacks"]:
        intent = report.of(seen, "intent", EVERY, victim)
        decision = attack_result(report.only(intent, groups["all by labels"]))
        whole = attack_result(report.only(intent, groups["all query attacks"]))
        probing, eager = (
            attack_result(report.only(report.of(seen, "probing", rule, victim), groups["all query attacks"]))
            for rule in (EVERY, ORDINARY)
        )
        rows += [
            goal_row("R by labels (intent) at least 0.80, lower bound above 0.516", report.share(decision.timely),
                     decision.timely.ratio >= 0.8 and decision.timely.interval.low > 0.516),
            goal_row("R over all query attacks (intent) at least 0.60", report.share(whole.timely),
                     whole.timely.ratio >= 0.6),
            *(_wronged(results, victim, tier) for tier in ("intent", "probing", "extraction")),
            goal_row("probing: median at most 25 queries",
                     f"{report.number(probing.delay.median)} in {report.share(probing.seen)} of sessions; "
                     f"by the rule *ordinary* {report.number(eager.delay.median)} in {report.share(eager.seen)}",
                     probing.delay.median <= 25),
            goal_row("intent: median at most 64 queries", report.number(whole.delay.median), whole.delay.median <= 64),
        ]  # fmt: skip
    for suffix, goal, wanted in (("", "a full oracle", 0.04), ("+ban50", "a delayed ban", 0.01)):
        names = [n for n in ATTACKS if n.startswith("oars") and n.endswith(suffix) and ("+" in n) == bool(suffix)]
        found = attack_result(report.only(everyone, names)).undetected
        if found.trials:
            rows.append(goal_row(f"OARS with {goal}: success undetected at most {100 * wanted:.0f} %",
                                 report.share(found), found.ratio <= wanted))  # fmt: skip
    for what, thefts in (("strange", STRANGE), ("synthetic", SYNTHETIC)):
        theft = attack_result(report.only(report.of(seen, "extraction", EVERY, victim), thefts))
        if theft.sessions:
            rows.append(goal_row(f"theft with {what} inputs: seen within 64 queries",
                                 f"{report.share(theft.seen)} at a median of {report.number(theft.delay.median_all)}",
                                 theft.delay.p90_all <= 64))  # fmt: skip
    return rows + speeds(results, victim)


def _worst(seen: list[Seen], victim: str, tier: str, rule: str = EVERY) -> Share | None:
    """Return the largest share of a benign workload's sessions that alarm."""
    found = benign_results(report.of(seen, tier, rule, victim)).values()
    rates = [each.alarmed for each in found if each.kind is not Kind.EQUIVALENT]
    return max(rates, key=lambda each: each.ratio, default=None)


def _told(worst: Share) -> str:
    return f"worst {100 * worst.ratio:.1f} % of {worst.trials}, up to {100 * worst.interval.high:.1f} %"


def _wronged(results: Results, victim: str, tier: str) -> list[str]:
    """Return whether a tier leaves every benign workload alone, also where sessions were drawn anew."""
    worst, anew = (_worst(seen, victim, tier) for seen in (results.seen, results.fresh))
    goal = f"{tier}: at most 1 % of sessions of each benign workload"
    if worst is None:
        return goal_row(goal, "not measured", met=False)
    text = _told(worst) + (f"; drawn anew {_told(anew)}" if anew is not None else "")
    met = max(each.ratio for each in (worst, anew) if each is not None) <= BENIGN
    return goal_row(goal, text, met, shown=worst.trials >= VERIFIED)


def as_set(results: Results) -> str:
    """Return what there is to see with the thresholds that the product sets when it is given a baseline."""
    rows = []
    for victim in dict.fromkeys(seen.verdict.victim for seen in results.seen):
        groups = dict(report.sums(report.of(results.seen, MONITOR, EVERY, victim)))
        for name in ("intent", "probing", "extraction", MONITOR):
            own = report.of(results.seen, name, PRODUCT, victim)
            worst = [_worst(seen, victim, name, PRODUCT) for seen in (results.seen, results.fresh)]
            rates = [attack_result(report.only(own, groups[group])).timely
                     for group in ("all by labels", "all query attacks")]  # fmt: skip
            strange = attack_result(report.only(own, STRANGE)).seen
            rows.append([victim, "any tier" if name == MONITOR else name, *map(report.share, rates),
                         report.share(strange), *("-" if each is None else _told(each) for each in worst)])  # fmt: skip
    head = ("victim", "tier", "R, all by labels", "R, all query attacks", "strange theft: seen",
            "benign sessions with an alarm", "drawn anew")  # fmt: skip
    return table(head, rows)


def thieves(results: Results) -> str:
    """Return what was seen of clients who want no other label for an input, and what a copy is worth."""
    rows = []
    others = [name for name, attack in ATTACKS.items() if not attack.family.evades]
    for victim in dict.fromkeys(seen.verdict.victim for seen in results.seen):
        for name in others:
            found = {
                key: attack_result(report.only(report.of(results.seen, *key, victim), [name]))
                for key in (("extraction", EVERY), ("extraction", ORDINARY), (MONITOR, EVERY), ("PRADA", EVERY))
            }
            theft, eager, anything, prada = found.values()
            if theft.sessions:
                rows.append([victim, f"{name} ({ATTACKS[name].techniques[0]})", str(theft.sessions),
                             report.share(theft.seen), report.number(theft.delay.median_all),
                             report.share(eager.seen), report.number(eager.delay.median_all),
                             report.share(anything.seen, bold=anything.seen.ratio < report.GOAL_R),
                             report.number(anything.delay.median_all), report.share(prada.seen),
                             report.number(prada.delay.median_all),
                             *_copies(results.copied, victim, name)])  # fmt: skip
    head = ("victim", "attack", "sessions", "extraction (every): seen", "queries, median",
            "extraction (ordinary): seen", "queries, median", "any tier: seen",
            "queries, median", "PRADA: seen", "queries, median", "fidelity in the end", "estimate off by")  # fmt: skip
    return table(head, rows)


def _copies(copied: list[Copied], victim: str, name: str) -> list[str]:
    own = [each for each in copied if each.victim == victim and each.workload == name]
    if not own or ATTACKS[name].family is not Family.EXTRACTION:
        return ["-", "-"]
    last: dict[int, Copied] = {each.source: each for each in own}
    off = [abs(each.measured - each.estimated) for each in own]
    return [
        f"{statistics.median(each.measured for each in last.values()):.2f}",
        f"{statistics.fmean(off):.2f} mean, {max(off):.2f} at most",
    ]
