"""The evidence at the newest ticks, for the chart."""

from dataclasses import replace

from service.detect.trail import TICKS_MAX
from tests.service.detect.test_watch import Disk, folded, reference, status, steady, watched_control
from tests.service.worker.world import baseline_record, make_control, make_version


def trail(disk: Disk) -> list[list[float | None]]:
    shown = status(disk)["trail"]
    assert isinstance(shown, list)
    return shown


def test_the_trail_keeps_the_newest_ticks_only() -> None:
    points = trail(folded(watched_control(), steady(TICKS_MAX + 8, rows=1)))
    assert len(points) == TICKS_MAX
    assert points[-1][0] == 1_795_428_000_000_000 + (TICKS_MAX + 6) * 1_000_000


def test_a_status_that_cannot_be_read_only_loses_its_trail() -> None:
    disk = folded(watched_control(), steady(5))
    disk.snapshots = {v: replace(s, status="[") for v, s in disk.snapshots.items()}
    disk.fold(disk.watch(), steady(2, start=5))
    assert status(disk)["ticks"] == 6
    assert len(trail(disk)) == 2


def test_the_trail_says_the_evidence_after_every_tick() -> None:
    disk = folded(watched_control(), steady(12, shift=0.4))
    assert [start for start, _ in trail(disk)] == [1_795_428_000_000_000 + i * 1_000_000 for i in range(11)]
    assert [value for _, value in trail(disk)] == [round(e.evidence_log, 4) for e in disk.evaluations]


def test_the_trail_shows_before_and_after_a_restart_and_a_new_baseline() -> None:
    second = baseline_record(1, reference(seed=98), from_position=12, name="b2")
    control = make_control([make_version(1, restart=8)], {1: [baseline_record(1, reference()), second]})
    points = trail(folded(control, steady(18, shift=2.0)))
    # The ticks that were open when evidence was restarted bear on none.
    assert len(points) == 15
    values = [value or 0.0 for _, value in points]
    starts_anew = [place for place in range(1, 15) if values[place] < values[place - 1]]
    assert starts_anew == [7, 10]
