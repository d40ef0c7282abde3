"""The worker rests once it has used the processor for a while, and never more often."""

from service.worker.breath import REST_SECONDS, SPELL_SECONDS, Breath


def test_it_rests_after_a_spell_and_not_before() -> None:
    rests: list[float] = []
    used = [0.0]
    breath = Breath(used=lambda: used[0], rest=rests.append)
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
