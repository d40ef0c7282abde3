"""Work in steps gives what it gives at once, with turns for others in between."""

import pytest

from service.ingest.steps import Steps, run, take_steps


def _count(done: list[int], result: int | None) -> Steps[int | None]:
    for i in range(3):
        done.append(i)
        yield
    return result


@pytest.mark.parametrize("result", [7, None])
def test_all_steps_at_once(result: int | None) -> None:
    done: list[int] = []
    assert run(_count(done, result)) == result
    assert done == [0, 1, 2]


def test_without_time_left_a_turn_is_one_step() -> None:
    done: list[int] = []
    steps = _count(done, 7)
    for made in (1, 2, 3):
        assert take_steps(steps, 0.0) is None
        assert len(done) == made
    assert take_steps(steps, 0.0) == 7


def test_with_time_left_a_turn_goes_to_the_end() -> None:
    done: list[int] = []
    assert take_steps(_count(done, 7), 60.0) == 7
    assert done == [0, 1, 2]
