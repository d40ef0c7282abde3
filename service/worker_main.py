"""The worker process: evidence in the main thread, delivery beside it, until asked to end."""

import asyncio
import logging
import os
import signal
import threading
from threading import Event

from service.settings import Settings
from service.wiring import WorkRuntime, build_worker
from service.worker.pulse import Pulse

logger = logging.getLogger("lazaretto.worker")
DELIVERY_END_SECONDS = 35.0
"""A delivery that has begun may take its deadline to end."""
PARENT = 0
"""Standard input: the pipe that the parent holds."""
NICENESS = 10
"""Evidence may be late by a moment; the gate and the acknowledgements, which share the machine, may not."""


def run_worker(settings: Settings, *, until_stdin_closes: bool) -> None:
    """Work until SIGTERM, SIGINT or, for the child of ``lazaretto serve``, the end of its parent.

    Raises
    ------
    SecretKeyError, StoreRefused, LogRefused, Unavailable
        When it cannot begin.
    """
    os.nice(NICENESS)
    stop = Event()
    pulse = None if settings.worker_pulse_file is None else Pulse(settings.worker_pulse_file)
    if pulse is not None:
        pulse()  # now, not after the first pass: a folder that cannot be written ends the start
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if until_stdin_closes:
        threading.Thread(target=_watch_parent, args=(stop,), name="parent", daemon=True).start()
    runtime = build_worker(settings)
    runtime.worker.pulse = pulse
    runtime.breath.begin()
    delivery = threading.Thread(target=_deliver, args=(runtime, stop), name="delivery", daemon=True)
    delivery.start()
    logger.info("the worker is at work")
    try:
        runtime.worker.run(stop)
    finally:
        stop.set()
        delivery.join(DELIVERY_END_SECONDS)
        runtime.close()
    logger.info("the worker has ended")


def _deliver(runtime: WorkRuntime, stop: Event) -> None:
    """Deliver; should that fail for good, end the process, so that its supervisor starts a new one."""
    try:
        asyncio.run(runtime.deliver(stop))
    finally:
        stop.set()


def _watch_parent(stop: Event) -> None:
    """Stop when the pipe from the parent closes, however the parent ended.

    Not through ``sys.stdin``: its lock, held while waiting, would abort a process that ends by itself.
    """
    while os.read(PARENT, 1):
        pass
    stop.set()
