"""The metrics of notifications: what waits, what was given up, and how each channel is."""

from service.domain.notices import Backlog
from service.observability import Families


def add_notifications(families: Families, backlog: Backlog) -> None:
    """Add the families; they count from when a channel was first tried."""
    families.add("lazaretto_notifications_unrouted", backlog.unrouted)
    families.add("lazaretto_notifications_firing", backlog.firing)
    for name, waiting in sorted(backlog.channels.items()):
        families.add("lazaretto_notifications_pending", waiting.pending, name)
        families.add("lazaretto_notifications_dead", waiting.dead, name)
        if waiting.oldest_us is not None:
            families.add("lazaretto_notifications_oldest_timestamp_seconds", waiting.oldest_us / 1e6, name)
    for name, state in sorted(backlog.states.items()):
        families.add("lazaretto_channel_circuit", 1, name, state.circuit)
        families.add("lazaretto_channel_failing", state.failing_us is not None, name)
        families.add("lazaretto_channel_delivered_total", state.delivered_total, name)
        families.add("lazaretto_channel_failures_total", state.failures_total, name)
        families.add("lazaretto_channel_dead_letters_total", state.dead_total, name)
