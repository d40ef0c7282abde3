"""What ``lazaretto status`` says above its tables."""

from dataclasses import replace

import msgspec

from service.api.status import Moment, Status, status_of
from service.cli.models import NOTES_SHOWN, status_lines
from service.domain.policy import Policy
from tests.fakes.clock import NOVEMBER
from tests.service.api.snapshots import a_snapshot
from tests.service.gate.fleets import a_version

TRAFFIC = {
    "state": "watching",
    "learnt": 1.0,
    "stale_after_seconds": 300.0,
    "beat_seconds": 60.0,
    "unknown_fields": ["shoe_size"],
    "errors_total": 7,
    "error_kinds": ["oom"],
    "odd_probabilities": 0,
    "columns": [{"name": "traffic.rate", "group": "traffic", "log_evidence": 2.3, "text": "2.1 times the usual"}],
}


def status(**told: object) -> Status:
    snapshot = a_snapshot(1)
    text = msgspec.json.encode(msgspec.json.decode(snapshot.status) | told).decode()
    moment = Moment(now_us=NOVEMBER, stale_seconds=300.0, lag_seconds=0.0)
    return status_of(a_version("fraud", "1"), Policy(), replace(snapshot, status=text), moment)


def test_a_baseline_that_supports_no_promise_is_said_with_what_it_lacks() -> None:
    lines = status_lines(status(monitoring="insufficient", insufficient="the reference has 12 rows"))
    assert lines[1].startswith("insufficient; evidence 10^")
    assert lines[2] == "nothing alarms: the reference has 12 rows"
    assert not any("nothing alarms" in line for line in status_lines(status()))


def test_what_a_policy_says_in_vain_is_said_but_not_without_end() -> None:
    notes = [{"at": f"policy.columns.c{i}", "reason": "no such column"} for i in range(NOTES_SHOWN + 3)]
    lines = [line for line in status_lines(status(notes=notes)) if line.startswith("without effect")]
    assert lines[0] == "without effect: policy.columns.c0: no such column"
    assert lines[NOTES_SHOWN:] == ["without effect: 3 more; --json lists all"]


def test_traffic_is_said_against_what_is_usual() -> None:
    assert "traffic: traffic.rate 2.1 times the usual; unknown fields shoe_size" in status_lines(
        status(traffic=TRAFFIC)
    )
    learning = TRAFFIC | {"state": "warming", "learnt": 0.25}
    lines = status_lines(status(traffic=learning))
    assert "traffic: warming, 25% of what it learns from; unknown fields shoe_size" in lines


def test_labels_are_said_to_be_awaited_where_the_reference_has_some() -> None:
    awaited = {"kind": "class", "baseline": {"answers": 900, "wrong": [0.05, 0.04, 0.06]}}
    said = "performance: no label has come yet; baseline: wrong 5.0% (4.0% to 6.0%)"
    assert said in status_lines(status(performance=awaited))
    assert not any("performance" in line for line in status_lines(status(performance=None)))
    unfit = status_lines(status(performance=awaited | {"unfit": 3}))
    assert "labels without an answer of their own: 3 unfit" in unfit
    assert said not in unfit
