"""A replay's result, for people and for programs."""

import json

from service.replay.comparison import what_if_lines, what_if_object, whole
from service.replay.engine import ReplayAlarm, ReplayResult
from service.replay.times import spell

SHOWN_MAX = 20
"""So many alarms are written out in the text; the JSON has them all."""
SHOWN_BESIDE_MAX = 3
"""So many when two policies are compared: the comparison is what was asked for."""
NAMED_MAX = 3


def render_json(result: ReplayResult) -> str:
    """Write one JSON object, in the shape of the contract."""
    content: dict[str, object] = {
        "rows": result.rows,
        "ticks": result.ticks,
        "budget": whole(result.budget),
        "alarms": [_alarm(alarm) for alarm in result.alarms],
        "warnings": list(result.warnings),
    }
    if result.segments:
        content["segments"] = list(result.segments)
    if result.what_if is not None:
        content["what_if"] = what_if_object(result.what_if)
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _alarm(alarm: ReplayAlarm) -> dict[str, object]:
    content: dict[str, object] = {
        "row": alarm.row,
        "since_row": alarm.since_row,
        "columns": list(dict.fromkeys(blame.name for blame in alarm.blames)),
        "evidence_log10": round(alarm.evidence_log10, 4),
        "effects": {
            name: {effect: None if value is None else round(value, 6) for effect, value in found.items()}
            for name, found in alarm.effects.items()
        },
        "intervals": {
            name: {effect: None if ends is None else [round(end, 6) for end in ends] for effect, ends in found.items()}
            for name, found in alarm.intervals.items()
        },
    }
    if alarm.inside:
        told = zip(alarm.blames, alarm.inside, strict=True)
        content["causes"] = [
            {"column": blame.name, "segment": segment, "direction": blame.direction} for blame, segment in told
        ]
    if alarm.at_us is not None and alarm.since_us is not None:
        content |= {"time": spell(alarm.at_us), "since_time": spell(alarm.since_us)}
    return content


def render_text(result: ReplayResult) -> str:
    """Write what a person reads on a terminal."""
    number = len(result.alarms)
    watched = [name for name in result.columns if not name.startswith("score.")]
    scores = len(result.columns) - len(watched)
    together = f"; and {scores} scores of all of them together" if scores else ""
    alarms = _counted(number, "alarm") if number else "no alarms"
    lines = [
        f"{_counted(result.rows, 'row')} in {_counted(result.ticks, 'tick')}; watched: {', '.join(watched)}{together}",
        f"budget: one false alarm in {result.budget:,.0f} ticks; {alarms}",
    ]
    if result.segments:
        lines.insert(1, f"segments with evidence of their own: {', '.join(result.segments)}")
    shown = SHOWN_MAX if result.what_if is None else SHOWN_BESIDE_MAX
    for alarm in result.alarms[:shown]:
        lines += _alarm_lines(alarm)
    if number > shown:
        lines.append(
            f"... and {_counted(number - shown, 'more alarm')}; the engine starts anew after each, --json lists all"
        )
    if result.what_if is not None:
        lines += ["", *what_if_lines(result.what_if), ""]
    lines += [f"note: {warning}" for warning in result.warnings]
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _with_limits(value: float | None, limits: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if limits is None else f"{value:.3f}, {limits[0]:.2f} to {limits[1]:.2f}"


def _alarm_lines(alarm: ReplayAlarm) -> list[str]:
    at = "" if alarm.at_us is None else f" ({spell(alarm.at_us)})"
    since = "" if alarm.since_us is None else f" ({spell(alarm.since_us)})"
    evidence = f"evidence 10^{alarm.evidence_log10:.1f}"
    lines = [f"row {alarm.row}{at}: alarm, {evidence}, changed since about row {alarm.since_row}{since}"]
    for name, blame in list(zip(alarm.names, alarm.blames, strict=True))[:NAMED_MAX]:
        limits = alarm.intervals.get(name, {})
        effects = "  ".join(
            f"{effect} {_with_limits(value, limits.get(effect))}" for effect, value in alarm.effects[name].items()
        )
        lines.append(f"    {name}: {blame.direction}  ({effects})")
    if len(alarm.blames) > NAMED_MAX:
        lines.append(f"    and {', '.join(alarm.names[NAMED_MAX:])}")
    return lines
