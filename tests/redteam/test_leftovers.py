"""What killed runs have left is found by what it says of itself, and nothing else is touched."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redteam.leftovers import GRACE, LIST_MAX, described, end_of, leftovers, sweep
from redteam.problems import Stopped

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def model(name: str, ends: datetime | None, owner: str = "red team", states: tuple[str, ...] = ("active",)) -> Any:
    versions = [{"version": str(i), "state": state} for i, state in enumerate(states)]
    return {"name": name, "owner": owner, "description": described("a shadow", ends), "versions": versions}


OVER, ON = NOW - SECOND, NOW + SECOND
MODELS = [
    model("redteam-digits-1", OVER),
    model("redteam-digits-2", ON),
    model("redteam-digits-3", None),
    model("redteam-digits-4", OVER, states=("retired", "suspect")),
    model("redteam-digits-5", OVER, states=("retired", "retired")),
    model("redteam-digits-6", OVER, owner="risk team"),
    model("fraud", OVER),
    {**model("redteam-digits-7", None), "description": "x; its run is over at noon"},
]


def test_a_model_is_left_over_when_its_run_must_be_over_and_nobody_has_retired_it() -> None:
    assert leftovers(MODELS, NOW) == ["redteam-digits-1", "redteam-digits-4"]
    assert leftovers(MODELS, NOW, every=True) == [f"redteam-digits-{i}" for i in (1, 2, 3, 4, 7)]
    assert leftovers(MODELS, OVER) == []


def test_a_run_has_time_to_train_and_to_leave() -> None:
    ends = end_of(NOW, 60.0)
    assert ends == NOW + timedelta(minutes=1) + GRACE
    assert leftovers([model("redteam-x", ends)], ends) == []
    assert leftovers([model("redteam-x", ends)], ends + SECOND) == ["redteam-x"]
    elsewhere = ends.astimezone(tz=datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)
    assert leftovers([model("redteam-x", elsewhere)], ends + SECOND) == ["redteam-x"]


def test_what_is_left_over_is_retired_and_what_is_refused_is_told() -> None:
    events: list[tuple[str, str]] = []

    def ask(method: str, path: str, **given: Any) -> Any:
        if path == "/v1/models":
            return {"models": MODELS}
        if path == "/v1/incidents":
            return {"incidents": []}
        if path.endswith("/transitions"):
            if path.split("/")[3] == "redteam-digits-4":
                raise Stopped("refused")
            events.append((path.split("/")[3], given["json"]["event"]))
            return {}
        assert method == "GET"
        return next(one for one in MODELS if path == f"/v1/models/{one['name']}")

    swept = sweep(ask, NOW)
    assert swept.retired == ("redteam-digits-1",)
    assert swept.failed == ("redteam-digits-4",)
    assert events == [("redteam-digits-1", "retire")]
    assert not swept.cut


def test_what_a_list_does_not_hold_is_told() -> None:
    """Models are listed by name, and retired ones stay: those of a run may come after the last one."""
    full = [model(f"fraud-{i}", None, owner="risk team") for i in range(LIST_MAX)]
    assert sweep(lambda *_, **__: {"models": full}, NOW).cut


def test_a_service_that_does_not_answer_is_no_clean_one() -> None:
    def ask(*_: Any, **__: Any) -> Any:
        raise Stopped("away")

    with pytest.raises(Stopped, match="away"):
        sweep(ask, NOW)
