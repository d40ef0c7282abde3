"""Rests of the worker: when one is due, whose, and by alarm."""

import signal
import threading
import time
from itertools import count

import pytest

from service.worker.breath import ALARM_SECONDS, REST_SECONDS, SPELL_SECONDS, Breath


def test_rests_after_a_spell_and_not_before() -> None:
    used, rests = [0.0], list[float]()
    breath = Breath(used=lambda: used[0], rest=rests.append)
    breath.begin()
    breath()
    assert rests == []
    used[0] = SPELL_SECONDS
    breath()
    assert rests == [REST_SECONDS]
    used[0] += SPELL_SECONDS / 2
    breath()
    breath()
    assert rests == [REST_SECONDS]
    used[0] += SPELL_SECONDS
    breath()
    assert rests == [REST_SECONDS] * 2


def test_what_only_computes_is_made_to_rest_wherever_it_is_and_nothing_afterwards() -> None:
    rests = list[float]()
    breath = Breath(rest=rests.append)
    breath.begin()
    with breath.alarmed():
        until = time.thread_time() + 100 * ALARM_SECONDS
        while time.thread_time() < until:
            pass
    assert len(rests) > 1
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    seen = len(rests)
    time.sleep(10 * ALARM_SECONDS)
    assert len(rests) == seen


def test_an_alarm_waits_for_the_end_of_the_rest_before_however_long_the_machine_makes_it() -> None:
    depth, depths = 0, list[int]()

    def rest(_seconds: float) -> None:
        nonlocal depth
        depth += 1
        depths.append(depth)
        time.sleep(20 * ALARM_SECONDS if depth < 3 else 0.0)
        depth -= 1

    uses = count()  # always due
    breath = Breath(used=lambda: float(next(uses)), rest=rest)
    breath.begin()
    with breath.alarmed():
        until = time.thread_time() + 20 * ALARM_SECONDS
        while time.thread_time() < until:
            pass
    assert len(depths) > 1
    assert set(depths) == {1}


def test_an_exception_ends_the_alarm() -> None:
    breath = Breath()
    breath.begin()
    with pytest.raises(KeyError), breath.alarmed():
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_it_is_nobody_elses() -> None:
    rests = list[float]()
    breath = Breath(used=lambda: 1.0, rest=rests.append)
    with breath.alarmed():  # nobody's yet
        breath()
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    breath.begin()
    armed = list[tuple[float, float]]()

    def another() -> None:
        breath()
        with breath.alarmed():
            armed.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=another)
    thread.start()
    thread.join()
    assert rests == []
    assert armed == [(0.0, 0.0)]
    breath()
    assert rests == [REST_SECONDS]
