"""What happens by the clock: a broken glass is over, a review is overdue. Runs in the API process, beside the gate.

Neither depends on it for more than being told: the gate closes by its own clock.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.ids import Micros, VersionId
from service.domain.reviews import Review
from service.domain.states import State
from service.gate.refresh import Fleet
from service.ports import Clock
from service.quarantine.review import escalates
from service.review.deadline import escalate
from service.review.glass import write_down_end
from service.review.stages import ReviewStages

_logger = logging.getLogger("lazaretto.review")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewWatch:
    """Called by the background threads of the API process."""

    stages: ReviewStages
    fleet: Fleet
    clock: Clock

    def close(self) -> None:
        """Write down the end of each glass whose time is over; looks at memory only while there is none."""
        view = self.fleet.view
        over = [one for one in view.broken.values() if one.ended_us is None and self.clock.now_us() >= one.until_us]
        for glass in over:
            version = view.by_id.get(glass.version_id)
            if version is not None and write_down_end(self.stages, glass, version):
                extra = {"model": version.model, "version": version.version, "reason": glass.reason}
                _logger.warning("broken glass is over", extra=extra)
        if over:
            self.fleet.refresh()

    def look(self) -> None:
        """Tell people of each review that nobody has decided in time."""
        view, now_us = self.fleet.view, self.clock.now_us()
        held = [version for version in view.by_id.values() if version.state is State.UNDER_REVIEW]
        if not held:
            return
        rows: Mapping[VersionId, Review] = self.stages.store.reviews()
        for version in held:
            if escalates(version, view.models[version.model].policy, rows.get(version.id), now_us) is None:
                continue
            told = escalate(self.stages, version)
            if told is not None:
                extra = {"model": version.model, "version": version.version, "reason": told}
                _logger.warning("review overdue", extra=extra)

    def let_through_until(self, version_id: VersionId) -> Micros:
        """Return until when events of a held version are no leak: a glass was broken; 0 when none was."""
        known = self.stages.store.glasses(version_id, 1)
        return max((one.until_us if one.ended_us is None else one.ended_us for one in known), default=Micros(0))
