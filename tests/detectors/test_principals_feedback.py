"""Labels: who contradicts the model more often than others do, and who contradicts the others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.errors import DetectorError
from detectors.principals.feedback import LIMIT, OTHERS_MIN, VOTERS_MAX, Feedback

CLASSES = ("cat", "dog", "owl")


def play(
    feedback: Feedback, rng: np.random.Generator, wrong: dict[str, float], labels: int, hard: float = 0.0
) -> dict[str, float]:
    """Let everybody report labels in turn; return the strongest evidence about each."""
    most = dict.fromkeys(wrong, 0.0)
    for number in range(labels):
        for name, share in wrong.items():
            answer = CLASSES[rng.integers(3)]
            event = f"{name}-{number}-{id(feedback)}"
            feedback.remember(event, name, answer)
            lies = rng.random() < share + (hard if answer == "owl" else 0.0)
            told = feedback.report(None, event, "fish" if lies else answer)
            assert told is not None
            assert told[0] == name
            most[name] = max(most[name], told[1].evidence)
    return most


def test_one_who_flips_labels_is_told_of_and_nobody_else() -> None:
    honest = {f"c{i}": 0.08 for i in range(9)}
    most = play(Feedback(), np.random.default_rng(1), honest | {"eve": 0.5}, 150)
    assert most["eve"] >= LIMIT
    assert max(most[name] for name in honest) < LIMIT / 2


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), wrong=st.floats(0.0, 0.6), hard=st.floats(0.0, 0.3))
def test_a_model_that_is_wrong_for_everybody_accuses_nobody(seed: int, wrong: float, hard: float) -> None:
    """The bound: at most 8 * 6 * 200 / 1e6 for all examples, and the margins make it far less."""
    rng = np.random.default_rng(seed)
    most = play(Feedback(), rng, {f"c{i}": wrong for i in range(6)}, 200, hard)
    assert max(most.values()) < LIMIT


def test_one_that_asks_only_about_the_hard_class_is_compared_in_that_class() -> None:
    rng = np.random.default_rng(2)
    feedback = Feedback()
    most = 0.0
    for number in range(400):
        for name in ("a", "b", "c", "hard"):
            answer = "owl" if name == "hard" else CLASSES[rng.integers(3)]
            event = f"{name}{number}"
            feedback.remember(event, name, answer)
            label = "fish" if rng.random() < (0.4 if answer == "owl" else 0.02) else answer
            told = feedback.report(None, event, label)
            if name == "hard" and told is not None:
                most = max(most, told[1].evidence)
    assert most < LIMIT / 2


def test_a_change_of_the_whole_model_becomes_usual() -> None:
    feedback, rng = Feedback(), np.random.default_rng(3)
    names = {f"c{i}": 0.02 for i in range(10)}
    play(feedback, rng, names, 300)
    most = 0.0
    for number in range(300):
        for name in names:
            feedback.remember(f"later{name}{number}", name, "cat")
            told = feedback.report(None, f"later{name}{number}", "dog" if rng.random() < 0.3 else "cat")
            assert told is not None
            most = max(most, told[1].evidence)
    assert most < LIMIT


def test_labels_that_contradict_those_of_others_count_though_the_model_was_wrong_too() -> None:
    feedback = Feedback()
    most = {"a": 0.0, "b": 0.0, "eve": 0.0}
    for number in range(200):
        event = str(number)
        feedback.remember(event, "asker", "cat")
        for name in ("a", "b", "d", "e"):
            feedback.report(name, event, "dog")
        told = feedback.report("eve", event, "owl")
        assert told is not None
        most["eve"] = max(most["eve"], told[1].labels)
    assert most["eve"] >= LIMIT


def test_repeated_labels_count_once_and_unknown_events_not_at_all() -> None:
    feedback = Feedback()
    feedback.remember("e", "owner", "cat")
    first = feedback.report(None, "e", "dog", at=5)
    assert first is not None
    assert first[0] == "owner"
    assert feedback.report(None, "e", "dog") is None
    assert feedback.report("owner", "e", "cat") is None
    assert feedback.report("other", "e", "cat") is not None
    assert feedback.report(None, "never seen", "dog") is None
    assert (feedback.joined, feedback.unknown) == (2, 1)


def test_whoever_comes_when_an_event_has_all_its_reporters_counts_for_nothing_however_often() -> None:
    feedback = Feedback()
    feedback.remember("e", "owner", "cat")
    for number in range(VOTERS_MAX):
        assert feedback.report(f"reporter-{number}", "e", "cat") is not None
    for _ in range(100):
        assert feedback.report("late", "e", "dog") is None
    assert feedback.joined == VOTERS_MAX


def test_nobody_is_accused_before_there_are_others() -> None:
    feedback = Feedback()
    for number in range(int(OTHERS_MIN) * 10):
        feedback.remember(str(number), "alone", "cat")
        told = feedback.report(None, str(number), "dog")
        assert told is not None
        assert told[1].evidence == 0.0


def test_memory_has_an_end() -> None:
    feedback = Feedback(events_max=10, reporters_max=3)
    for number in range(50):
        feedback.remember(str(number), f"p{number}", "cat")
        feedback.report(None, str(number), "cat")
    assert feedback.report(None, "39", "dog") is None
    assert feedback.report("new", "49", "dog") is not None
    with pytest.raises(DetectorError):
        Feedback(events_max=0)
