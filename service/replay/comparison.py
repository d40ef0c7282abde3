"""Two policies side by side, for people and for programs."""

from collections import Counter
from collections.abc import Iterator

from service.replay.deeds import Deed, Side, WhatIf
from service.replay.times import spell

ACTIONS = ("record", "notify", "suspect", "quarantine", "held back")
SHOWN_MAX = 20
NAMED_MAX = 2
NOTHING = "nothing"


def whole(number: float) -> float:
    """Write a whole number without a fraction."""
    return int(number) if number == int(number) else number


def what_if_object(what_if: WhatIf) -> dict[str, object]:
    """Return what goes into the JSON."""
    decisions = []
    for current, new in _pairs(what_if):
        either = current or new
        if either is None:
            continue
        moment = {} if either.at_us is None else {"time": spell(either.at_us)}
        columns = list(either.columns)
        decisions.append(
            {"row": either.row, **moment, "columns": columns, "current": _deed(current), "new": _deed(new)}
        )
    return {"current": _side(what_if.current), "new": _side(what_if.new), "decisions": decisions}


def _side(side: Side) -> dict[str, object]:
    policy = side.given.policy
    return {
        "policy": side.given.name,
        "budget": whole(policy.ticks_per_false_alarm),
        "tick_seconds": policy.tick_seconds,
        "minimum_effect": policy.minimum_effect,
        "pages": side.pages,
        "totals": {action.replace(" ", "_"): number for action, number in _totals(side).items()},
    }


def _deed(deed: Deed | None) -> dict[str, object]:
    if deed is None:
        return {"action": NOTHING, "pages": 0, "text": ""}
    return {"action": deed.action.replace(" ", "_"), "pages": deed.pages, "text": deed.text}


def _totals(side: Side) -> dict[str, int]:
    number = Counter(deed.action for deed in side.deeds)
    return {action: number[action] for action in ACTIONS}


def _pairs(what_if: WhatIf) -> Iterator[tuple[Deed | None, Deed | None]]:
    """Yield what either policy did after the same tick, in the order of rows."""
    current, new = ({deed.row: deed for deed in side.deeds} for side in (what_if.current, what_if.new))
    for row in sorted(current.keys() | new.keys()):
        yield current.get(row), new.get(row)


def what_if_lines(what_if: WhatIf) -> list[str]:
    """Write a table, and what it adds up to."""
    sides = (what_if.current, what_if.new)
    lines = [
        f"what if: {name} is {side.given.name}: one false alarm in {side.given.policy.ticks_per_false_alarm:,.0f} ticks"
        f" of {side.given.policy.tick_seconds:g} s, minimum effect {side.given.policy.minimum_effect:g}"
        for name, side in zip(("current", "new"), sides, strict=True)
    ]
    rows = [("at", "current", "new", "columns")]
    for current, new in _pairs(what_if):
        either = current or new
        if either is not None:
            more = f" and {len(either.columns) - NAMED_MAX} more" if len(either.columns) > NAMED_MAX else ""
            rows.append((_at(either), _cell(current), _cell(new), ", ".join(either.columns[:NAMED_MAX]) + more))
    hidden = len(rows) - 1 - SHOWN_MAX
    rows = rows[: SHOWN_MAX + 1]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for *cells, last in rows:
        lines.append("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), last]))
    if hidden > 0:
        lines.append(f"... and {hidden} more; --json lists all")
    lines += [f"{name}: {_sum(side)}" for name, side in zip(("current", "new"), sides, strict=True)]
    difference = what_if.new.pages - what_if.current.pages
    word = "as many pages" if not difference else f"{abs(difference)} {'more' if difference > 0 else 'fewer'}"
    lines.append(f"the new policy sends {word}{'' if not difference else ' page' + _s(abs(difference))}")
    return lines


def _at(deed: Deed) -> str:
    return f"row {deed.row}" if deed.at_us is None else f"row {deed.row} ({spell(deed.at_us)})"


def _cell(deed: Deed | None) -> str:
    if deed is None:
        return NOTHING
    return f"{deed.action}, {deed.pages} page{_s(deed.pages)}" if deed.pages else deed.action


def _sum(side: Side) -> str:
    told = ", ".join(f"{action} {number}" for action, number in _totals(side).items() if number)
    return f"{side.pages} page{_s(side.pages)} ({told or NOTHING})"


def _s(number: int) -> str:
    return "" if number == 1 else "s"
