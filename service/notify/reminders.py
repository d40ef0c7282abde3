"""What people were not told of at its time: told again, under the same labels, when nothing hushes it any more."""

from dataclasses import replace

from service.domain.ids import Micros
from service.domain.incidents import Hush
from service.domain.records import Alert, Incident, Message, Version
from service.notify.adversarial import use_opened
from service.notify.compose import alert_opened, compose

AFTER = {
    Hush.SNOOZED: "snooze is over",
    Hush.MAINTENANCE: "maintenance is over",
    Hush.COOLDOWN: "cooldown is over",
}


def still_there(alert: Alert, incident: Incident, version: Version, why: Hush, at_us: Micros) -> Message:
    """Say that an incident is still there after it was hushed."""
    use = alert.adversarial
    notice = alert_opened(alert, incident, version) if use is None else use_opened(alert, use, incident, version, ())
    return compose(
        replace(
            notice,
            key=f"{alert.id}:still:{at_us}",
            summary=f"Still there ({AFTER[why]}): {incident.title}",
            at_us=at_us,
            annotations={**notice.annotations, "told_again": why.value},
        )
    )
