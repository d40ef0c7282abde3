"""What waits for people, as metrics."""

from service.domain.ids import Micros
from service.domain.reviews import ReviewFigures
from service.gate.fleet import FleetView
from service.observability import Families
from service.quarantine.review import standing_of


def add_reviews(families: Families, view: FleetView, figures: ReviewFigures, now_us: Micros) -> None:
    """Show broken glass, overdue reviews and proposed baselines.

    Parameters
    ----------
    families
        To add to.
    view
        The gate's own picture: whether glass is broken is told from it at once.
    figures
        What the store said.
    now_us
        The time.
    """
    for version in view.by_id.values():
        labels = (version.model, version.version)
        families.add("lazaretto_break_glass", view.lets_through(version), *labels)
        families.add("lazaretto_break_glass_total", figures.broken_total.get(version.id, 0), *labels)
        families.add("lazaretto_baselines_proposed", figures.proposed.get(version.id, 0), *labels)
        policy = view.models[version.model].policy
        standing = standing_of(version, policy, figures.escalations.get(version.id), now_us)
        if standing is not None:
            families.add("lazaretto_review_overdue_seconds", max(0.0, (now_us - standing.due_us) / 1e6), *labels)
