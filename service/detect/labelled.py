"""Labels joined to the answers that they are about, and who reports them."""

from detectors.principals.feedback import LIMIT, Feedback, Reporter
from service.domain.adversarial import Following
from service.domain.ids import Micros
from service.domain.principals import Kind, ModelFinding
from service.domain.schema import PREDICTION
from service.frames import MISSING, Frame
from service.frames.labels import LabelRow, text_of

POISON, ERODE = "AML.T0020", "AML.T0059"
ID_MAX = 128
"""Characters of an event's id; those of longer ones are not joined."""


class LabelWatch:
    """Remembers the latest answers, and compares those who say what turned out to be true."""

    def __init__(self, following: Following) -> None:
        self.feedback = Feedback(following.labels_of_events, following.principals_max)

    def take(self, frame: Frame, rows: list[int], names: list[str]) -> None:
        """Remember the answers to the chosen requests of a frame."""
        if not names or frame.event_ids is None or PREDICTION not in frame.categorical_names:
            return
        ids, answers = list(frame.event_ids), frame.categorical[frame.categorical_names.index(PREDICTION)]
        codes = answers.codes.tolist()
        for row, name in zip(rows, names, strict=True):
            event = ids[row]
            if event is not None and len(event) <= ID_MAX and codes[row] > MISSING:
                self.feedback.remember(event, name, answers.labels[codes[row]])

    def report(self, labels: list[LabelRow], at_us: Micros) -> list[ModelFinding]:
        """Take labels, and return whom they accuse."""
        found = []
        for one in labels:
            told = self.feedback.report(one.principal or None, one.event_id, text_of(one.label), at_us)
            if told is not None and told[1].evidence >= LIMIT and not told[1].told:
                told[1].told = True
                found.append(_finding(*told, at_us))
        return found


def _finding(name: str, reporter: Reporter, at_us: Micros) -> ModelFinding:
    part = f"{reporter.contradicted} of its {reporter.reported} labels contradict the model"
    reasons = [f"{part}, more than those of others do for the same answers"] if reporter.answers >= LIMIT else []
    if reporter.labels >= LIMIT:
        reasons.append("its labels contradict those on which others agree")
    return ModelFinding(
        kind=Kind.POISONING,
        techniques=(POISON, ERODE),
        log_evidence=reporter.evidence,
        log_threshold=LIMIT,
        since_us=reporter.since,
        until_us=at_us,
        principals=(name,),
        queries=reporter.reported,
        reasons=tuple(reasons),
    )
