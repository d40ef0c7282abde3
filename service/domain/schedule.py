"""When the red team is due, who runs it, and what became of its runs. Pure: nothing is written here."""

from dataclasses import dataclass, replace
from enum import StrEnum

from service.domain.ids import Micros

DETAIL_MAX = 500
NEVER = Micros(0)


class Outcome(StrEnum):
    """What became of the latest run."""

    NONE = "none"
    """There was none yet."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Where the schedule stands; one for all replicas."""

    next_us: Micros = NEVER
    """When the next run is due; at once, while there was none."""
    owner: str | None = None
    """Who runs it now."""
    lease_until_us: Micros = NEVER
    """Until when nobody else does, whatever becomes of the owner."""
    begun_us: Micros = NEVER
    ended_us: Micros = NEVER
    good_us: Micros = NEVER
    """When a run last ended well."""
    outcome: Outcome = Outcome.NONE
    detail: str = ""
    done: int = 0
    failed: int = 0
    """Those that were too slow, and those whose process was lost, too."""
    missed: int = 0
    """Turns that went by while nobody was there, or while another run was on."""

    def claimed(self, owner: str, now_us: Micros, every_us: int, lease_us: int) -> "Schedule | None":
        """Return the schedule with a run begun; ``None`` while none is due, or another one is on."""
        if now_us < max(self.next_us, self.lease_until_us):
            return None
        lost = self.outcome is Outcome.RUNNING
        late = (now_us - self.next_us) // every_us if self.next_us else 0
        return replace(
            self,
            next_us=Micros(now_us + every_us),
            owner=owner,
            lease_until_us=Micros(now_us + lease_us),
            begun_us=now_us,
            outcome=Outcome.RUNNING,
            detail="the process of the run before was lost" if lost else "",
            failed=self.failed + lost,
            missed=self.missed + late,
        )

    def ended(self, owner: str, now_us: Micros, outcome: Outcome, detail: str) -> "Schedule | None":
        """Return the schedule after a run; ``None`` when it is somebody else's by now."""
        if self.owner != owner or self.outcome is not Outcome.RUNNING:
            return None
        good = outcome is Outcome.DONE
        return replace(
            self,
            owner=None,
            lease_until_us=NEVER,
            ended_us=now_us,
            good_us=now_us if good else self.good_us,
            outcome=outcome,
            detail=detail[:DETAIL_MAX],
            done=self.done + good,
            failed=self.failed + (not good),
        )
