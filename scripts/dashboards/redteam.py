"""The red team: what attacks the monitor sees in time, and whether anybody still looks."""

from scripts.dashboards.panels import GOOD_OR_BAD, NO_MODEL, Dashboard, Panel, Query, Row
from scripts.dashboards.promql import CHOSEN, VERSION, at_least_zero, gauge, told

RATIO = "lazaretto_redteam_detection_ratio"
HELD = "lazaretto_redteam_defence_held"
NAME = "{{model}} {{version}}"
NO_RUN = "No red-team run was filed at a version"
NO_SCHEDULE = "The service runs no red team by itself: redteam_plan is not set"
DAY = 86_400

COVERAGE = (
    Panel(
        title="Blind spots",
        description="Attacks of which fewer than half of the successful sessions were seen in time.",
        queries=(Query(at_least_zero(f"count({gauge(RATIO, f'{VERSION}, attack', CHOSEN)} < 0.5)"), "blind spots"),),
        unit="short",
        kind="stat",
        width=6,
        height=4,
        steps=GOOD_OR_BAD,
        runbook="LazarettoRedTeamBlindSpot",
    ),
    Panel(
        title="Broken defences",
        description="Scenarios against the service itself whose defence did not hold.",
        queries=(
            Query(at_least_zero(f"count({gauge(HELD, f'{VERSION}, scenario', CHOSEN)} == 0)"), "broken defences"),
        ),
        unit="short",
        kind="stat",
        width=6,
        height=4,
        steps=GOOD_OR_BAD,
        runbook="LazarettoDefenceBroken",
    ),
    Panel(
        title="Lowest detection",
        description="Share of successful sessions seen in time, of the attack that is seen least.",
        queries=(Query(f"min by ({VERSION}) ({gauge(RATIO, f'{VERSION}, attack', CHOSEN)})", NAME),),
        unit="percentunit",
        kind="stat",
        width=6,
        height=4,
        empty=NO_RUN,
        base="red",
        steps=((0.5, "orange"), (0.9, "green")),
        runbook="LazarettoRedTeamBlindSpot",
    ),
    Panel(
        title="Age of the latest results",
        description="Since the latest run was filed at a version.",
        queries=(Query(gauge("lazaretto_redteam_age_seconds", VERSION, CHOSEN), NAME),),
        unit="s",
        kind="stat",
        width=6,
        height=4,
        empty=NO_RUN,
        steps=((14 * DAY, "orange"), (30 * DAY, "red")),
        runbook="LazarettoRedTeamStale",
    ),
    Panel(
        title="Detection by attack",
        description="Share of successful sessions seen in time; of several victims the lowest.",
        queries=(Query(gauge(RATIO, f"{VERSION}, attack", CHOSEN), "{{version}} {{attack}}"),),
        unit="percentunit",
        kind="bargauge",
        width=12,
        height=12,
        empty=NO_RUN,
        base="red",
        steps=((0.5, "orange"), (0.9, "green")),
        maximum=1,
        in_console=True,
    ),
    Panel(
        title="Defences of the service",
        description="1 where the defence held against a scenario of the latest run, 0 where it was broken.",
        queries=(Query(gauge(HELD, f"{VERSION}, scenario", CHOSEN), ""),),
        unit="bool_yes_no",
        kind="table",
        width=12,
        height=12,
        empty=NO_RUN + " with scenarios",
        base="red",
        steps=((1, "green"),),
    ),
)

SCHEDULE = (
    Panel(
        title="Runs that the service started",
        description="Red-team runs of the schedule, by outcome, in the interval.",
        queries=(Query(told("lazaretto_redteam_schedule_runs_total", "outcome", over="increase"), "{{outcome}}"),),
        unit="short",
        width=6,
        empty=NO_SCHEDULE,
        runbook="LazarettoRedTeamFailed",
    ),
    Panel(
        title="Running",
        description="Whether a run of the schedule is on.",
        queries=(Query(gauge("lazaretto_redteam_schedule_running", "job"), "running"),),
        unit="bool_yes_no",
        kind="stat",
        width=6,
        empty=NO_SCHEDULE,
        base="blue",
    ),
    Panel(
        title="Overdue",
        description="Since a run of the schedule was due that has not begun.",
        queries=(Query(gauge("lazaretto_redteam_schedule_overdue_seconds", "job"), "overdue"),),
        unit="s",
        kind="stat",
        width=6,
        empty=NO_SCHEDULE,
        steps=((3_600, "orange"),),
        runbook="LazarettoRedTeamOverdue",
    ),
    Panel(
        title="Since a run ended well",
        description="Since a run of the schedule last ended well.",
        queries=(Query(gauge("lazaretto_redteam_schedule_age_seconds", "job"), "age"),),
        unit="s",
        kind="stat",
        width=6,
        empty=NO_SCHEDULE + ", or no run has ended well",
        steps=((14 * DAY, "orange"),),
        runbook="LazarettoRedTeamOverdue",
    ),
)

REAL = (
    Panel(
        title="Adversarial use by tier",
        description="Open alerts about real principals, over the chosen versions.",
        queries=(
            Query(
                f"sum by (tier) ({gauge('lazaretto_open_adversarial_alerts', f'{VERSION}, tier', CHOSEN)})",
                "{{tier}}",
            ),
        ),
        unit="short",
        width=12,
        empty="Nobody is accused",
        runbook="LazarettoAdversarialIntent",
    ),
    Panel(
        title="Contained principals",
        description="Principals that the gate keeps from the chosen versions now.",
        queries=(Query(gauge("lazaretto_contained_principals", VERSION, CHOSEN), NAME),),
        unit="short",
        width=12,
        empty=NO_MODEL,
        in_console=True,
    ),
)

REDTEAM = Dashboard(
    uid="lazaretto-red-team",
    title="Lazaretto / Red team",
    description="Which attacks are seen in time, whether the defences held, and whether anybody still looks.",
    rows=(Row("Coverage", COVERAGE), Row("Schedule", SCHEDULE), Row("Real principals", REAL)),
    variables=(("model", "lazaretto_model_state"), ("version", "lazaretto_model_state")),
)
