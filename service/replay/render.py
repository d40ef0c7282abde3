"""A replay's result, for people and for programs."""

import json

from service.replay.engine import ReplayAlarm, ReplayResult

SHOWN_MAX = 20
"""So many alarms are written out in the text; the JSON has them all."""
NAMED_MAX = 3


def render_json(result: ReplayResult) -> str:
    """Write one JSON object, in the shape of the contract."""
    return json.dumps(
        {
            "rows": result.rows,
            "ticks": result.ticks,
            "budget": int(result.budget) if result.budget == int(result.budget) else result.budget,
            "alarms": [
                {
                    "row": alarm.row,
                    "since_row": alarm.since_row,
                    "columns": [blame.name for blame in alarm.blames],
                    "evidence_log10": round(alarm.evidence_log10, 4),
                    "effects": {
                        name: {effect: None if value is None else round(value, 6) for effect, value in found.items()}
                        for name, found in alarm.effects.items()
                    },
                }
                for alarm in result.alarms
            ],
            "warnings": list(result.warnings),
        },
        ensure_ascii=False,
        allow_nan=False,
    )


def render_text(result: ReplayResult) -> str:
    """Write what a person reads on a terminal."""
    number = len(result.alarms)
    watched = [name for name in result.columns if not name.startswith("score.")]
    scores = len(result.columns) - len(watched)
    together = f"; and {scores} scores of all of them together" if scores else ""
    lines = [
        f"{result.rows:,} rows in {result.ticks:,} ticks; watched: {', '.join(watched)}{together}",
        f"budget: one false alarm in {result.budget:,.0f} ticks; {number or 'no'} alarm{'' if number == 1 else 's'}",
    ]
    for alarm in result.alarms[:SHOWN_MAX]:
        lines += _alarm_lines(alarm)
    if number > SHOWN_MAX:
        lines.append(f"... and {number - SHOWN_MAX} more alarms; the engine starts anew after each, --json lists all")
    lines += [f"note: {warning}" for warning in result.warnings]
    return "\n".join(lines)


def _alarm_lines(alarm: ReplayAlarm) -> list[str]:
    lines = [
        f"row {alarm.row}: alarm, evidence 10^{alarm.evidence_log10:.1f}, changed since about row {alarm.since_row}"
    ]
    for blame in alarm.blames[:NAMED_MAX]:
        effects = "  ".join(
            f"{name} {'-' if value is None else format(value, '.3f')}"
            for name, value in alarm.effects[blame.name].items()
        )
        lines.append(f"    {blame.name}: {blame.direction}  ({effects})")
    if len(alarm.blames) > NAMED_MAX:
        lines.append(f"    and {', '.join(blame.name for blame in alarm.blames[NAMED_MAX:])}")
    return lines
