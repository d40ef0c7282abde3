"""Bets on a client's stories: by hand, against their definition, under their null, and on real clients."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.cluster import FEATURES, Cluster
from detectors.principals.forest import Forest
from detectors.principals.persistence import KAPPA, LOG_MOST, WRONG, Bets, Persistence, chosen, e_value
from detectors.principals.ranked import ranked
from detectors.principals.stories import ASPECTS, IDLE, PEAK, SUMMARY, TOLD_MAX, Story

SESSIONS = 100


class Winnings:
    """Stands where bets do: every story wins what comes next."""

    def __init__(self, *won: float) -> None:
        self.won = list(won)
        self.stories: list[Story] = []

    def log_bet(self, story: Story) -> float:
        self.stories.append(story)
        return self.won.pop(0)


def cluster() -> Cluster:
    return Cluster(np.zeros(2, np.float32), 0, 1.0)


def features(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(size=len(FEATURES))


def stump(feature: str, cut: float) -> Forest:
    """A forest of one tree that says 1 above a cut, and -1 below."""
    inner = np.zeros((1, 15), np.int8)
    cuts = np.full((1, 15), np.inf, np.float32)
    inner[0, 0], cuts[0, 0] = SUMMARY.index(feature), cut
    leaves = np.where(np.arange(16) < 8, -1.0, 1.0).astype(np.float32)[None]
    return Forest(inner, cuts, leaves, 0.0, len(SUMMARY))


def story_of(intents: list[float]) -> Story:
    story, rng = Story(), np.random.default_rng(0)
    for at, intent in enumerate(intents):
        story.take(features(rng), intent, at)
    return story


def bets() -> Bets:
    steps = np.stack((np.linspace(1.0, -1.0, SESSIONS), np.linspace(5.0, -5.0, SESSIONS)))
    return Bets(stump("highest intent", 2.0), steps)


def test_a_story_is_summed_up_as_numpy_sums_it_up() -> None:
    rng, story = np.random.default_rng(1), Story()
    rows = rng.normal(size=(7, len(ASPECTS)))
    for at, row in enumerate(rows):
        story.take(row[:-1], float(row[-1]), at)
    expected = [*rows[-1], *rows.max(axis=0), *rows.min(axis=0), *rows.mean(axis=0), math.log(7)]
    assert story.summary() == pytest.approx(np.array(expected))
    assert len(SUMMARY) == len(expected)
    assert story.summary()[PEAK] == rows[:, -1].max()
    assert not story.is_over


def test_the_rank_is_among_the_sessions_and_the_bet_is_the_mean_of_both_detectors() -> None:
    low, high = story_of([-6.0, -7.0]), story_of([6.0, -7.0])
    assert bets().found(high) == (1.0, 6.0)
    assert bets().ranks(bets().found(high)) == (2 / 101, 1 / 101)
    assert bets().ranks(bets().found(low)) == (1.0, 1.0)
    assert bets().log_bet(low) == pytest.approx(math.log(KAPPA))
    assert bets().log_bet(high) == pytest.approx(math.log((e_value(2 / 101) + e_value(1 / 101)) / 2))


@pytest.mark.parametrize("sessions", [1, 16, 100, 999])
def test_no_rank_among_any_number_of_sessions_wins_in_the_mean(sessions: int) -> None:
    mean = sum(e_value(rank / (sessions + 1)) for rank in range(1, sessions + 2)) / (sessions + 1)
    assert mean <= 1.0
    assert mean > 0.25


@pytest.mark.parametrize(
    "ladders",
    [np.zeros((1, 4)), np.zeros((2, 0)), np.zeros(4), np.array([[0.0, 1.0], [1.0, 0.0]]), np.full((2, 3), np.nan)],
)
def test_ladders_that_rise_or_are_none_are_refused(ladders: NDArray[np.float64]) -> None:
    with pytest.raises(DetectorError, match="ladders of shape"):
        Bets(stump("told", 1.0), ladders)


@given(st.lists(st.floats(-4.0, 4.0), min_size=1, max_size=130), st.floats(-4.0, 4.0))
def test_raised_ladders_rank_a_story_as_the_worst_of_both_as_far_as_few_sessions_can_tell(
    reached: list[float], value: float
) -> None:
    found = np.array([[one, -np.inf] for one in reached])
    before, after = bets().ranks((value, value)), bets().raised(found).ranks((value, value))
    assert after[0] >= before[0]
    assert after[1] == before[1]
    own = (1 + sum(one >= value for one in reached)) / (1 + len(reached))
    # Between two of the ladder's steps a rank among fewer sessions may lie lower by one of its own steps.
    assert after[0] >= own - 1 / (1 + len(reached)) - 1 / (1 + SESSIONS)
    if value > max(reached):
        assert after[0] == before[0]


def test_sessions_that_are_none_raise_nothing() -> None:
    with pytest.raises(DetectorError, match="two numbers of one at least"):
        bets().raised(np.zeros((0, 2)))
    with pytest.raises(DetectorError, match="two numbers of one at least"):
        bets().raised(np.zeros((3, 3)))


@given(st.lists(st.floats(math.log(KAPPA), 3.0), max_size=30))
def test_the_evidence_is_the_mean_over_all_beginnings(won: list[float]) -> None:
    persistence, judge = Persistence(), Winnings(*won)
    for number in range(len(won)):
        persistence.take(cluster(), np.zeros(len(FEATURES)), 0.0, 100 * number, judge)
    persistence.close(judge)
    total = Fraction(1, len(won) + 1) + sum(
        Fraction(1, begin * (begin + 1)) * Fraction(math.prod(Fraction(math.exp(one)) for one in won[begin - 1 :]))
        for begin in range(1, len(won) + 1)
    )
    assert persistence.stories == len(won)
    assert persistence.log_evidence == pytest.approx(math.log(total), abs=1e-9)


def test_evidence_does_not_grow_beyond_all_bounds() -> None:
    persistence, judge = Persistence(), Winnings(*[200.0] * 5)
    for number in range(5):
        persistence.take(cluster(), np.zeros(len(FEATURES)), 0.0, 100 * number, judge)
    persistence.close(judge)
    assert persistence.log_evidence == LOG_MOST


def test_one_input_is_one_bet_however_long_it_is_asked_about() -> None:
    persistence, judge, own = Persistence(), Winnings(1.0, 1.0), cluster()
    for at in range(10 * TOLD_MAX):
        persistence.take(own, np.zeros(len(FEATURES)), 0.0, at, judge)
    assert (persistence.stories, len(judge.stories)) == (1, 1)
    assert judge.stories[0].told == TOLD_MAX
    persistence.close(judge)
    assert persistence.stories == 1


def test_clusters_that_come_at_once_are_one_story_and_the_next_input_is_the_next() -> None:
    persistence, judge, first, second = Persistence(), Winnings(1.0, 1.0, 1.0), cluster(), cluster()
    persistence.take(first, np.zeros(len(FEATURES)), 0.0, 10, judge)
    persistence.take(second, np.zeros(len(FEATURES)), 0.0, 10 + IDLE, judge)
    assert persistence.stories == 0
    persistence.take(cluster(), np.zeros(len(FEATURES)), 0.0, 11 + 2 * IDLE, judge)
    assert persistence.stories == 1
    assert judge.stories[0].told == 2
    # What comes to the first input again says nothing: its story is over.
    persistence.take(first, np.zeros(len(FEATURES)), 0.0, 12 + 2 * IDLE, judge)
    # The first near-duplicate of the next one came after all that was told.
    later = Cluster(np.zeros(2, np.float32), 0, 1.0, began=11 + 2 * IDLE)
    persistence.take(later, np.zeros(len(FEATURES)), 0.0, 14 + 2 * IDLE, judge)
    persistence.close(judge)
    assert [story.told for story in judge.stories] == [2, 1, 1]


@settings(max_examples=200)
@given(st.dictionaries(st.text(max_size=3), st.floats(-5.0, 15.0), max_size=12), st.integers(0, 500))
def test_those_who_are_chosen_are_the_most_whose_evidence_suffices(evidence: dict[str, float], among: int) -> None:
    names, line = chosen(evidence, among)
    falling = sorted(evidence.values(), reverse=True)
    enough = [k for k in range(1, len(falling) + 1) if falling[k - 1] + 1e-9 >= math.log(max(among, 1) / (WRONG * k))]
    assert len(names) == max(enough, default=0)
    assert line == pytest.approx(math.log(max(among, 1) / (WRONG * max(len(names), 1))))
    assert all(evidence[name] >= line - 1e-9 for name in names)
    assert min((evidence[name] for name in names), default=np.inf) >= max(
        (value for name, value in evidence.items() if name not in names), default=-np.inf
    )


def test_of_those_told_of_among_benign_clients_and_attackers_few_are_wronged() -> None:
    # 40 worlds of 95 benign clients, ranked truly, and 5 who rank first in four of five stories. The share of wrong
    # ones among those told of may be 0.05 on average; by Markov's inequality its mean over 40 worlds is above 0.2 with
    # a probability below 0.25, and it is far smaller: bets by ranks among 100 lose.
    rng, shares, found = np.random.default_rng(7), [], []
    for _ in range(40):
        evidence = {}
        for client in range(100):
            ranks = rng.integers(1, 102, 12) / 101
            if client < 5:
                ranks = np.where(rng.random(12) < 0.8, 1 / 101, ranks)
            judge = Winnings(*[math.log(e_value(float(rank))) for rank in ranks])
            persistence = Persistence()
            for number in range(12):
                persistence.take(cluster(), np.zeros(len(FEATURES)), 0.0, 100 * number, judge)
            persistence.close(judge)
            evidence[str(client)] = persistence.log_evidence
        names, _ = chosen(evidence, 100)
        shares.append(sum(int(name) >= 5 for name in names) / max(len(names), 1))
        found.append(sum(int(name) < 5 for name in names))
    assert np.mean(shares) < 0.05
    assert np.mean(found) > 4.0


def test_a_benign_client_reaches_twenty_times_its_stake_no_more_often_than_one_in_twenty() -> None:
    # Ville's inequality, whenever one looks: 2,000 clients of 30 stories; four standard errors above 0.05 are 0.0695.
    rng, above = np.random.default_rng(8), 0
    for _ in range(2_000):
        total, most = 0.0, 0.0
        for number, rank in enumerate((rng.integers(1, 102, 30) / 101).tolist(), start=1):
            total = e_value(rank) * (total + 1.0 / (number * (number + 1.0)))
            most = max(most, total + 1.0 / (number + 1.0))
        above += most >= 1.0 / WRONG
    assert above / 2_000 < 0.0695


def test_what_is_shipped_ranks_among_a_hundred_sessions() -> None:
    own = ranked()
    assert own.ladders.shape == (2, SESSIONS)
    assert own.forest.width == len(SUMMARY)
    assert np.isfinite(own.ladders[:, 0]).all()
    quiet = Story()
    quiet.take(np.zeros(len(FEATURES)), -8.0, 0)
    assert own.log_bet(quiet) < 0.0


def test_a_forest_of_stories_that_looks_beyond_them_is_refused() -> None:
    content = stump("told", 1.0).to_bytes()
    assert Forest.from_bytes(content, len(SUMMARY)).digest == stump("told", 1.0).digest
    with pytest.raises(DetectorError, match="other features"):
        Forest.from_bytes(content)
