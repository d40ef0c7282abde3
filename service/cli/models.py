"""``lazaretto models`` and ``lazaretto status``: read the store in the data directory; no server is needed."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from service.cli.common import AsJson, DataDir, load_settings, open_state, plain, print_json, print_table
from service.cli.performance import performance_lines

if TYPE_CHECKING:
    from service.api.enforcement import EnforcementStatus
    from service.api.status import RebuildStatus, Status, TrafficStatus

app = typer.Typer(no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(help="Name of the model.")]
VersionName = Annotated[str | None, typer.Argument(help="Version; by default the one that the model's name means.")]
COLUMNS_SHOWN = 12
NOTES_SHOWN = 5


class RollingName(StrEnum):
    """The rolling windows."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"
    DAY = "1d"


Rolling = Annotated[RollingName, typer.Option("--window", help="Rolling window of the effect sizes.")]


@app.command("list")
def list_models(data_dir: DataDir = None, *, as_json: AsJson = False) -> None:
    """List models with their versions and states."""
    from service.api.views import of_model

    store = open_state(load_settings(data_dir=data_dir))
    try:
        versions = store.read.versions()
        views = [of_model(m, [v for v in versions if v.model == m.name]) for m in store.read.models()]
    finally:
        store.close()
    if as_json:
        print_json({"models": views})
        return
    rows = [[m.name, v.version, v.state, _seconds(v.since), v.reason] for m in views for v in m.versions]
    rows += [[m.name, "", "no version yet", _seconds(m.created), ""] for m in views if not m.versions]
    print_table("Models", ["model", "version", "state", "since", "reason"], rows)


@app.command()
def show(model: ModelName, data_dir: DataDir = None) -> None:
    """Show a model with its policy and versions, as JSON."""
    from service.api.views import of_model
    from service.gate.fleet import unknown

    store = open_state(load_settings(data_dir=data_dir))
    try:
        found = store.read.model(model)
        if found is None:
            raise unknown(f"model '{model}'", model, [known.name for known in store.read.models()])
        print_json(of_model(found, list(store.read.versions(model))))
    finally:
        store.close()


def status(
    model: ModelName,
    version: VersionName = None,
    data_dir: DataDir = None,
    *,
    window: Rolling = RollingName.HOUR,
    as_json: AsJson = False,
) -> None:
    """Show state, evidence and the strongest columns of a version."""
    from service.api.enforcement import of_enforcement
    from service.api.rolling import columns_over
    from service.api.status import Moment, status_of
    from service.clock import SystemClock
    from service.domain.policy import Cause
    from service.gate.fleet import FleetView, unknown
    from service.quarantine.decide import held_back

    settings = load_settings(data_dir=data_dir)
    store = open_state(settings)
    try:
        view = FleetView.of(0, store.read.models(), store.read.versions())
        found = view.default_version(model) if version is None else view.find(model, version)
        if found is None:
            raise view.unknown_model(model) if model not in view.models else unknown(f"version of '{model}'", "", [])
        moment = Moment(now_us=SystemClock().now_us(), stale_seconds=settings.stale_seconds, lag_seconds=0.0)
        policy = view.models[model].policy
        alerts = store.read.alerts(version_id=found.id, status="open", limit=len(Cause), adversarial=False)
        held = held_back(alerts, found, policy, view.versions.values())
        snapshot, over = columns_over(store.read, found, window)
        enforcement = of_enforcement(next(iter(store.enforcements.latest(found.id)), None))
        told = status_of(found, policy, snapshot, moment, held, over=over)
        answer = msgspec.structs.replace(told, enforcement=enforcement)
    finally:
        store.close()
    if as_json:
        print_json(answer)
        return
    _print_status(answer)


def _print_status(answer: "Status") -> None:
    for line in status_lines(answer):
        typer.echo(plain(line))
    rows = [
        [
            column.name,
            column.kind,
            "" if column.evidence_log10 is None else f"10^{column.evidence_log10:.2f}",
            column.direction or "",
            _number(column.effects.get("psi"), column.intervals.get("psi")),
            _number(column.effects.get("js"), column.intervals.get("js")),
        ]
        for column in answer.columns[:COLUMNS_SHOWN]
    ]
    print_table(
        f"Strongest columns, effects over {answer.window}{_extent(answer)}",
        ["column", "kind", "evidence", "direction", "psi", "js"],
        rows,
    )
    if answer.segments:
        print_table("Segments", ["segment", "evidence", "share", "strongest column", "psi"], _segment_rows(answer))


def status_lines(answer: "Status") -> list[str]:
    """Say how a version is doing; columns and segments come in tables below."""
    evidence = "none yet" if answer.evidence_log10 is None else f"10^{answer.evidence_log10:.2f}"
    lines = [f"{answer.model} {answer.version}: {answer.state} since {answer.since} ({answer.reason})"]
    if answer.held_back:
        lines.append(f"held back: {answer.held_back}")
    lines.append(f"{answer.monitoring}; evidence {evidence}, alarm at 10^{answer.threshold_log10:.2f}")
    if answer.insufficient:
        lines.append(f"nothing alarms: {answer.insufficient}")
    if answer.rebuild is not None:
        lines.append(rebuild_line(answer.rebuild))
    lines.append(f"{answer.events_total} events, {answer.labels_total} labels, {answer.leaks_total} leaks")
    if answer.enforcement is not None and answer.enforcement.ended_at is None:
        lines.append(enforcement_line(answer.enforcement))
    if answer.traffic is not None:
        lines.append(traffic_line(answer.traffic))
    if answer.performance is not None:
        lines += performance_lines(answer.performance)
    lines += [f"without effect: {note['at']}: {note['reason']}" for note in answer.warnings[:NOTES_SHOWN]]
    if len(answer.warnings) > NOTES_SHOWN:
        lines.append(f"without effect: {len(answer.warnings) - NOTES_SHOWN} more; --json lists all")
    return lines


def traffic_line(traffic: "TrafficStatus") -> str:
    """Say what comes, against what is usual; of a version that still learns that, how far it is."""
    told = [f"{column.name} {column.now}" for column in traffic.columns]
    if traffic.monitoring != "watching":
        told = [f"{traffic.monitoring}, {traffic.learnt:.0%} of what it learns from"]
    unknown = [f"unknown fields {', '.join(traffic.unknown_fields)}"] if traffic.unknown_fields else []
    odd = traffic.odd_probabilities
    sums = [f"class probabilities that do not add up to one in {odd} events"] if odd else []
    return f"traffic: {'; '.join([*told, *unknown, *sums])}"


def _extent(answer: "Status") -> str:
    window = answer.windows.get(answer.window)
    return "" if window is None else f": {window.events} events, {_seconds(window.start)} to {_seconds(window.end)}"


def enforcement_line(enforcement: "EnforcementStatus") -> str:
    """Say whether gateways follow the quarantine."""
    if enforcement.not_enforced_since is not None:
        return f"NOT ENFORCED: events still come, known since {enforcement.not_enforced_since}"
    if enforcement.seconds is None:
        return f"in quarantine since {enforcement.quarantined_at}; no gateway has asked yet"
    return f"a gateway has obeyed since {enforcement.enforced_at}, {enforcement.seconds:.3f} s after the quarantine"


def rebuild_line(rebuild: "RebuildStatus") -> str:
    """Say whether the change lasts."""
    evidence = "none yet" if rebuild.evidence_log10 is None else f"10^{rebuild.evidence_log10:.2f}"
    back = "not back so far" if rebuild.last is None else f"back {rebuild.times} times, last {rebuild.last}"
    return f"from zero at the alarm {rebuild.since}: {back}; since then {evidence} in {rebuild.ticks} ticks"


def _seconds(time: str) -> str:
    """Return a time as the API says it to the second, which leaves a line of 80 characters room for a reason."""
    return f"{time[:19]}Z"


def _segment_rows(answer: "Status") -> list[list[str]]:
    rows = []
    for segment in answer.segments:
        strongest = segment.columns[0] if segment.columns else None
        rows.append(
            [
                segment.segment,
                "" if segment.evidence_log10 is None else f"10^{segment.evidence_log10:.2f}",
                f"{100 * segment.share:.3g} %",
                segment.insufficient or "" if strongest is None else strongest.name,
                "" if strongest is None else _number(strongest.effects.get("psi"), strongest.intervals.get("psi")),
            ]
        )
    return rows


def _number(value: float | None, limits: tuple[float, float] | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if limits is None else f"{value:.3f} ({limits[0]:.3f} to {limits[1]:.3f})"
