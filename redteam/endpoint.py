"""A victim behind an HTTP endpoint of the user's own."""

import os
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from detectors.columns import SUM_OFF
from redteam.plan import HttpVictim
from redteam.problems import Refused
from redteam.victims import Victim, cut

ROWS_MAX = 64
"""Inputs of one request to the endpoint."""
ROWS_MIN = 400
"""Fewer inputs cannot be cut into four parts that say anything."""


class VictimFailed(Exception):
    """The endpoint did not answer, or answered something else than probabilities."""


class Endpoint:
    """Asks the endpoint; use it as a context, so that connections are closed.

    No proxy of the environment is used, and no redirect followed: either would lead to a target that nobody signed off.
    """

    def __init__(self, victim: HttpVictim, transport: httpx.BaseTransport | None = None) -> None:
        headers = {}
        if victim.token_env:
            token = os.environ.get(victim.token_env)
            if not token:
                raise Refused(f"victim.http.token_env: the environment has no {victim.token_env}")
            headers["authorization"] = f"Bearer {token}"
        self._victim = victim
        self._http = httpx.Client(
            headers=headers,
            timeout=victim.timeout_seconds,
            trust_env=False,
            follow_redirects=False,
            transport=transport,
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def predict(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return class probabilities (n, classes) for inputs (n, dimension).

        Raises
        ------
        VictimFailed
            When an answer is missing or is none.
        """
        parts = [inputs[i : i + ROWS_MAX] for i in range(0, len(inputs), ROWS_MAX)]
        return np.concatenate([self._ask(part)[0] for part in parts])

    def timed(self, inputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ask for one input at a time; return the probabilities, and the milliseconds (n,) that each answer took.

        Raises
        ------
        VictimFailed
            As ``predict``.
        """
        asked = [self._ask(row[None]) for row in inputs]
        return np.concatenate([answer for answer, _ in asked]), np.array([took for _, took in asked])

    def _ask(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Return the answers of one request, and how many milliseconds it took."""
        body: Any = rows.tolist()
        for name in reversed(self._victim.inputs_at.split(".")):
            body = {name: body}
        begun = time.perf_counter()
        try:
            answer = self._http.post(self._victim.url, json=body)
        except httpx.HTTPError as error:
            raise VictimFailed(f"no answer: {str(error) or type(error).__name__}") from error
        took = 1e3 * (time.perf_counter() - begun)
        if not answer.is_success:
            raise VictimFailed(f"the endpoint answered {answer.status_code}")
        try:
            found = answer.json()
            for name in filter(None, self._victim.answers_at.split(".")):
                found = found[name]
            probabilities = np.array(found, dtype=np.float64)
        except (ValueError, KeyError, TypeError) as error:
            raise VictimFailed(f"no probabilities at '{self._victim.answers_at}' of the answer") from error
        good = probabilities.ndim == 2 and len(probabilities) == len(rows) and probabilities.shape[1] > 1  # noqa: PLR2004 - a matrix
        if not good or not (np.abs(probabilities.sum(axis=1) - 1.0) <= SUM_OFF).all() or (probabilities < 0.0).any():
            raise VictimFailed(f"the answer is not a list of probabilities for each of {len(rows)} inputs")
        return probabilities, took


def http_victim(told: HttpVictim, endpoint: Endpoint, seed: int) -> Victim:
    """Return the victim: its data from the file, its answers from the endpoint.

    Raises
    ------
    Refused
        When the file lacks what it must hold.
    VictimFailed
        When the endpoint does not answer a first question.
    """
    try:
        with np.load(Path(told.data)) as held:
            inputs, labels = held["x"].astype(np.float64), held["y"].astype(np.int64)
    except (OSError, KeyError, ValueError) as error:
        raise Refused(f"victim.http.data: {told.data} must be an .npz with 'x' and 'y': {error}") from None
    if len(inputs) != len(labels) or len(inputs) < ROWS_MIN or inputs.ndim not in {2, 3}:
        raise Refused(
            f"victim.http.data: {len(inputs)} inputs of shape {inputs.shape[1:]} and {len(labels)} classes; at least "
            f"{ROWS_MIN} rows of a table or images in one colour are needed, and a class for each"
        )
    rows = inputs.reshape(len(inputs), -1)
    outside = (rows < told.low) | (rows > told.high) | ~np.isfinite(rows)
    if outside.any():
        raise Refused(f"victim.http.data: {int(outside.sum())} values are not between 'low' and 'high'")
    classes = endpoint.predict(rows[:1]).shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise Refused(f"victim.http.data: classes go from 0 to {classes - 1}, as the endpoint has {classes}")
    quarter = len(rows) // 4
    fit, reference, calibration, confirmation = cut((rows, labels), (quarter, quarter, quarter), seed)
    return Victim(
        name=told.name,
        predict=endpoint.predict,
        timed=endpoint.timed,
        shape=inputs.shape[1:],
        classes=classes,
        low=told.low,
        high=told.high,
        budget=told.budget,
        budget_linf=told.budget_linf,
        grain=told.grain,
        fit=fit,
        reference=reference,
        calibration=calibration,
        confirmation=confirmation,
    )
