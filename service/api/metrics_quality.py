"""The metrics of the quality of alerts: of all models together, so that their number never grows."""

from dataclasses import dataclass, field

from service.alert.quality import Quality, quality
from service.domain.ids import Micros
from service.observability import Families
from service.ports import Clock
from service.ports_incidents import IncidentDesk

DAYS = 30
EVERY_US = 60_000_000
INCIDENTS_MAX = 10_000


@dataclass
class QualityFigures:
    """Reads the quality of the last thirty days at most once a minute."""

    desk: IncidentDesk
    clock: Clock
    _read_us: int = field(default=0, init=False)
    _quality: Quality | None = field(default=None, init=False)

    def __call__(self) -> Quality | None:
        """Return it, as of a minute ago at most."""
        now_us = self.clock.now_us()
        if self._quality is None or now_us - self._read_us >= EVERY_US:
            since_us = Micros(now_us - DAYS * 86_400_000_000)
            self._quality = quality(self.desk.judged(since_us, INCIDENTS_MAX), self.desk.exposures(since_us))
            self._read_us = now_us
        return self._quality


def add_quality(families: Families, found: Quality | None) -> None:
    """Add the families; of nothing there is no share and no time."""
    if found is None:
        return
    for verdict, number in found.verdicts.items():
        families.add("lazaretto_alert_verdicts", number, verdict.value)
    families.add("lazaretto_alert_unjudged", found.unjudged)
    if found.precision.ratio is not None:
        families.add("lazaretto_alert_precision", found.precision.ratio)
    families.add("lazaretto_alert_false_alarms", found.promise.achieved)
    families.add("lazaretto_alert_false_alarms_promised", found.promise.promised)
    for name, seconds in (("acknowledge", found.acknowledge), ("decide", found.decide)):
        if seconds.median is not None and seconds.p90 is not None:
            families.add("lazaretto_alert_seconds", seconds.median, name, "0.5")
            families.add("lazaretto_alert_seconds", seconds.p90, name, "0.9")
