"""How the guard looks names up for many threads at once."""

import socket
import sys
import threading
import time
from typing import Any

import pytest

from service.guard import _Name


def test_many_threads_may_look_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    failed, real = list[str](), socket.getaddrinfo
    name = _Name("127.0.0.1", 80)

    def slowly(*where: Any, **how: Any) -> Any:
        time.sleep(0.0005)
        return real(*where, **how)

    def ask() -> None:
        for _ in range(150):
            try:
                name.addresses(time.monotonic() + 60.0)
            except RuntimeError as error:
                failed.append(str(error))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with monkeypatch.context() as changed:
            changed.setattr(socket, "getaddrinfo", slowly)
            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
    finally:
        sys.setswitchinterval(before)
    assert failed == []
