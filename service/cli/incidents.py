"""``lazaretto alert-quality``: works on the state store itself, also while a server runs."""

from typing import Annotated

import typer

from service.cli.common import AsJson, DataDir, load_settings, open_state, print_json, print_table

INCIDENTS_MAX = 10_000
DAY_US = 86_400_000_000


def alert_quality(
    model: Annotated[str | None, typer.Option("--model", help="Only of this model.")] = None,
    days: Annotated[float, typer.Option("--days", min=0.01, max=400, help="How many days back.")] = 30.0,
    data_dir: DataDir = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show how good alerts were: precision, times, and false alarms against the promise."""
    from service.alert.quality import by_model, quality
    from service.api.views_incidents import QualityView, of_quality
    from service.cli.failures import Failure
    from service.clock import SystemClock
    from service.domain.ids import Micros

    store = open_state(load_settings(data_dir=data_dir))
    try:
        if model is not None and store.read.model(model) is None:
            raise Failure(f"there is no model '{model}'")
        since_us = Micros(SystemClock().now_us() - round(days * DAY_US))
        incidents = store.incidents.judged(since_us, INCIDENTS_MAX, None if model is None else {model})
        exposures = [one for one in store.incidents.exposures(since_us) if model in {None, one.model}]
    finally:
        store.close()
    total = of_quality(quality(incidents, exposures))
    models = {name: of_quality(one) for name, one in by_model(incidents, exposures).items()}
    if as_json:
        print_json({"total": total, "models": models})
        return

    def row(name: str, view: QualityView) -> list[str]:
        precision, alarms = view.precision, view.false_alarms
        low, high = precision.interval or (0.0, 1.0)
        share = "-" if precision.ratio is None else f"{precision.ratio:.0%} ({low:.0%} to {high:.0%})"
        promise = f"{alarms.achieved} of {alarms.promised:.2g}" + ("" if alarms.kept else ", broken")
        times = (view.seconds_to_acknowledge.median, view.seconds_to_decide.median)
        return [name, str(view.incidents), str(view.unjudged), share, *(_minutes(one) for one in times), promise]

    heads = ["model", "incidents", "unjudged", "precision", "acknowledged", "decided", "false alarms of promised"]
    rows = [row("all", total), *(row(name, view) for name, view in models.items())]
    print_table(f"Alerts of the last {days:g} days", heads, rows)


def _minutes(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.1f} min"
