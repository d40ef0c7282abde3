"""What people said of alerts, and what they decide about held versions."""

from scripts.dashboards.panels import GOOD_OR_BAD, Panel, Query
from scripts.dashboards.promql import VERSION, gauge, told

NAME = "{{model}} {{version}}"
NOBODY = "No version is registered"
NOT_YET = "Nobody has judged an incident in 30 days"

JUDGED = (
    Panel(
        title="Verdicts of 30 days",
        description="What people said that incidents were.",
        queries=(Query(gauge("lazaretto_alert_verdicts", "verdict"), "{{verdict}}"),),
        unit="short",
        kind="bargauge",
        empty=NOT_YET,
    ),
    Panel(
        title="Worth it",
        description="Share of judged incidents of 30 days that were no false alarm.",
        queries=(Query(gauge("lazaretto_alert_precision", "job"), "worth it"),),
        unit="percentunit",
        kind="stat",
        empty=NOT_YET,
        maximum=1,
    ),
    Panel(
        title="False alarms against the promise",
        description="Incidents by evidence that people called false alarms in 30 days, and the promise.",
        queries=(
            Query(gauge("lazaretto_alert_false_alarms", "job"), "false alarms"),
            Query(gauge("lazaretto_alert_false_alarms_promised", "job"), "promised at most"),
        ),
        unit="short",
    ),
    Panel(
        title="Not judged",
        description="Incidents of 30 days without a verdict.",
        queries=(Query(gauge("lazaretto_alert_unjudged", "job"), "not judged"),),
        unit="short",
        kind="stat",
    ),
    Panel(
        title="Time until people act",
        description="Until an incident of 30 days was acknowledged, and until it was decided.",
        queries=(Query(gauge("lazaretto_alert_seconds", "what, quantile"), "{{what}} {{quantile}}"),),
        unit="s",
        kind="bargauge",
        empty="Nobody has acknowledged or decided anything in 30 days",
    ),
)

DECIDED = (
    Panel(
        title="Broken glass",
        description="1 while one person lets a held version serve.",
        queries=(Query(gauge("lazaretto_break_glass", VERSION), NAME),),
        unit="bool_yes_no",
        kind="stat",
        empty=NOBODY,
        steps=GOOD_OR_BAD,
        in_console=True,
    ),
    Panel(
        title="How often the glass was broken",
        description="In the interval, by version.",
        queries=(Query(told("lazaretto_break_glass_total", VERSION, over="increase"), NAME),),
        unit="short",
        empty=NOBODY,
        in_console=True,
    ),
    Panel(
        title="Reviews past their deadline",
        description="How long ago the deadline of a review was.",
        queries=(Query(gauge("lazaretto_review_overdue_seconds", VERSION), NAME),),
        unit="s",
        kind="bargauge",
        empty="No version is under review",
        in_console=True,
    ),
    Panel(
        title="Baselines that wait",
        description="Proposed baselines that another person has to accept or refuse.",
        queries=(Query(gauge("lazaretto_baselines_proposed", VERSION), NAME),),
        unit="short",
        empty=NOBODY,
        in_console=True,
    ),
)
