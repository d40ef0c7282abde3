"""Random names do not repeat, whoever asks for them."""

import threading

import pytest

from service.entropy import POOL_BYTES, random_hex


@pytest.mark.parametrize("size", [1, 8, 10, POOL_BYTES])
def test_the_length_is_as_asked(size: int) -> None:
    for _ in range(3):
        assert len(bytes.fromhex(random_hex(size))) == size


def test_names_are_different_within_and_across_threads() -> None:
    found: list[str] = []

    def draw() -> None:
        found.extend([random_hex(10) for _ in range(2_000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8_000
