"""The story: benign traffic, a camera that fails, evidence, quarantine, a closed gate, and a release by two people."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from service.demo.gateway import ALLOWED, DENIED
from service.demo.processes import DemoError
from service.demo.scene import Scene
from service.demo.setting import Stage
from service.demo.world import CLASSES, Camera, Digits

PICTURES_PER_REQUEST = 40
LOOK_SECONDS = 0.25
CAUGHT_UP_SECONDS = 20.0
"""How long the monitor may take to count what was sent."""
QUARANTINE_SECONDS = 40.0
"""How long the failing camera may go on before the demo calls it undetected."""
RECENT_ANSWERS = 25
NO_EVIDENCE = -1.0
"""What is drawn before there is any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the story goes."""

    benign_events: int
    events_per_second: float
    wear_seconds: float
    """Until the camera is as bad as it gets."""


@dataclass(slots=True)
class Story:
    """Tells the story on a stage, and keeps the scene up to date."""

    stage: Stage
    plan: Plan
    live: Digits
    rng: np.random.Generator
    scene: Scene
    _recent: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT_ANSWERS))

    async def benign(self) -> None:
        """Send the benign events, wait until the monitor has counted them, and check that it raised nothing.

        Raises
        ------
        DemoError
            When anything was raised.
        """
        self.scene.chapter = "benign traffic"
        self.scene.say("The camera is fine. Every picture shows another digit, in another light.")
        async with asyncio.timeout(CAUGHT_UP_SECONDS + 20 * self.plan.benign_events / self.plan.events_per_second):
            while self.scene.sent < self.plan.benign_events:
                await self._second_of_traffic(0.0)
            await self.until_counted()
        alerts, changes = await self.stage.ada.alerts(), await self.stage.ada.transitions()
        if alerts or changes or self.scene.state != "active":
            raise DemoError(f"the benign phase raised something: {alerts or changes or self.scene.state}")
        self.scene.say(f"{self.scene.sent:,} benign events raised nothing.")

    async def until_counted(self) -> None:
        """Wait until the monitor has counted every event that the model server has sent."""
        while True:
            figures = (await self.stage.model_http.get("/telemetry")).raise_for_status().json()
            if figures["refused"] or figures["dropped"]:
                raise DemoError(f"telemetry was lost: {figures}")
            await self.look()
            # The newest tick closes a moment after its last event; until then its events wait.
            if figures["waiting"] == 0 and self.scene.events >= figures["acknowledged"]:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def degraded(self) -> int:
        """Let the camera fail until the gate closes, and return how many pictures got through meanwhile.

        Raises
        ------
        DemoError
            When the gate does not close in time.
        """
        self.scene.chapter = "the camera is failing"
        self.scene.say("Blur and noise grow from now on.")
        before, clock = self.scene.sent, asyncio.get_running_loop().time
        started = clock()
        while self.scene.gate != DENIED:
            seconds = clock() - started
            if seconds > QUARANTINE_SECONDS + self.plan.wear_seconds:
                raise DemoError(f"no quarantine after {seconds:.0f} seconds of a failing camera: {self.scene.state}")
            # Slowly at first, as lenses and cables fail.
            await self._second_of_traffic(min(1.0, (seconds / self.plan.wear_seconds) ** 2))
        await self.look()
        self.scene.chapter = "quarantined: the gate is closed"
        self.scene.say("The gate answers 403; the traffic has stopped.")
        return self.scene.sent - before

    async def release(self) -> tuple[int, int]:
        """Let mira and then ada ask for the release; return what the gate said after the first and after both."""
        await self.stage.ada.transition("start_review", "looking at the camera's pictures")
        self.scene.say("ada starts the review.")
        first = await self.stage.mira.transition("release", "the lens was cleaned")
        if first["state"] != "under_review":
            raise DemoError(f"one person alone has released the version: {first}")
        after_one = await self.ask_gate()
        self.scene.say("mira, who deployed it, asks for the release: that is not enough.")
        second = await self.stage.ada.transition("release", "the pictures are sharp again")
        if second["state"] != "active":
            raise DemoError(f"two people could not release the version: {second}")
        after_both = await self.ask_gate()
        self.scene.say("ada asks too: released.")
        await self.look()
        return after_one, after_both

    async def ask_gate(self) -> int:
        """Ask the gate once, a moment later if it does not yet say what the store says."""
        await asyncio.sleep(LOOK_SECONDS * 2)
        self.scene.gate = (await self.stage.gateway.ask()).status_code
        return self.scene.gate

    async def until_released(self) -> None:
        """Wait for people to release the version, or to take it out of service."""
        while self.scene.state in {"quarantined", "under_review"}:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)
        self.scene.gate = (await self.stage.gateway.ask()).status_code
        self.scene.say(f"Someone has decided: the version is now {self.scene.state.replace('_', ' ')}.")

    async def healthy(self, seconds: float) -> None:
        """Send good pictures for a while."""
        self.scene.chapter = "benign traffic"
        for _ in range(round(seconds)):
            await self._second_of_traffic(0.0)

    async def look(self) -> None:
        """Read the version's status."""
        status = await self.stage.ada.status()
        scene = self.scene
        if scene.state not in {"-", status.state}:
            scene.say(f"{scene.state} → {status.state}: {status.reason}")
        scene.state, scene.events = status.state, status.events
        scene.evidence, scene.threshold = status.evidence_log10, status.threshold_log10
        scene.columns = list(status.columns)
        scene.history.append(NO_EVIDENCE if status.evidence_log10 is None else status.evidence_log10)

    async def _second_of_traffic(self, wear: float) -> None:
        """Send about a second's worth of requests, evenly, looking at the status meanwhile."""
        clock = asyncio.get_running_loop().time
        started, looked = clock(), 0.0
        requests = max(1, round(self.plan.events_per_second / PICTURES_PER_REQUEST))
        for number in range(requests):
            await self._request(wear)
            if self.scene.gate == DENIED:
                return
            if clock() - looked > LOOK_SECONDS:
                await self.look()
                looked = clock()
            await asyncio.sleep(max(0.0, started + (number + 1) / requests - clock()))

    async def _request(self, wear: float) -> None:
        chosen = self.rng.integers(0, len(self.live.labels), PICTURES_PER_REQUEST)
        pictures = Camera(wear).photograph(self.live.images[chosen], self.rng)
        passed = await self.stage.gateway.predict(pictures)
        scene = self.scene
        scene.wear, scene.gate = wear, passed.gate_status
        if passed.gate_status != ALLOWED:
            scene.denied += 1
            return
        truth = [CLASSES[label] for label in self.live.labels[chosen]]
        self._recent.append(sum(a == b for a, b in zip(passed.digits, truth, strict=True)))
        scene.sent += len(pictures)
        scene.right, scene.judged = sum(self._recent), PICTURES_PER_REQUEST * len(self._recent)
