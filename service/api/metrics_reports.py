"""What became of reports, as metrics."""

from itertools import accumulate

from service.domain.reports import REPORT_SECONDS, ReportFigures
from service.observability import Families


def add_reports(families: Families, figures: ReportFigures | None) -> None:
    """Add the families; without figures there are no reports."""
    if figures is None:
        return
    for outcome, number in (("done", figures.done), ("failed", figures.failed), ("refused", figures.refused)):
        families.add("lazaretto_reports_total", number, outcome)
    families.add("lazaretto_reports_waiting", figures.waiting)
    bounds = (*REPORT_SECONDS, float("inf"))
    buckets = dict(zip(bounds, accumulate(figures.counts), strict=True))
    families.add_histogram("lazaretto_report_seconds", buckets, figures.seconds)
