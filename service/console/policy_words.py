"""A policy in sentences: what it promises, what an alert does, who may let a version go."""

from collections.abc import Iterator, Sequence

from service.console import words
from service.domain.adversarial import Adversarial, Response
from service.domain.policy import Action, BaselineReview, Cause, ColumnChoice, FailMode, Policy
from service.domain.states import State

DOES = {
    Action.RECORD: "on record only",
    Action.NOTIFY: "people are told",
    Action.SUSPECT: "people are told and the version becomes suspect",
    Action.QUARANTINE: "people are told and the version is quarantined",
}
ANSWERS = {
    Response.RECORD: "on record only",
    Response.NOTIFY: "people are told",
    Response.CONTAIN: "people are told and the principal is contained",
    Response.SUSPECT: "people are told, the principal is contained and the version becomes suspect",
}
TIERS = ("probing", "intent", "persistence", "extraction", "membership", "cost")
BASELINES = {
    BaselineReview.NEVER: "A new baseline is in force at once.",
    BaselineReview.MOVED: "A new baseline that differs from the one in force waits for a second person.",
    BaselineReview.ALWAYS: "Every new baseline waits for a second person.",
}
COLUMNS_SAID = 12

Said = tuple[tuple[str, tuple[str, ...]], ...]


def policy_in_words(policy: Policy) -> Said:
    """Return what a policy says, as sentences under a term each."""
    said = (
        ("Promise", list(_promise(policy))),
        ("Alerts", list(_alerts(policy))),
        ("Limits", list(_limits(policy))),
        ("Gate", list(_gate(policy))),
        ("Review", list(_review(policy))),
        ("Columns", list(_columns(policy))),
        ("Traffic", list(_traffic(policy))),
        ("Labels", list(_labels(policy))),
        ("Adversarial use", list(_adversarial(policy.adversarial))),
    )
    return tuple((term, tuple(sentences)) for term, sentences in said if sentences)


def _promise(policy: Policy) -> Iterator[str]:
    needed = f"{policy.ticks_per_false_alarm:,.0f}"
    yield (
        f"At most {words.budget_sentence(policy.budget)}, all columns together: evidence is judged every "
        f"{words.duration_exact(policy.tick_seconds)}, so an alert needs evidence of {needed}."
    )
    if policy.minimum_effect:
        yield f"A change of less than {words.number(policy.minimum_effect)} standard deviations is never news."
    if policy.shares:
        parts = ", ".join(f"{name} {words.number(share)}" for name, share in sorted(policy.shares.items()))
        yield f"The budget is shared by groups of columns in the proportion {parts}."
    if policy.segments is not None:
        s = policy.segments
        yield f"{len(s.values)} values of {s.column} have evidence of their own, with {s.share:.0%} of the budget."


def _alerts(policy: Policy) -> Iterator[str]:
    by_action: dict[Action, list[Cause]] = {}
    for cause in Cause:
        if cause is not Cause.ADVERSARIAL:
            by_action.setdefault(policy.actions.of(cause), []).append(cause)
    for action in reversed(Action):
        if action in by_action:
            yield f"{_listed([words.CAUSE_NAMES[cause] for cause in by_action[action]])}: {DOES[action]}."
    times = policy.confirmations
    if times > 1:
        yield f"A quarantine waits until {times} evaluations in a row are above the threshold."
    if policy.dry_run:
        yield "Dry run: what would have been done is said and not done."


def _limits(policy: Policy) -> Iterator[str]:
    radius = policy.blast_radius
    if radius.keep_last_healthy:
        yield "A policy never takes the last healthy version of a model away."
    yield (
        f"Policies hold at most {radius.fleet_share:.0%} of all versions in quarantine, "
        f"once there are {radius.fleet_minimum}."
    )
    if policy.incidents.cooldown_seconds:
        after = words.duration_exact(policy.incidents.cooldown_seconds)
        yield f"Nobody is paged of the same cause again within {after} after an incident."


def _gate(policy: Policy) -> Iterator[str]:
    yield (f"A version that the gate does not know is {'let through' if policy.fail is FailMode.OPEN else 'refused'}.")
    if policy.fallback:
        yield f"While a version is held, gateways are pointed to {policy.fallback}."


def _review(policy: Policy) -> Iterator[str]:
    people = "one person" if policy.reviewers == 1 else f"{policy.reviewers} different people"
    yield f"A release needs {people}, and never the deployer alone."
    due = words.duration_exact(policy.review_hours * 3_600)
    times = policy.review_reminders
    reminded = "once" if times == 1 else f"{times} times"
    yield f"A review is due after {due}; then people are reminded {reminded}."
    minutes = policy.break_glass_minutes_max
    yield (
        f"One person may break the glass for at most {words.duration_exact(minutes * 60)}."
        if minutes
        else "Nobody may break the glass."
    )
    yield BASELINES[policy.baseline_review]


def _columns(policy: Policy) -> Iterator[str]:
    told = [(name, choice) for name, choice in policy.columns.items() if choice != ColumnChoice()]
    for name, choice in told[:COLUMNS_SAID]:
        yield f"{name}: {_choice(choice)}."
    if len(told) > COLUMNS_SAID:
        yield f"{len(told) - COLUMNS_SAID} more columns have rules of their own."


def _choice(choice: ColumnChoice) -> str:
    if choice.ignore:
        return "ignored"
    said = []
    if choice.direction != "both":
        said.append(f"only a move {choice.direction} is news")
    if choice.minimum_effect is not None:
        said.append(f"a change below {words.number(choice.minimum_effect)} standard deviations is not")
    if choice.weight != 1:
        said.append(f"{words.number(choice.weight)} times the weight of the others of its group")
    return ", ".join(said) or "as the others"


def _traffic(policy: Policy) -> Iterator[str]:
    traffic = policy.traffic
    if not traffic.learn_days:
        yield "Not watched."
        return
    yield (
        f"The usual rate is learnt for {words.duration_exact(traffic.learn_days * 86_400)}; more or less than "
        f"{words.number(traffic.minimum_ratio)} times of it is news."
    )
    yield (
        "A pause is told when it is longer than any usual one."
        if traffic.stale_after_seconds is None
        else f"A pause of {words.duration_exact(traffic.stale_after_seconds)} is told."
    )


def _labels(policy: Policy) -> Iterator[str]:
    answers = policy.performance.answers
    if not answers:
        yield "Compared with no answers."
        return
    yield f"Compared with the latest {answers:,} answers that have an event id."


def _adversarial(chosen: Adversarial) -> Iterator[str]:
    if chosen.follow is None:
        yield "Principals are not followed one by one."
    else:
        by_answer: dict[Response, list[str]] = {}
        for tier in TIERS:
            by_answer.setdefault(chosen.of(tier), []).append(tier)
        for response in reversed(Response):
            if response in by_answer:
                yield f"{_listed(by_answer[response]).capitalize()}: {ANSWERS[response]}."
        hold = words.duration_exact(chosen.contain_hours * 3_600)
        yield f"The gate {'refuses' if chosen.enforce_containment else 'warns of'} contained principals for {hold}."
    if not chosen.quarantine:
        yield "Adversarial evidence never quarantines a version."
    yield f"Drift that rests on one principal makes a version {_of_one(chosen)}."


def _of_one(chosen: Adversarial) -> str:
    state = State.SUSPECT if chosen.drift_of_one == "suspect" else State.QUARANTINED
    return words.STATE_NAMES[state].lower()


def _listed(names: Sequence[str]) -> str:
    """Join names as a sentence does; the first keeps its capital."""
    first, *rest = [names[0], *(name[:1].lower() + name[1:] for name in names[1:])]
    return f"{', '.join([first, *rest[:-1]])} and {rest[-1]}" if rest else first
