"""Evidence beside that of all events together, such as of a segment; fused with it into the evidence of the model.

Every part has a share of the one false-alarm budget, and all events together have what is left. Blame goes to the
columns over the line of all parts together. *Inner* parts, such as segments, look at the same columns; *outer* ones
look at something else, take their share first, and may have none until they know enough.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError
from detectors.evidence import Evidence as WholeEvidence
from detectors.evidence import EvidenceEngine, PartEvidence, blamed_of, log_rest, mean_of
from service.domain.records import ColumnFinding

DescribeWhole = Callable[[NDArray[np.int64]], Sequence[ColumnFinding]]
StoredPart = tuple[str, bytes]
"""A part's name and its state, in a snapshot."""


class Outer(Protocol):
    """Evidence of its own, which whoever made it feeds and keeps."""

    @property
    def log_share(self) -> float:
        """Natural logarithm of its share of the budget; one that has -inf says nothing yet."""

    def evidence(self) -> PartEvidence:
        """Return what it says now."""

    def findings(self, places: NDArray[np.int64], tick_us: int) -> Sequence[ColumnFinding]:
        """Describe the change of some of its columns, in the order of ``places``."""


class Part(Protocol):
    """Evidence of its own, in ticks of its own."""

    @property
    def name(self) -> str:
        """Tells it apart from the other parts of its version."""

    @property
    def log_share(self) -> float:
        """Natural logarithm of its share of what the outer ones leave; it never changes."""

    def evidence(self) -> PartEvidence:
        """Return what it says now."""

    def step(self, tick: int, season: int) -> None:
        """Let what was counted in the tick that ends bear on its evidence; nothing, if nothing was."""

    def findings(self, places: NDArray[np.int64], tick_us: int) -> Sequence[ColumnFinding]:
        """Describe the change of some of its columns, in the order of ``places``."""

    def settle(self) -> None:
        """Note that an alarm was raised: what is kept of the change's beginning stays readable."""

    def to_bytes(self) -> bytes:
        """Return all that it remembers, the open tick included."""

    def restore(self, data: bytes) -> None:
        """Take that back, bit for bit; raise ``StateError`` or ``msgspec.MsgspecError`` when it does not fit."""


class Parts:
    """All parts of one version; without any, the evidence of the model is that of all events together, bit for bit."""

    def __init__(self, inner: Sequence[Part], outer: Sequence[Outer] = ()) -> None:
        self._inner, self._outer = tuple(inner), tuple(outer)
        self._log_rest = log_rest([part.log_share for part in inner])

    def __bool__(self) -> bool:
        """Tell whether any part has a share now."""
        return bool(self._inner or self._speaking)

    @property
    def _speaking(self) -> tuple[Outer, ...]:
        return tuple(part for part in self._outer if part.log_share > -math.inf)

    def step(self, tick: int, season: int) -> None:
        """Close the open tick of every inner part, of a season as from ``detectors.baseline.season_of``."""
        for part in self._inner:
            part.step(tick, season)

    def settle(self) -> None:
        """Note an alarm in every inner part."""
        for part in self._inner:
            part.settle()

    def log_model(self, bets: EvidenceEngine, read: WholeEvidence) -> float:
        """Return the evidence of the model; ``read`` is that of all events together."""
        if not self:
            return read.log_model
        return mean_of(self._all(bets, read))

    def log_inside(self, bets: EvidenceEngine, read: WholeEvidence) -> float:
        """Return the evidence of the model as if the outer parts had no share."""
        return mean_of(self._inside(bets, read)) if self._inner else read.log_model

    def findings(
        self, bets: EvidenceEngine, read: WholeEvidence, log_threshold: float, own: DescribeWhole, tick_us: int
    ) -> tuple[ColumnFinding, ...]:
        """Return the blamed columns of all parts, strongest first.

        ``own`` describes columns of all events together; each part describes its own at once, as it costs the same.
        """
        chosen, parts = blamed_of(self._all(bets, read), log_threshold), (*self._inner, *self._speaking)
        places: dict[int, list[int]] = {}
        for part, column in chosen:
            places.setdefault(part, []).append(column)
        found: dict[tuple[int, int], ColumnFinding] = {}
        for part, columns in places.items():
            wanted = np.array(columns)
            described = parts[part - 1].findings(wanted, tick_us) if part else own(wanted)
            found.update(zip(((part, column) for column in columns), described, strict=True))
        return tuple(found[each] for each in chosen)

    def stored(self) -> list[StoredPart]:
        """Return the inner parts as a snapshot keeps them."""
        return [(part.name, part.to_bytes()) for part in self._inner]

    def restore(self, stored: Sequence[StoredPart]) -> None:
        """Take them back.

        Raises
        ------
        StateError
            When they are of other parts.
        msgspec.MsgspecError
            When they are something else.
        """
        names = [part.name for part in self._inner]
        if [name for name, _ in stored] != names:
            raise StateError(f"the stored parts are {[name for name, _ in stored]}, not {names}")
        for part, (_, data) in zip(self._inner, stored, strict=True):
            part.restore(data)

    def _inside(self, bets: EvidenceEngine, read: WholeEvidence) -> list[PartEvidence]:
        whole = PartEvidence(
            log_share=self._log_rest,
            log_model=read.log_model,
            log_columns=read.log_columns,
            log_shares=bets.log_shares,
        )
        return [whole, *(part.evidence() for part in self._inner)]

    def _all(self, bets: EvidenceEngine, read: WholeEvidence) -> list[PartEvidence]:
        inner, outer = self._inside(bets, read), [part.evidence() for part in self._speaking]
        if not outer:
            return inner
        room = log_rest([evidence.log_share for evidence in outer])
        return [*(replace(evidence, log_share=evidence.log_share + room) for evidence in inner), *outer]
