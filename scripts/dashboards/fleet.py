"""The fleet: which models are in trouble, and which are about to be."""

from scripts.dashboards.panels import GOOD_OR_BAD, NO_MODEL, Dashboard, Panel, Query, Row
from scripts.dashboards.promql import STOPPED, VERSION, age, at_least_zero, gauge, told

NAME = "{{model}} {{version}}"
STATE = "lazaretto_model_state"
EVIDENCE = "lazaretto_model_evidence_log"
THRESHOLD = "lazaretto_model_threshold_log"
STALE = 'monitoring="stale"'
SERVING = 'state=~"active|suspect"'
NOT_ACTIVE = 'state!="active"'

NOW = (
    Panel(
        title="Versions",
        description="Registered versions of all models.",
        queries=(Query(at_least_zero(f"count({gauge(STATE, VERSION)})"), "versions"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        base="blue",
    ),
    Panel(
        title="Out of service",
        description="Versions in quarantine or under review: their gate says no.",
        queries=(Query(at_least_zero(f"count({gauge(STATE, VERSION, STOPPED)})"), "out of service"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=GOOD_OR_BAD,
        runbook="LazarettoModelQuarantined",
    ),
    Panel(
        title="Over their budget",
        description="Versions whose evidence has reached the alarm threshold.",
        queries=(
            Query(
                at_least_zero(f"count({gauge(EVIDENCE, VERSION)} >= {gauge(THRESHOLD, VERSION)})"),
                "over budget",
            ),
        ),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=GOOD_OR_BAD,
        runbook="LazarettoEvidenceOverBudget",
    ),
    Panel(
        title="Open alerts",
        description="Open alerts of all versions and causes.",
        queries=(Query(at_least_zero(f"sum({gauge('lazaretto_open_alerts', f'{VERSION}, cause')})"), "open alerts"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=((1, "orange"),),
    ),
    Panel(
        title="Stale",
        description="Versions whose events have stopped: nothing can be judged.",
        queries=(Query(at_least_zero(f"count({gauge('lazaretto_model_monitoring', VERSION, STALE)})"), "stale"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=((1, "orange"),),
        runbook="LazarettoModelStale",
    ),
    Panel(
        title="Not obeyed",
        description="Versions in quarantine that still serve after the deadline.",
        queries=(Query(at_least_zero(f"sum({gauge('lazaretto_enforcement_overdue', VERSION)})"), "not obeyed"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=GOOD_OR_BAD,
        runbook="LazarettoQuarantineNotEnforced",
    ),
)

WATCH = (
    Panel(
        title="Evidence, as a share of its threshold",
        description="The 20 versions closest to an alarm. 1 is the alarm; shares are of logarithms.",
        queries=(Query(f"topk(20, {gauge(EVIDENCE, VERSION)} / {gauge(THRESHOLD, VERSION)})", NAME),),
        unit="percentunit",
        width=16,
        height=9,
        empty="No version has evidence: none has a baseline, or no tick was judged yet",
        steps=((0.8, "orange"), (1, "red")),
        runbook="LazarettoEvidenceOverBudget",
        in_console=True,
    ),
    Panel(
        title="Versions by state",
        description="How many versions are in each state.",
        queries=(Query(f"count by (state) ({gauge(STATE, f'{VERSION}, state')})", "{{state}}"),),
        unit="short",
        height=9,
        empty=NO_MODEL,
    ),
    Panel(
        title="Versions that are not simply active",
        description="Suspect, in quarantine, under review, rolled back or retired.",
        queries=(Query(gauge(STATE, f"{VERSION}, state", NOT_ACTIVE), ""),),
        unit="none",
        kind="table",
        width=12,
        height=9,
        empty="Every version is active",
        in_console=True,
    ),
    Panel(
        title="How versions are watched",
        description="watching; warming without a baseline; insufficient; stale without events.",
        queries=(
            Query(
                f"count by (monitoring) ({gauge('lazaretto_model_monitoring', f'{VERSION}, monitoring')})",
                "{{monitoring}}",
            ),
        ),
        unit="short",
        width=12,
        height=9,
        empty=NO_MODEL,
    ),
)

TRAFFIC = (
    Panel(
        title="Events",
        description="Events a second of the 20 busiest versions, as the worker has counted them.",
        queries=(Query(f"topk(20, {told('lazaretto_model_events_total', VERSION)})", NAME),),
        unit="reqps",
        empty=NO_MODEL,
        in_console=True,
    ),
    Panel(
        title="Errors",
        description="Share of events with an error, of the 20 worst versions.",
        queries=(
            Query(
                f"topk(20, {told('lazaretto_model_errors_total', VERSION)} / "
                f"({told('lazaretto_model_events_total', VERSION)} > 0))",
                NAME,
            ),
        ),
        unit="percentunit",
        empty="No version whose traffic is watched has had events in this time",
        steps=((0.05, "orange"),),
        in_console=True,
    ),
    Panel(
        title="Silence",
        description="Time since the last event, of the 20 most silent versions in service.",
        queries=(
            Query(
                f"topk(20, ({age('lazaretto_model_last_event_timestamp_seconds', VERSION)}) and "
                f"{gauge(STATE, VERSION, SERVING)})",
                NAME,
            ),
        ),
        unit="s",
        empty="No version in service has had an event",
        steps=((300, "orange"),),
        runbook="LazarettoModelStale",
        in_console=True,
    ),
    Panel(
        title="Open alerts by cause",
        description="What is wrong, over all versions.",
        queries=(Query(f"sum by (cause) ({gauge('lazaretto_open_alerts', f'{VERSION}, cause')})", "{{cause}}"),),
        unit="short",
        empty="No alert is open",
    ),
    Panel(
        title="Leaks",
        description="Events of versions that should get none: somebody does not ask the gate.",
        queries=(Query(f"topk(20, {told('lazaretto_model_leaks_total', VERSION, over='increase')})", NAME),),
        unit="short",
        empty=NO_MODEL,
        steps=GOOD_OR_BAD,
        runbook="LazarettoQuarantineLeak",
        in_console=True,
    ),
    Panel(
        title="Labels",
        description="Labels a second that the worker has counted, of the 20 versions with most.",
        queries=(Query(f"topk(20, {told('lazaretto_model_labels_total', VERSION)})", NAME),),
        unit="reqps",
        empty=NO_MODEL,
    ),
)

FLEET = Dashboard(
    uid="lazaretto-fleet",
    title="Lazaretto / Fleet",
    description="Which models are out of service, over their budget, or silent.",
    rows=(Row("Now", NOW), Row("Watch", WATCH), Row("Traffic", TRAFFIC)),
)
