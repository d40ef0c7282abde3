"""Clients that keep sending the same batch, under its own idempotency key, until it is acknowledged."""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

COLUMNS = ("amount", "age", "score")
COUNTRIES = ("DE", "FR", "IT", "ES")
RETRY_SECONDS = 0.03
LARGE_EVERY, LARGE_FACTOR = 8, 100
"""Some batches are so large that the log keeps them in a segment."""


def batch(seed: int, *, drift: bool) -> dict[str, Any]:
    """Return one batch of 1 to 40 events, one in eight a hundred times as large; the same seed gives the same batch."""
    generator = np.random.default_rng(seed)
    rows = int(generator.integers(1, 41)) * (LARGE_FACTOR if seed % LARGE_EVERY == 0 else 1)
    values = generator.normal(3.0 if drift else 0.0, 1.0, size=(rows, len(COLUMNS)))
    countries = generator.choice(COUNTRIES, size=rows)
    chances = generator.beta(2, 3, size=rows)
    return {
        "events": [
            {
                "event_id": f"{seed}-{row}",
                "principal": f"client-{seed % 7}",
                "features": dict(zip(COLUMNS, values[row].tolist(), strict=True)) | {"country": str(countries[row])},
                "prediction": "fraud" if chances[row] > 0.5 else "ok",
                "probabilities": {"fraud": float(chances[row]), "ok": float(1 - chances[row])},
            }
            for row in range(rows)
        ]
    }


@dataclass
class Tally:
    """What the clients sent and what was acknowledged."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    acknowledged: dict[str, int] = field(default_factory=dict)
    """Idempotency key -> accepted events."""
    positions: dict[str, int] = field(default_factory=dict)
    batch_ids: dict[str, str] = field(default_factory=dict)
    retries: int = 0
    surprises: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """One sender. It stops after the batch in hand once ``stop`` is set."""

    def __init__(
        self, number: int, url: str, key: str, tally: Tally, stop: threading.Event, drift: threading.Event
    ) -> None:
        super().__init__(daemon=True)
        self.number, self.url, self.tally, self.stop_event, self.drift = number, url, tally, stop, drift
        self.headers = {"Authorization": f"Bearer {key}"}
        self.random = random.Random(number)

    def run(self) -> None:
        """Send until told to stop."""
        with httpx.Client(timeout=5) as http:
            sent = 0
            while not self.stop_event.is_set():
                self.send(http, f"c{self.number}-{sent}", self.number * 1_000_003 + sent)
                sent += 1
                time.sleep(self.random.random() * 0.01)

    def send(self, http: httpx.Client, idempotency_key: str, seed: int) -> None:
        """Send one batch until it is acknowledged."""
        body = batch(seed, drift=self.drift.is_set())
        headers = self.headers | {"Idempotency-Key": idempotency_key}
        while True:
            try:
                answer = http.post(self.url, json=body, headers=headers)
            except httpx.TransportError:
                self.retried()
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                self.note(idempotency_key, answer.json())
                return
            if answer.status_code not in {429, 503}:
                with self.tally.lock:
                    self.tally.surprises.append(f"{answer.status_code}: {answer.text[:300]}")
                return
            self.retried()

    def retried(self) -> None:
        """Wait a little before trying again."""
        with self.tally.lock:
            self.tally.retries += 1
        time.sleep(RETRY_SECONDS)

    def note(self, idempotency_key: str, receipt: dict[str, Any]) -> None:
        """Keep what was acknowledged."""
        with self.tally.lock:
            self.tally.acknowledged[idempotency_key] = receipt["accepted"]
            self.tally.positions[idempotency_key] = receipt["position"]
            self.tally.batch_ids[idempotency_key] = receipt["batch_id"]
