"""A policy in sentences."""

import msgspec
import pytest

from service.console.policy_words import policy_in_words
from service.console.words import duration_exact
from service.domain.adversarial import Adversarial, Following, Response
from service.domain.performance import Performance
from service.domain.policy import (
    Action,
    Actions,
    BaselineReview,
    BlastRadius,
    Budget,
    ColumnChoice,
    FailMode,
    Incidents,
    Policy,
    Segments,
    Traffic,
)


def said(policy: Policy) -> dict[str, str]:
    return {term: " ".join(sentences) for term, sentences in policy_in_words(policy)}


def test_the_defaults_are_told_in_full() -> None:
    told = said(Policy())
    assert told["Promise"] == (
        "At most one false alarm in 30 days, all columns together: evidence is judged every 1 second, so an alert "
        "needs evidence of 2,592,000. A change of less than 0.05 standard deviations is never news."
    )
    assert told["Alerts"] == (
        "Data drift, prediction drift and data quality: people are told and the version is quarantined. Lost "
        "performance: people are told and the version becomes suspect. Latency, traffic and silence: people are told. "
        "A quarantine waits until 2 evaluations in a row are above the threshold."
    )
    assert told["Gate"] == "A version that the gate does not know is let through."
    assert "A review is due after 1 day; then people are reminded 3 times." in told["Review"]
    assert "One person may break the glass for at most 1 hour." in told["Review"]
    assert told["Adversarial use"].startswith("Principals are not followed one by one.")
    assert "Columns" not in told


@pytest.mark.parametrize(
    ("policy", "term", "part"),
    [
        (Policy(budget=Budget(false_alarms=2, per_days=7)), "Promise", "2 false alarms in 7 days"),
        (Policy(shares={"quality": 1.0, "drift": 3.0}), "Promise", "in the proportion drift 3, quality 1"),
        (
            Policy(segments=Segments(column="segment.region", values=("eu", "us"), share=0.4)),
            "Promise",
            "2 values of segment.region have evidence of their own, with 40% of the budget",
        ),
        (Policy(actions=Actions(latency=Action.RECORD)), "Alerts", "Latency: on record only."),
        (Policy(dry_run=True), "Alerts", "Dry run: what would have been done is said and not done."),
        (Policy(blast_radius=BlastRadius(fleet_share=0.25, fleet_minimum=4)), "Limits", "at most 25% of all versions"),
        (Policy(incidents=Incidents(cooldown_seconds=600)), "Limits", "again within 10 minutes after an incident"),
        (Policy(fail=FailMode.CLOSED, fallback="old/1"), "Gate", "is refused. While a version is held"),
        (Policy(reviewers=1), "Review", "A release needs one person, and never the deployer alone."),
        (Policy(break_glass_minutes_max=0), "Review", "Nobody may break the glass."),
        (Policy(baseline_review=BaselineReview.ALWAYS), "Review", "Every new baseline waits for a second person."),
        (Policy(columns={"age": ColumnChoice(ignore=True)}), "Columns", "age: ignored."),
        (
            Policy(columns={"age": msgspec.convert({"direction": "up", "weight": 2.0}, ColumnChoice)}),
            "Columns",
            "age: only a move up is news, 2 times the weight of the others of its group.",
        ),
        (
            Policy(columns={f"c{i}": ColumnChoice(ignore=True) for i in range(20)}),
            "Columns",
            "8 more columns have rules",
        ),
        (Policy(traffic=Traffic(learn_days=0)), "Traffic", "Not watched."),
        (Policy(traffic=Traffic(stale_after_seconds=90)), "Traffic", "A pause of 1.5 minutes is told."),
        (
            Policy(adversarial=Adversarial(follow=Following(), intent=Response.SUSPECT, enforce_containment=True)),
            "Adversarial use",
            "Intent: people are told, the principal is contained and the version becomes suspect.",
        ),
        (Policy(adversarial=Adversarial(quarantine=False)), "Adversarial use", "never quarantines a version"),
    ],
)
def test_what_was_chosen_is_told(policy: Policy, term: str, part: str) -> None:
    assert part in said(policy)[term]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"),
        (0.2, "0.2 seconds"),
        (60, "1 minute"),
        (90, "1.5 minutes"),
        (86_400, "1 day"),
        (129_600, "1.5 days"),
    ],
)
def test_a_chosen_length_of_time_is_told_exactly(seconds: float, text: str) -> None:
    assert duration_exact(seconds) == text


def test_how_labels_are_compared_is_told() -> None:
    assert said(Policy())["Labels"] == "Compared with the latest 50,000 answers that have an event id."
    assert said(Policy(performance=Performance(answers=0)))["Labels"] == "Compared with no answers."
