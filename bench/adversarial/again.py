"""Judge sessions of an earlier run by higher thresholds: what raised no alarm raises none now, and is not made again.

Every session with an alarm is made again and looked at until each of its alarms has come by the new threshold, or the
session has ended. Its earlier alarms must come at the same requests as before, or nothing is said.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.adversarial.harness import Eyes, disguised, first
from bench.adversarial.results import EVERY, MONITOR, PRODUCT, Bars, Results, Seen
from bench.adversarial.setting import Lens
from bench.adversarial.watch import campaign_intent
from detectors.principals.monitor import Principal, Tier
from redteam import benign
from redteam.attacks import ATTACKS, session_of
from redteam.judge import Verdict, verdict_of
from redteam.session import Kind, Session

CAMPAIGN = "campaign"
HIDDEN_MAX = 3_000
"""Requests of an attack under disguise."""
AT_ONCE = 32
"""Requests whose points are made together."""
Say = Callable[[str], None]
Key = tuple[str, str]
"""Detector and rule."""


def again(eyes: Eyes, old: Results, was: Bars, now: Bars, folder: Path, say: Say) -> list[Seen]:
    """Return the sessions of a victim as they are seen by new thresholds; those that an oracle steered are left out.

    What was judged already lies in a folder, a file for each workload, and is not judged again.

    Raises
    ------
    ValueError
        If a threshold of the monitor is lower than before, or an alarm does not come where it did.
    """
    name = eyes.victim.name
    before, after = _limits(was, name), _limits(now, name)
    if lower := [key for key, bar in after.items() if bar < before[_earlier(key)]]:
        raise ValueError(f"lower than before: {lower}")
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Seen] = []
    for workload, sessions in _workloads(old, name).items():
        path = folder / f"{workload}.msgpack"
        if not path.exists():
            judged = [seen for session in sessions for seen in _again(eyes, session, before, after)]
            draft = path.with_suffix(".part")
            draft.write_bytes(msgspec.msgpack.encode(judged))
            draft.replace(path)
            say(f"{name}: {workload} judged again")
        found += msgspec.msgpack.decode(path.read_bytes(), type=list[Seen])
    return found


def _limits(bars: Bars, victim: str) -> dict[Key, float]:
    own = bars.values[victim]
    found = {(str(tier), rule): bar for tier in Tier for rule, bar in own[str(tier)].items()}
    return found | {(CAMPAIGN, EVERY): own[str(Tier.INTENT)][EVERY]}


def _earlier(key: Key) -> Key:
    """Return whose alarms come first: what a baseline sets is held against all workloads' earlier threshold."""
    return (key[0], EVERY) if key[1] == PRODUCT else key


def _workloads(old: Results, victim: str) -> dict[str, list[dict[Key, Verdict]]]:
    held: dict[tuple[str, int, int], dict[Key, Verdict]] = {}
    for detector, rule, verdict in old.seen:
        if verdict.victim == victim and not verdict.workload.startswith("oars"):
            held.setdefault((verdict.workload, verdict.seed, verdict.source), {})[detector, rule] = verdict
    found: dict[str, list[dict[Key, Verdict]]] = {}
    for (workload, _, _), verdicts in held.items():
        found.setdefault(workload, []).append(verdicts)
    return found


def _again(eyes: Eyes, old: dict[Key, Verdict], before: dict[Key, float], after: dict[Key, float]) -> list[Seen]:
    wanted = [key for key in after if (was := old.get(_earlier(key))) is not None and was.alarm is not None]
    verdicts = {key: old[_earlier(key)] for key in after if _earlier(key) in old}
    if wanted:
        session = _made(eyes, next(iter(old.values())))
        alarms = _alarms(eyes, session, wanted, before, after, old)
        verdicts |= {key: verdict_of(session, at) for key, at in alarms.items()}
    for rule in (EVERY, PRODUCT):
        tiers = [verdicts[str(tier), rule] for tier in Tier]
        verdicts[MONITOR, rule] = min(tiers, key=lambda each: _place(each.alarm))
    peers = {key: verdict for key, verdict in old.items() if key not in verdicts}
    return [Seen(*key, verdict) for key, verdict in (verdicts | peers).items()]


def _place(alarm: int | None) -> float:
    return float("inf") if alarm is None else alarm


def _made(eyes: Eyes, of: Verdict) -> Session:
    victim = eyes.victim
    if of.kind is Kind.ATTACK:
        most = HIDDEN_MAX if of.workload in {attack.name for attack in disguised(victim)} else None
        session = session_of(ATTACKS[of.workload], victim, victim.confirmation, of.source, of.seed, most)
    else:
        session = benign.session_of(benign.WORKLOADS[of.workload], victim, "confirmation", of.source, of.seed)
    if (len(session), session.success) != (of.requests, of.success):
        raise ValueError(f"{of.workload} on {of.victim}, source {of.source}: another session than before")
    return session


def _points(session: Session, lens: Lens) -> Iterator[NDArray[np.float32]]:
    """Yield the points of a session's requests, a few at a time: most alarms come early."""
    for start in range(0, len(session), AT_ONCE):
        yield from lens.maker.points(session.inputs[start : start + AT_ONCE].astype(np.float64))


def _alarms(
    eyes: Eyes,
    session: Session,
    wanted: list[Key],
    before: dict[Key, float],
    after: dict[Key, float],
    old: dict[Key, Verdict],
) -> dict[Key, int | None]:
    """Return where the alarms come now."""
    lens = eyes.lenses.of(session)
    yardstick = replace(lens.yardstick, forest=eyes.forests[""])
    principals: dict[int, Principal] = {}
    earlier: dict[Key, int | None] = {_earlier(key): None for key in wanted}
    found: dict[Key, int | None] = dict.fromkeys(wanted)
    if (CAMPAIGN, EVERY) in found:
        together = campaign_intent(session, lens, eyes.forests[""])
        earlier[CAMPAIGN, EVERY] = first(together, before[CAMPAIGN, EVERY])
        found[CAMPAIGN, EVERY] = first(together, after[CAMPAIGN, EVERY])
    single = [key for key in wanted if key[0] != CAMPAIGN]
    open_now, open_before = set(single), {_earlier(key) for key in single}
    labels = session.labels
    for i, (point, account) in enumerate(zip(_points(session, lens), session.accounts.tolist(), strict=False)):
        if not open_now and not open_before:
            break
        if account not in principals:
            principals[account] = Principal(yardstick)
        principal = principals[account]
        evidence = principal.take(point, int(labels[i]), session.probabilities[i]).evidence
        for waiting, limits, into in ((open_before, before, earlier), (open_now, after, found)):
            for key in [key for key in waiting if evidence[Tier(key[0])] >= limits[key]]:
                waiting.discard(key)
                into[key] = i
    if moved := [key for key, at in earlier.items() if at != old[key].alarm]:
        raise ValueError(f"{session.workload} on {session.victim}, source {session.source}: {moved} came elsewhere")
    return found
