"""Whoever changes the baseline decides what is normal: on its way, by somebody who may not, or on disk."""

import base64
import hashlib
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np

from redteam.scenarios.base import Checks
from redteam.scenarios.service import ARROW, Service, ServiceFailed, Target, arrow_of, ordinary

ROWS = 400
FORBIDDEN = 403
FAR = 3.0
"""Standard deviations between the two references: a few requests tell which one is in force."""
TICK_SECONDS = 1.1
Change = Callable[[bytes, bytes], tuple[bytes | None, str | None]]
"""From an artefact and another one: what stands in the place of the artefact, and of its signature."""


def altered_upload(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Send references that were changed on their way, or by keys that may not put one."""
    target = service.model(rng)
    before = _digest(target)
    good = arrow_of(ordinary(rng, ROWS))
    for tried, content, digest in (
        ("one byte changed under the digest of the original", _flipped(good), _of(good)),
        ("cut short under the digest of the original", good[: len(good) // 2], _of(good)),
        ("the digest of another file", good, _of(b"another file")),
        ("a digest that is none", good, "sha-256=abc"),
        ("a digest by an algorithm that nobody checks", good, "md5=:AAAA:"),
        ("cut short, no digest", good[: len(good) // 2], None),
        ("a pickle in the place of data", b"\x80\x04\x95" + bytes(64), None),
    ):
        headers = {"content-type": ARROW} | ({} if digest is None else {"content-digest": digest})
        answer = service.ask("PUT", f"{target.path}/baseline", content=content, headers=headers)
        checks.expect(tried, answer, held=answer.refused)
    for scopes in (("read",), ("ingest",), ("operate",), ("read", "ingest", "operate")):
        key = service.key(*scopes)
        put = service.ask_as(key, "PUT", f"{target.path}/baseline", content=good, headers={"content-type": ARROW})
        checks.expect(f"a baseline put with the scopes {', '.join(scopes)}", put, held=put.status == FORBIDDEN)
    after = _digest(target)
    checks.expect(
        "the baseline in force afterwards", "the same" if after == before else "another", held=after == before
    )


def altered_store(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Change stored baselines behind the service's back: their bytes, their signature, a signature of somebody else.

    Traffic follows that is normal by the foreign baseline and far from the own one: who goes by what was changed, or
    by nothing, finds nothing in it.
    """
    stranger = service.model(rng, shift=FAR)
    other = stranger.status["baseline_id"]
    cases: tuple[tuple[str, bool, Change], ...] = (
        ("one byte of the artefact", True, lambda artefact, _: (_flipped(artefact), None)),
        ("the artefact of another model in its place", True, lambda _, foreign: (foreign, None)),
        ("no signature", False, lambda *_: (None, "")),
        ("a signature by another key", False, lambda *_: (None, "a" * 64)),
    )
    for tried, in_memory, change in cases:
        target = service.model(rng)
        target.send(ordinary(rng, ROWS), "crowd")
        before = target.settled()
        if before["monitoring"] != "watching":
            raise ServiceFailed(f"a sound baseline is not watched with: {before['monitoring']}")
        change_store(service, before["baseline_id"], other, change)
        shown = service.ask("GET", f"{target.path}/baseline")
        checks.expect(f"{tried}: asked for the baseline", shown, held=shown.refused and "signature" in str(shown))
        # Another tuning makes the worker load the baseline anew. What it has verified and keeps in memory is sound.
        service.must("PUT", f"/v1/models/{target.name}/policy", json={"minimum_effect": 0.06})
        for _ in range(2):
            target.send(ordinary(rng, ROWS) + FAR, "crowd")
            time.sleep(TICK_SECONDS)  # the second one closes the tick of the first
        after = target.settled()
        told = f"{after['monitoring']}: {after['insufficient']}, evidence {after['evidence']:.3g}"
        refused = after["monitoring"] == "insufficient" and "signature" in str(after["insufficient"])
        kept = in_memory and after["monitoring"] == "watching" and after["evidence"] >= after["threshold"]
        checks.expect(f"{tried}: evidence against it", told, held=refused or kept)


def change_store(service: Service, baseline_id: str, other_id: str, change: Change) -> None:
    """Write to the store as somebody with access to the disk would."""
    if service.folder is None:
        raise ServiceFailed("no data directory")
    with closing(sqlite3.connect(service.folder / "state.db", timeout=30.0)) as store, store:
        wanted = "select artefact from baselines where id = ?"
        own, foreign = (store.execute(wanted, (one,)).fetchone()[0] for one in (baseline_id, other_id))
        artefact, signature = change(own, foreign)
        update = (
            "update baselines set artefact = coalesce(?, artefact), signature = coalesce(?, signature) where id = ?"
        )
        if store.execute(update, (artefact, signature, baseline_id)).rowcount != 1:
            raise ServiceFailed(f"no baseline '{baseline_id}' on disk")


def _digest(target: Target) -> str:
    digest: str = target.service.must("GET", f"{target.path}/baseline")["digest"]
    return digest


def _flipped(content: bytes) -> bytes:
    """Return it with one bit of a number changed: it still parses."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _of(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
