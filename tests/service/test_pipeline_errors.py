"""Batches with errors through the whole of the worker: an alert, an incident and a message that name them."""

from service.domain.policy import Cause, Policy, Traffic
from service.domain.states import State
from service.frames import encode_frame
from service.ports import EntryKind, NewEntry
from tests.service.detect.test_failures import with_errors
from tests.service.worker.world import SMALL_BUDGET, World, compiled, make_frame


def test_an_outbreak_of_errors_is_an_alert_that_names_them() -> None:
    """A version whose reference says nothing of errors; 90 seconds of its own traffic teach what is usual."""
    world = World()
    policy = Policy(budget=SMALL_BUDGET.budget, traffic=Traffic(learn_days=90 / 86_400))
    version = world.add_version(policy=policy, reference=compiled())
    for second in range(140):
        outbreak = second >= 120
        frame = with_errors(make_frame(second, 100), second, 0.005, 0.2 if outbreak else 0.0)
        new = NewEntry(
            kind=EntryKind.BATCH,
            version_id=version.id,
            batch_id=str(second),
            rows=frame.rows,
            body=encode_frame(frame),
        )
        world.log.append_now(new)
        world.clock.advance(1)
        if second in {119, 139}:
            world.catch_up()
        if second == 119:
            assert not world.store.tables.alerts
    (alert,) = world.store.tables.alerts.values()
    assert alert.cause is Cause.DATA_QUALITY
    assert alert.columns[0].name == "quality.errors"
    assert alert.columns[0].direction.endswith("times the usual: oom, timeout")
    (incident,) = world.store.tables.incidents.values()
    assert incident.title.startswith("Data quality in m1 1: quality.errors (up, ")
    assert world.state(version) in {State.ACTIVE, State.QUARANTINED}
