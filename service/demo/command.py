"""``lazaretto demo``: the whole story on one machine, for people or, with ``--check``, for machines."""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.live import Live

from service.demo.gateway import ALLOWED, DENIED
from service.demo.processes import DemoError
from service.demo.scene import Scene
from service.demo.setting import Stage, set_stage
from service.demo.story import Plan, Story
from service.demo.view import draw
from service.demo.world import split_digits

CHECK_PLAN = Plan(benign_events=20_000, events_per_second=1_200, wear_seconds=30.0)
SHOW_PLAN = Plan(benign_events=20_000, events_per_second=600, wear_seconds=45.0)
CHECK_SECONDS = 85.0
EVIDENCE_LOG_MAX = 690.0
"""Natural logarithm of the largest evidence that is printed as a plain number."""
FRAMES_PER_SECOND = 8
FAILED, INTERRUPTED = 1, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    check: bool
    port: int | None
    data_dir: Path | None
    seed: int


def demo_command(*, check: bool = False, port: int | None = None, data_dir: Path | None = None, seed: int = 0) -> int:
    """Run the demo and return the exit code.

    Parameters
    ----------
    check
        Tell the story unattended, and end with 0 only if everything went as it should.
    port
        Of the service; a free one by default.
    data_dir
        Of the service, empty or absent; a temporary one by default.
    seed
        Of the world: which images go where, and every picture that is taken.
    """
    try:
        import sklearn  # noqa: F401 - ask before anything is started
    except ModuleNotFoundError:
        return _failed("the demo needs scikit-learn: pip install 'lazaretto[demo]'", check=check, seed=seed)
    try:
        return asyncio.run(_run(Options(check=check, port=port, data_dir=data_dir, seed=seed)))
    except DemoError as error:
        return _failed(f"the demo failed: {error}", check=check, seed=seed)
    except httpx.RequestError as error:
        what = f"{error.request.method} {error.request.url.path}: {str(error) or type(error).__name__}"
        return _failed(f"the demo failed: {what}; is the machine busy?", check=check, seed=seed)
    except httpx.HTTPStatusError as error:
        return _failed(f"the demo failed: {error}", check=check, seed=seed)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0 if not check else INTERRUPTED


def _failed(text: str, *, check: bool, seed: int) -> int:
    """Say it to people, and, where a machine reads the last line, to that; return the exit code."""
    sys.stderr.write(f"{text}\n")
    if check:
        sys.stdout.write(json.dumps({"ok": False, "seed": seed, "error": text}) + "\n")
    return FAILED


async def _run(options: Options) -> int:
    with tempfile.TemporaryDirectory(prefix="lazaretto-demo-") as scratch:
        folder = Path(scratch)
        data_dir = options.data_dir or folder / "data"
        if data_dir.is_dir() and any(data_dir.iterdir()):
            raise DemoError(f"{data_dir} is not empty: the demo starts with a fresh data directory")
        _stop_on_signals()
        console = Console(stderr=options.check)
        started = asyncio.get_running_loop().time()
        with Live(draw(Scene()), console=console, refresh_per_second=FRAMES_PER_SECOND, screen=False) as live:
            async with set_stage(folder, data_dir, options.port, options.seed) as stage:
                story = _story(stage, CHECK_PLAN if options.check else SHOW_PLAN, options.seed)
                async with _in_time(started, story.scene):
                    if not options.check:
                        await _show(story, live)
                        return 0
                    async with asyncio.timeout_at(started + CHECK_SECONDS):
                        figures = await _check(story, live, options.seed)
        figures["seconds"] = round(asyncio.get_running_loop().time() - started, 1)
        if not console.is_terminal:
            console.line()  # rich leaves the last line open there; the figures must stand on one of their own
        sys.stdout.write(json.dumps(figures) + "\n")
        return 0


def _stop_on_signals() -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)


def _story(stage: Stage, plan: Plan, seed: int) -> Story:
    return Story(stage, plan, split_digits(seed).live, np.random.default_rng([seed, 3]), Scene())


@asynccontextmanager
async def _drawn(scene: Scene, live: Live) -> AsyncIterator[None]:
    """Redraw the scene for as long as the block runs."""

    async def redraw() -> None:
        while True:
            live.update(draw(scene))
            await asyncio.sleep(1 / FRAMES_PER_SECOND)

    task = asyncio.create_task(redraw())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        live.update(draw(scene), refresh=True)


@asynccontextmanager
async def _in_time(started: float, scene: Scene) -> AsyncIterator[None]:
    """Tell how far the story was when something took too long."""
    try:
        yield
    except TimeoutError as late:
        seconds = asyncio.get_running_loop().time() - started
        raise DemoError(
            f"not done after {seconds:.0f} s, at '{scene.chapter}': {scene.sent:,} pictures answered, "
            f"{scene.events:,} events counted; is the machine busy?"
        ) from late


async def _check(story: Story, live: Live, seed: int) -> dict[str, Any]:
    """Tell the story and return its figures; raise DemoError where it does not go as it should."""
    stage = story.stage
    clock = asyncio.get_running_loop().time
    async with _drawn(story.scene, live):
        before = await story.ask_gate()
        _expect(before, ALLOWED, "before anything happened")
        await story.benign()
        benign_events, quiet = story.scene.sent, max(story.scene.history)
        benign_alerts = len(await stage.ada.alerts())
        began = clock()
        got_through = await story.degraded()
        seconds = clock() - began
        alert = await _the_alert(stage)
        after = await story.ask_gate()
        _expect(after, DENIED, "after the quarantine")
        after_one, after_both = await story.release()
        _expect(after_one, DENIED, "after one person asked for the release")
        _expect(after_both, ALLOWED, "after the release by a second person")
        await story.until_counted()
    return {
        "ok": True,
        "seed": seed,
        "events": story.scene.events,
        "benign_events": benign_events,
        "benign_alerts": benign_alerts,
        "benign_evidence_log10_max": round(quiet, 2),
        "events_to_detection": got_through,
        "seconds_to_detection": round(seconds, 1),
        "wear_at_detection": round(story.scene.wear, 3),
        "evidence": float(f"{np.exp(min(alert['evidence_log'], EVIDENCE_LOG_MAX)):.4g}"),
        "evidence_log10": round(alert["evidence_log"] / np.log(10), 2),
        "threshold": round(float(np.exp(alert["threshold_log"])), 1),
        "threshold_log10": round(alert["threshold_log"] / np.log(10), 2),
        "cause": alert["cause"],
        "columns": [column["name"] for column in alert["columns"]][:5],
        "gate": {"before": before, "after": after, "after_one_approval": after_one, "after_release": after_both},
        "baseline_warnings": stage.warnings,
    }


async def _the_alert(stage: Stage) -> dict[str, Any]:
    """Return the alert behind the quarantine, after checking that evidence caused it and no person did."""
    alerts, changes = await stage.ada.alerts(), await stage.ada.transitions()
    if len(alerts) != 1 or alerts[0]["evidence_log"] < alerts[0]["threshold_log"]:
        raise DemoError(f"one alert above its threshold was expected: {alerts}")
    if changes[0]["after"] != "quarantined" or changes[0]["actor"] != "lazaretto":
        raise DemoError(f"a quarantine by policy was expected: {changes}")
    return alerts[0]


def _expect(status: int, wanted: int, when: str) -> None:
    if status != wanted:
        raise DemoError(f"the gate answered {status} {when}; {wanted} was expected")


async def _show(story: Story, live: Live) -> None:
    """Tell the story to a person, who ends it."""
    stage = story.stage
    story.scene.console = stage.url
    live.console.print(f"The model's page: {stage.url}/ - these links sign two different people in:")
    for name in ("ada", "grace"):
        live.console.print(f"  {name:5} {stage.login_link(name)}", soft_wrap=True, highlight=False)
    story.scene.say("Ctrl-C ends the demo.")
    async with _drawn(story.scene, live):
        await story.benign()
        await story.degraded()
        story.scene.say("Two people must release it. Sign in as ada, start the review, and ask for the release;")
        story.scene.say("then sign in as grace and ask too. The links are above.")
        await story.until_released()
        if story.scene.state == "active":
            story.scene.say("The camera was repaired; traffic flows again. Ctrl-C ends the demo.")
            while True:
                await story.healthy(seconds=60)
        await asyncio.Event().wait()
