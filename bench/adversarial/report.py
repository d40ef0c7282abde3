"""Turn results into the tables of docs/benchmarks-adversarial.md, and into figures for machines."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from bench.adversarial.report_cost import RED, costs
from bench.adversarial.report_more import as_set, goals, thieves
from bench.adversarial.results import EVERY, MONITOR, ORDINARY, PRODUCT, Bars, Results, Seen
from bench.adversarial.sessions import HIDDEN
from bench.report import table
from redteam.attacks import ATTACKS, Family
from redteam.judge import AttackResult, Share, Verdict, attack_result, benign_results
from redteam.session import Kind

TIERS = ("probing", "intent")
PEERS = ("Blacklight", "Stateful kNN", "GWAD", "PRADA", "LFC")
SEEN_BY = (MONITOR, *TIERS, *PEERS)
GOAL_R = 0.5


def share(found: Share, *, bold: bool = False) -> str:
    """Return a share with its interval."""
    if not found.trials:
        return "-"
    text = f"{found.ratio:.2f} [{found.interval.low:.2f}, {found.interval.high:.2f}]"
    return f"**{text}**" if bold else text


def number(value: float) -> str:
    """Return a count; a dash for none."""
    return f"{value:,.0f}" if math.isfinite(value) else "-"


def of(seen: Iterable[Seen], detector: str, rule: str = EVERY, victim: str | None = None) -> list[Verdict]:
    """Return the verdicts of one detector."""
    return [
        s.verdict
        for s in seen
        if s.detector == detector and s.rule == rule and (victim is None or s.verdict.victim == victim)
    ]


def only(verdicts: Iterable[Verdict], names: Iterable[str]) -> list[Verdict]:
    """Return the verdicts on some workloads."""
    wanted = set(names)
    return [verdict for verdict in verdicts if verdict.workload in wanted]


def named(verdicts: Iterable[Verdict], kind: Kind) -> list[str]:
    """Return the workloads of a kind, in order."""
    return list(dict.fromkeys(v.workload for v in verdicts if v.kind is kind))


def is_plain(name: str) -> bool:
    """Tell whether an attack by queries hides nothing."""
    return (
        name in ATTACKS
        and ATTACKS[name].family in {Family.DECISION, Family.SCORE}
        and "+" not in name
        and not name.startswith("oars")
        and name not in HIDDEN
    )


def sums(verdicts: Sequence[Verdict]) -> list[tuple[str, list[str]]]:
    """Return what is added up: labels alone, scores alone, all; then what is known to hide."""
    names = [name for name in named(verdicts, Kind.ATTACK) if is_plain(name)]
    decision = [name for name in names if ATTACKS[name].family is Family.DECISION]
    score = [name for name in names if ATTACKS[name].family is Family.SCORE]
    return [
        ("all by labels", decision),
        ("all by scores", score),
        ("all by scores but Square", [name for name in score if not name.startswith("square")]),
        ("all query attacks", names),
    ]


def attacks_table(seen: Sequence[Seen], victim: str) -> str:
    """Return what was seen in time of every attack, by the monitor."""
    everyone = of(seen, MONITOR, EVERY, victim)
    names = [n for n in named(everyone, Kind.ATTACK) if is_plain(n) or n in HIDDEN]
    rows = []
    for label, group in [*((name, [name]) for name in names), *sums(everyone)]:
        found = {
            key: attack_result(only(of(seen, *key, victim), group))
            for key in ((MONITOR, EVERY), ("intent", EVERY), ("probing", EVERY), ("probing", ORDINARY))
        }
        rows.append(_attack_row(label, *found.values()))
    head = ("attack", "sessions", "succeed", "R, any tier", "R, intent", "intent: queries, median / p90",
            "R, probing", "probing: queries, median / p90", "probing (ordinary): queries, median / p90",
            "success undetected", "damage at alarm")  # fmt: skip
    return table(head, rows)


def _attack_row(
    label: str, any_tier: AttackResult, intent: AttackResult, probing: AttackResult, eager: AttackResult
) -> list[str]:
    technique = f" ({ATTACKS[label].techniques[0]})" if label in ATTACKS else ""
    mark = f"{RED} " if any_tier.timely.ratio < GOAL_R else ""
    return [
        mark + label + technique,
        str(any_tier.sessions),
        str(any_tier.timely.trials),
        share(any_tier.timely, bold=any_tier.timely.ratio < GOAL_R),
        share(intent.timely, bold=intent.timely.ratio < GOAL_R),
        f"{number(intent.delay.median)} / {number(intent.delay.p90)}",
        share(probing.timely),
        f"{number(probing.delay.median)} / {number(probing.delay.p90)}",
        f"{number(eager.delay.median)} / {number(eager.delay.p90)}",
        f"{any_tier.undetected.hits} of {any_tier.undetected.trials}",
        f"{any_tier.damage:.2f}" if math.isfinite(any_tier.damage) else "no flip yet",
    ]


def benign_table(seen: Sequence[Seen], victim: str, *, equivalent: bool = False) -> str:
    """Return whom every detector wronged: share of sessions with an alarm."""
    keys = [(MONITOR, EVERY), ("probing", ORDINARY), ("probing", EVERY), ("intent", EVERY), ("extraction", EVERY)]
    keys += [(peer, EVERY) for peer in PEERS]
    found = {key: benign_results(of(seen, *key, victim)) for key in keys}
    rows = []
    for name, base in found[MONITOR, EVERY].items():
        if (base.kind is Kind.EQUIVALENT) == equivalent:
            cells = [found[key].get(name) for key in keys]
            rows.append([f"{name} ({base.kind})", str(base.alarmed.trials),
                         *(_alarmed(cell.alarmed) if cell else "-" for cell in cells)])  # fmt: skip
    head = ["workload", "sessions", *(f"{name} ({rule})" if name == "probing" else name for name, rule in keys)]
    return table(head, rows)


def _alarmed(found: Share) -> str:
    return f"{100 * found.ratio:.1f} % [{100 * found.interval.low:.1f}, {100 * found.interval.high:.1f}]"


def peers_table(seen: Sequence[Seen], victim: str) -> str:
    """Return the timely rate of every detector, thresholds from ordinary and explanation workloads."""
    everyone = of(seen, MONITOR, EVERY, victim)
    names = [n for n in named(everyone, Kind.ATTACK) if is_plain(n) or n in HIDDEN]
    rows = []
    for label, group in [*((name, [name]) for name in names), *sums(everyone)]:
        rates = [attack_result(only(of(seen, key, EVERY, victim), group)).timely for key in SEEN_BY]
        best = max((rate.ratio for rate in rates if rate.trials), default=math.nan)
        rows.append([label, *(share(rate, bold=rate.trials > 0 and rate.ratio == best > 0) for rate in rates)])
    return table(["attack", *SEEN_BY], rows)


def unseen_table(results: Results, victim: str) -> str:
    """Return what a forest sees of attacks that it was not grown with."""
    rows = [
        [
            "the victim itself: all attacks" if each.left_out == victim else each.left_out,
            str(each.attacks),
            f"{each.ratio:.2f}",
            f"{each.whole:.2f}",
        ]
        for each in results.unseen
        if each.victim == victim
    ]
    return table(
        ["left out", "attacks that succeed", "R, intent, never seen", "R, intent, seen on other sources"],
        rows,
    )


def wronged_table(results: Results) -> str:
    """Return whom a forest wrongs that has never seen such a client."""
    rows = [[w.victim, w.workload, f"{w.alarmed} of {w.sessions}"] for w in results.wronged]
    return table(["victim", "workload left out", "sessions with an alarm, intent"], rows)


def curve_table(results: Results) -> str:
    """Return what more sources are worth to the forest."""
    rows = [[each.victim, f"{each.sessions:,}", f"{each.ratio:.3f}"] for each in results.curve]
    return table(["judged on", "sessions that it is grown from, all victims", "R, intent, other sources"], rows)


def hidden_table(seen: Sequence[Seen], victim: str) -> str:
    """Return how far attackers come who hide, or who are told of alarms."""
    everyone = of(seen, MONITOR, EVERY, victim)
    names = [
        n
        for n in named(everyone, Kind.ATTACK)
        if n in ATTACKS and ATTACKS[n].family.evades and not is_plain(n) and n not in HIDDEN
    ]
    rows = []
    for name in names:
        found = attack_result(only(everyone, [name]))
        together = attack_result(only(of(seen, "campaign", EVERY, victim), [name])).timely
        mark = f"{RED} " if found.timely.ratio < GOAL_R else ""
        rows.append([mark + name, str(found.sessions), str(found.timely.trials),
                     share(found.timely, bold=found.timely.ratio < GOAL_R), share(together),
                     share(found.undetected, bold=found.undetected.hits > 0),
                     number(found.delay.median_all)])  # fmt: skip
    head = ("attack", "sessions", "succeed", "R, any tier", "R, all accounts together",
            "success undetected, of sessions", "queries, median over all")  # fmt: skip
    return table(head, rows)


def bars_table(bars: Bars, victim: str) -> str:
    """Return the thresholds, nominal and empirical."""
    nominal = {"intent": f"{math.log(99):.1f}", "Blacklight": "25",
               "LFC": "1.6", "PRADA": "0.10"}  # fmt: skip
    rows = [
        [name, nominal.get(name, "-"),
         *(f"{rules[rule]:.2f} ({bars.worst[victim][name][rule]})" for rule in (ORDINARY, EVERY)),
         f"{rules[PRODUCT]:.2f}" if PRODUCT in rules else "-"]
        for name, rules in bars.values[victim].items()
    ]  # fmt: skip
    head = ["detector", "nominal", "from ordinary (worst workload)", "from all (worst workload)", "a baseline's own"]
    return table(head, rows)


def fresh_table(seen: Sequence[Seen], victim: str) -> str:
    """Return which workloads alarm that were drawn anew, and how many sessions there were of the others."""
    keys = [(name, EVERY) for name in (MONITOR, *TIERS, "extraction")] + [(MONITOR, PRODUCT)]
    found = {key: benign_results(of(seen, *key, victim)) for key in keys}
    every = found[MONITOR, EVERY]
    loud = [name for name in every if any(found[key][name].alarmed.hits for key in keys)]
    rows = [[name, str(every[name].alarmed.trials), *(_alarmed(found[key][name].alarmed) for key in keys)]
            for name in loud]  # fmt: skip
    rest = [every[name].alarmed.trials for name in every if name not in loud]
    quiet = f"No alarm in {sum(rest):,} sessions of the {len(rest)} other workloads."
    head = ["workload", "sessions", *(f"{name} ({rule})" for name, rule in keys)]
    return f"{table(head, rows)}\n\n{quiet}" if rows else quiet


def figures(results: Results) -> list[dict[str, Any]]:
    """Return a row for every detector, rule, victim and workload."""
    groups: dict[tuple[str, str, str, str], list[Verdict]] = {}
    for seen in (*results.seen, *(one._replace(rule=f"{one.rule}, anew") for one in results.fresh)):
        verdict = seen.verdict
        groups.setdefault((seen.detector, seen.rule, verdict.victim, verdict.workload), []).append(verdict)
    rows = []
    for (detector, rule, victim, workload), verdicts in groups.items():
        row: dict[str, Any] = {"detector": detector, "rule": rule, "victim": victim, "workload": workload}
        if verdicts[0].kind is Kind.ATTACK:
            row["attack"] = attack_result(verdicts)
        else:
            row["benign"] = benign_results(verdicts)[workload]
        rows.append(row)
    return rows


def render(results: Results, bars: Bars) -> tuple[str, dict[str, Any]]:
    """Return the page's measured part, and the figures."""
    victims = list(dict.fromkeys(seen.verdict.victim for seen in results.seen))
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    parts = [
        (
            f"Machine: {machine}. Plan: {results.plan}. SHA-256 of the thresholds, taken before anything was judged by "
            f"them: `{results.bars}`; of the forest: `{bars.forest}`."
        ),
        "### Goals",
        goals(results),
        "### As a baseline sets it",
        as_set(results),
    ]
    for victim in victims:
        anew = of(results.fresh, MONITOR, EVERY, victim)
        parts += [
            f"### {victim}: attacks by queries", attacks_table(results.seen, victim),
            f"### {victim}: benign sessions with an alarm", benign_table(results.seen, victim),
            "Sessions that nothing tells from an attack before the label flips, never counted as false alarms:",
            benign_table(results.seen, victim, equivalent=True),
            *([f"### {victim}: benign sessions drawn anew", fresh_table(results.fresh, victim)] if anew else []),
            f"### {victim}: beside published detectors", peers_table(results.seen, victim),
            f"### {victim}: attacks that the forest never saw", unseen_table(results, victim),
            f"### {victim}: attackers who hide", hidden_table(results.seen, victim),
            f"### {victim}: thresholds", bars_table(bars, victim),
        ]  # fmt: skip
    parts += ["### Benign clients that the forest never saw", wronged_table(results)] if results.wronged else []
    parts += ["### What more sessions are worth to the forest", curve_table(results)] if results.curve else []
    parts += ["### Theft, and what else is no evasion", thieves(results), "### Cost", costs(results)]
    return "\n\n".join(parts), {"machine": results.machine, "plan": results.plan, "thresholds": results.bars,
                                "commits": results.commits, "rows": figures(results),
                                "copied": results.copied, "unseen": results.unseen, "wronged": results.wronged,
                                "curve": results.curve, "costs": results.costs}  # fmt: skip
