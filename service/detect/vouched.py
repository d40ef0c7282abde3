"""Canaries and artefacts: what the model server says of an event against what an operator vouches for.

Only the server's own words are looked at: clients who cannot write an event's ``segment`` cannot accuse a model.
"""

import numpy as np

from service.domain.ids import Micros
from service.domain.principals import Kind, ModelFinding
from service.domain.schema import PREDICTION, PROBABILITY_PREFIX
from service.domain.vouched import ARTEFACT_SEGMENT, CANARY_SEGMENT, Canary, Vouched, digest_of
from service.frames import MISSING, Coded, Frame

CHANGED, CORRUPT, SUPPLY = "AML.T0018", "AML.T0076", "AML.T0010.003"
NAMED_MAX = 5
NAMED = tuple(name.encode() for name in (ARTEFACT_SEGMENT, CANARY_SEGMENT))


class VouchedWatch:
    """Checks events that name an artefact or a canary.

    Attributes
    ----------
    checked, wrong, odd : int
        Events with a canary whose answer was compared; those with another answer; and those with an unknown canary, a
        digest that is none, or no answer.
    """

    def __init__(self) -> None:
        self.checked = self.wrong = self.odd = 0

    def check(self, frame: Frame, vouched: Vouched, at_us: Micros) -> list[ModelFinding]:
        """Return what the events of a frame say against what is vouched for."""
        found = []
        if vouched.artefact is not None and ARTEFACT_SEGMENT in frame.segments:
            found += self._artefact(frame.segments[ARTEFACT_SEGMENT], vouched.artefact, at_us)
        if vouched.canaries and CANARY_SEGMENT in frame.segments:
            found += self._canaries(frame, {canary.key: canary for canary in vouched.canaries}, at_us)
        return found

    def _artefact(self, said: Coded, registered: str, at_us: Micros) -> list[ModelFinding]:
        present = np.unique(said.codes[said.codes > MISSING]).tolist()
        digests = [digest_of(said.labels[code]) for code in present]
        self.odd += digests.count(None)
        others = sorted({digest for digest in digests if digest is not None} - {digest_of(registered)})
        if not others:
            return []
        shown = ", ".join(other[:12] for other in others[:NAMED_MAX])
        reason = f"a model with SHA-256 {shown} answered, not the registered {str(digest_of(registered))[:12]}"
        return [_finding(Kind.ARTEFACT, (SUPPLY, CHANGED), at_us, reason)]

    def _canaries(self, frame: Frame, known: dict[str, Canary], at_us: Micros) -> list[ModelFinding]:
        said, wrong = frame.segments[CANARY_SEGMENT], []
        for row in np.flatnonzero(said.codes > MISSING).tolist():
            canary = known.get(said.labels[said.codes[row]])
            answer = None if canary is None else _answer(frame, row, canary)
            if canary is None or answer is None:
                self.odd += 1
                continue
            self.checked += 1
            if not answer:
                wrong.append(canary.key)
        self.wrong += len(wrong)
        if not wrong:
            return []
        named = ", ".join(f"'{key[:40]}'" for key in sorted(set(wrong))[:NAMED_MAX])
        return [_finding(Kind.CANARY, (CHANGED, CORRUPT), at_us, f"answered otherwise than known: {named}")]


def _answer(frame: Frame, row: int, canary: Canary) -> bool | None:
    """Tell whether an event answers a canary as it should; ``None`` when it has no answer."""
    if not isinstance(canary.prediction, str):
        value = _number(frame, PREDICTION, row)
        return None if value is None else abs(value - canary.prediction) <= canary.tolerance
    if PREDICTION not in frame.categorical_names:
        return None
    told = frame.categorical[frame.categorical_names.index(PREDICTION)]
    code = int(told.codes[row])
    if code <= MISSING:
        return None
    if told.labels[code] != canary.prediction:
        return False
    if canary.confidence is None:
        return True
    value = _number(frame, PROBABILITY_PREFIX + canary.prediction, row)
    # The class is right; without a probability its confidence cannot be compared.
    return None if value is None else abs(value - canary.confidence) <= canary.tolerance


def _number(frame: Frame, name: str, row: int) -> float | None:
    if name not in frame.numeric_names:
        return None
    value = float(frame.numeric[frame.numeric_names.index(name), row])
    return value if np.isfinite(value) else None


def _finding(kind: Kind, techniques: tuple[str, ...], at_us: Micros, reason: str) -> ModelFinding:
    return ModelFinding(kind=kind, techniques=techniques, since_us=at_us, until_us=at_us, reasons=(reason,))
