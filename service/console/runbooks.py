"""What to do about an incident of each cause, in steps: a page of the console, there when nothing else is."""

from dataclasses import dataclass

from service.domain.policy import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """What one kind of incident means, and what to do."""

    cause: Cause
    title: str
    meaning: str
    look: tuple[str, ...]
    do: tuple[str, ...]
    over: str


_DECIDE = (
    "Acknowledge the incident, so that others know that you are on it; assign it if it is not yours.",
    "Is the model held? Start the review; release it with a second person if that is harmless, else roll it back.",
)
_VERDICT = "Resolve the incident with a verdict: it is how false alarms are counted, and how the budget is kept honest."

RUNBOOKS = {
    one.cause: one
    for one in (
        Runbook(
            cause=Cause.DATA_DRIFT,
            title="Data drift",
            meaning="The inputs are distributed otherwise than in the reference, by more than is tolerated.",
            look=(
                "The blamed columns: how far apart are both histograms? A tiny effect that is certain is still tiny.",
                "Since when: compare the date with deploys of senders, campaigns, and changes of the population.",
                "Does it last? The page of the version says whether the evidence has come back since the alarm.",
                "Is only a part of the traffic blamed, such as one region? Then ask who feeds that part.",
            ),
            do=(
                *_DECIDE,
                "Is the change here to stay? Put a new baseline; a second person signs it.",
                _VERDICT,
            ),
            over="When a person has resolved it; the same cause that comes back soon after is told as a return.",
        ),
        Runbook(
            cause=Cause.PREDICTION_DRIFT,
            title="Prediction drift",
            meaning="The model answers otherwise than it did on its reference: other classes, other probabilities.",
            look=(
                "Are inputs blamed, too? Then they are the cause, and this is what they lead to.",
                "No input is blamed: was the artefact changed? Look at what is vouched for, and at deploys.",
                "Probabilities without classes: a calibration or a preprocessing step has changed.",
            ),
            do=(*_DECIDE, "Roll back first what nobody vouches for, and explain it afterwards.", _VERDICT),
            over="When a person has resolved it.",
        ),
        Runbook(
            cause=Cause.DATA_QUALITY,
            title="Data quality",
            meaning="Values are missing, of the wrong kind, out of range or unseen: broken data rather than drift.",
            look=(
                "The sender first: what was deployed upstream since the date that is shown?",
                "Many columns at once: a join or a schema. One column: its own source.",
                "Errors of the model server: its own log says what the kinds mean that are named here.",
            ),
            do=(*_DECIDE, "Let the sender repair it; the evidence shows whether it has.", _VERDICT),
            over="When a person has resolved it.",
        ),
        Runbook(
            cause=Cause.LATENCY,
            title="Latency",
            meaning="Answers take longer, or less long, than on the reference.",
            look=(
                "The model server: load, garbage collection, a cold cache, another machine.",
                "One principal alone? Then the incident may be about cost: look at adversarial use.",
            ),
            do=(*_DECIDE, _VERDICT),
            over="When a person has resolved it.",
        ),
        Runbook(
            cause=Cause.PERFORMANCE,
            title="Lost performance",
            meaning="Labels say that answers are wrong more often, or by more, than on the reference.",
            look=(
                "The figures on the page of the version: which class is missed, and is it of many labels or of few?",
                "How late do labels come? What is wrong was answered that much before the date that is shown.",
                "Are inputs blamed, too? Then the model meets what it has not learnt; else what is true has changed.",
                "Who sends the labels? One source that has changed its mind looks the same as a model that fails.",
            ),
            do=(
                *_DECIDE,
                "Compare with a version that others trust: roll back to it where that one is right more often.",
                "Train anew where what is true has changed, and put a baseline with labels for the new version.",
                _VERDICT,
            ),
            over="When a person has resolved it; what was answered before a release is not held against it again.",
        ),
        Runbook(
            cause=Cause.TRAFFIC,
            title="Traffic",
            meaning="More or fewer events come than usual, or they are made otherwise; the model itself may be well.",
            look=(
                "Ask the senders: a launch, an outage, a retry loop, a replay?",
                "Unknown or absent fields: the form of the events was changed by the last deploy of a sender.",
            ),
            do=(*_DECIDE, _VERDICT),
            over="When a person has resolved it.",
        ),
        Runbook(
            cause=Cause.STALE,
            title="Silence",
            meaning="No events come at all. No evidence is needed for that, and nothing can be said about the model.",
            look=(
                "Does the model server still serve? Then its telemetry is cut off: keys, network, its own queue.",
                "Is the version held? A gate that is obeyed leaves nothing to see.",
            ),
            do=("Acknowledge the incident, so that others know that you are on it.", "Let the sender repair it."),
            over="By itself, with the next event.",
        ),
        Runbook(
            cause=Cause.ADVERSARIAL,
            title="Adversarial use",
            meaning="One client, or several together, works against the model. The model itself may be well.",
            look=(
                "How far they got along the tactics of ATLAS, and which principals are named.",
                "Is it one of your own explainers or robustness tests? They look alike.",
                "The requests behind it, if your key may read them: that you look goes on record.",
            ),
            do=(
                "Acknowledge the incident, so that others know that you are on it.",
                "Have the access of the principals looked at; contained ones are refused where the policy says so.",
                "Is it your own test? Let the principal go, and name it in the policy's explainers.",
                _VERDICT,
            ),
            over="When a person has resolved it; what was contained is let go when its time is over.",
        ),
    )
}
