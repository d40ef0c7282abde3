"""One model: its evidence, what it is made of, and what comes in."""

from scripts.dashboards.panels import GOOD_OR_BAD, NO_MODEL, Dashboard, Panel, Query, Row
from scripts.dashboards.promql import CHOSEN, VERSION, age, at_least_zero, gauge, told

NAME = "{{model}} {{version}}"
EVENTS = "lazaretto_model_events_total"
EXAMINED = "lazaretto_requests_examined_total"
FATES = "lazaretto_model_label_fates_total"
NO_LABELS = "No label has come that is about an answer"
NO_QUARANTINE = "The version was never in quarantine"
NO_REQUESTS = "Single requests are not looked at: adversarial.requests is off, or nothing came"

JUDGEMENT = (
    Panel(
        title="State",
        description="State of the chosen versions.",
        queries=(Query(gauge("lazaretto_model_state", f"{VERSION}, state", CHOSEN), "{{version}}: {{state}}"),),
        unit="none",
        kind="stat",
        width=6,
        height=4,
        empty=NO_MODEL,
        base="blue",
        runbook="LazarettoModelQuarantined",
        in_console=True,
    ),
    Panel(
        title="How it is watched",
        description="watching; warming without a baseline; insufficient; stale without events.",
        queries=(
            Query(gauge("lazaretto_model_monitoring", f"{VERSION}, monitoring", CHOSEN), "{{version}}: {{monitoring}}"),
        ),
        unit="none",
        kind="stat",
        width=6,
        height=4,
        empty=NO_MODEL,
        base="blue",
    ),
    Panel(
        title="Open alerts",
        description="Open alerts of the chosen versions.",
        queries=(
            Query(at_least_zero(f"sum({gauge('lazaretto_open_alerts', f'{VERSION}, cause', CHOSEN)})"), "open alerts"),
        ),
        unit="short",
        kind="stat",
        width=6,
        height=4,
        steps=((1, "orange"),),
    ),
    Panel(
        title="Since the last event",
        description="Nothing can be judged without events.",
        queries=(Query(age("lazaretto_model_last_event_timestamp_seconds", VERSION, CHOSEN), NAME),),
        unit="s",
        kind="stat",
        width=6,
        height=4,
        empty="No event has come yet",
        steps=((300, "orange"),),
        runbook="LazarettoModelStale",
    ),
    Panel(
        title="Evidence and threshold",
        description="Natural logarithms. Evidence at the threshold is an alarm; evidence around 0 says nothing.",
        queries=(
            Query(gauge("lazaretto_model_evidence_log", VERSION, CHOSEN), "evidence " + NAME),
            Query(gauge("lazaretto_model_threshold_log", VERSION, CHOSEN), "threshold " + NAME),
        ),
        unit="none",
        width=16,
        height=10,
        empty=NO_MODEL,
        runbook="LazarettoEvidenceOverBudget",
        in_console=True,
    ),
    Panel(
        title="Effect sizes",
        description="PSI and Jensen-Shannon distance of the last hour, of the columns with the strongest evidence.",
        queries=(
            Query(
                gauge("lazaretto_column_effect", f"{VERSION}, column, effect", CHOSEN),
                "{{version}} {{column}} {{effect}}",
            ),
        ),
        unit="none",
        height=10,
        empty="No effect over the last hour: no baseline, or no events",
        steps=((0.2, "orange"),),
        in_console=True,
    ),
)

TRAFFIC = (
    Panel(
        title="Events",
        description="Events a second, as the worker has counted them.",
        queries=(Query(told(EVENTS, VERSION, CHOSEN), NAME),),
        unit="reqps",
        empty=NO_MODEL,
        in_console=True,
    ),
    Panel(
        title="Errors",
        description="Share of events with an error.",
        queries=(
            Query(
                f"{told('lazaretto_model_errors_total', VERSION, CHOSEN)} / ({told(EVENTS, VERSION, CHOSEN)} > 0)",
                NAME,
            ),
        ),
        unit="percentunit",
        empty="No events in this time, or the traffic is not watched",
        steps=((0.05, "orange"),),
    ),
    Panel(
        title="Labels",
        description="Labels a second, as the worker has counted them.",
        queries=(Query(told("lazaretto_model_labels_total", VERSION, CHOSEN), NAME),),
        unit="reqps",
        empty=NO_MODEL,
    ),
)

PERFORMANCE = (
    Panel(
        title="Answers against labels",
        description="Of the last day: wrong answers, balanced accuracy, log loss and calibration error, or errors.",
        queries=(
            Query(gauge("lazaretto_model_performance", f"{VERSION}, figure", CHOSEN), "{{version}} {{figure}}"),
            Query(
                gauge("lazaretto_model_performance_baseline", f"{VERSION}, figure", CHOSEN),
                "{{version}} {{figure}} of the reference",
            ),
        ),
        unit="none",
        width=12,
        height=9,
        empty=NO_LABELS,
        in_console=True,
    ),
    Panel(
        title="What became of labels",
        description="Labels a second: joined with their answer, repeated, too late, of unknown events, or unfit.",
        queries=(Query(told(FATES, f"{VERSION}, fate", CHOSEN), "{{version}} {{fate}}"),),
        unit="reqps",
        width=6,
        height=9,
        empty=NO_LABELS,
    ),
    Panel(
        title="Label delay",
        description="From an answer to its label, median and 95 %, of the labels of the last day.",
        queries=(
            Query(
                gauge("lazaretto_model_label_delay_seconds", f"{VERSION}, quantile", CHOSEN), "{{version}} {{quantile}}"
            ),
        ),
        unit="s",
        width=6,
        height=9,
        empty=NO_LABELS,
    ),
)

ENFORCEMENT = (
    Panel(
        title="Leaks",
        description="Events of a version that should get none.",
        queries=(Query(told("lazaretto_model_leaks_total", VERSION, CHOSEN, over="increase"), NAME),),
        unit="short",
        empty=NO_MODEL,
        steps=GOOD_OR_BAD,
        runbook="LazarettoQuarantineLeak",
    ),
    Panel(
        title="Time until a quarantine held",
        description="From the newest quarantine to the first request that the gate kept from the version.",
        queries=(Query(gauge("lazaretto_enforcement_seconds", VERSION, CHOSEN), NAME),),
        unit="s",
        kind="stat",
        empty=NO_QUARANTINE + ", or nobody has asked since",
        steps=((60, "orange"),),
    ),
    Panel(
        title="Serves after the deadline",
        description="1 while a version in quarantine still serves.",
        queries=(Query(gauge("lazaretto_enforcement_overdue", VERSION, CHOSEN), NAME),),
        unit="bool_yes_no",
        kind="stat",
        empty=NO_QUARANTINE,
        steps=GOOD_OR_BAD,
        runbook="LazarettoQuarantineNotEnforced",
    ),
)

ADVERSARIAL = (
    Panel(
        title="Open alerts by cause",
        description="What is wrong with the chosen versions.",
        queries=(Query(gauge("lazaretto_open_alerts", f"{VERSION}, cause", CHOSEN), "{{version}} {{cause}}"),),
        unit="short",
        width=6,
        empty="No alert is open",
    ),
    Panel(
        title="Adversarial use by tier",
        description="Open alerts about adversarial use.",
        queries=(
            Query(gauge("lazaretto_open_adversarial_alerts", f"{VERSION}, tier", CHOSEN), "{{version}} {{tier}}"),
        ),
        unit="short",
        width=6,
        empty="Nobody is accused",
        runbook="LazarettoAdversarialIntent",
    ),
    Panel(
        title="Contained principals",
        description="Principals that the gate keeps from the version now. Who they are stands in the console only.",
        queries=(Query(gauge("lazaretto_contained_principals", VERSION, CHOSEN), NAME),),
        unit="short",
        width=6,
        empty=NO_MODEL,
        in_console=True,
    ),
    Panel(
        title="Odd requests",
        description="Share of examined requests with at least this score. Of ordinary traffic 1 % have 0.99 or more.",
        queries=(
            Query(
                f"{told('lazaretto_requests_odd_total', f'{VERSION}, score', CHOSEN)} / on ({VERSION}) "
                f"group_left () ({told(EXAMINED, VERSION, CHOSEN)} > 0)",
                "{{version}} at least {{score}}",
            ),
        ),
        unit="percentunit",
        width=6,
        empty=NO_REQUESTS,
    ),
)

MODEL = Dashboard(
    uid="lazaretto-model",
    title="Lazaretto / Model",
    description="Evidence of one model, what it is made of, and whether its quarantine holds.",
    rows=(
        Row("Judgement", JUDGEMENT),
        Row("Traffic", TRAFFIC),
        Row("Performance", PERFORMANCE),
        Row("Enforcement", ENFORCEMENT),
        Row("Alerts and adversarial use", ADVERSARIAL),
    ),
    variables=(("model", "lazaretto_model_state"), ("version", "lazaretto_model_state")),
)
