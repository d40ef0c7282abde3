"""The end of the worker process."""

import subprocess
import sys


def test_a_worker_that_ends_by_itself_while_its_parent_lives_ends_in_order() -> None:
    program = """
import sys, threading, time
from service import worker_main

watching = threading.Thread(target=worker_main._watch_parent, args=(threading.Event(),), daemon=True)
watching.start()
time.sleep(0.5)  # it waits for its parent now
sys.exit(3)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert (child.wait(120), child.stderr.read()) == (3, "")


def test_a_worker_hears_the_end_of_its_parent() -> None:
    program = """
import threading
from service import worker_main

stop = threading.Event()
worker_main._watch_parent(stop)
raise SystemExit(0 if stop.is_set() else 1)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, input=b"x", timeout=120)
    assert ended.returncode == 0
