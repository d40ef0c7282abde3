"""What people do, each in one transaction: all of it or nothing."""

from functools import cache

import pytest

from service.alert.triage import Act, IncidentAction
from service.detect.baselines import RefusedBaseline, describe, effect_rows, verify
from service.detect.reference import CompiledReference, compile_reference
from service.domain.errors import Conflict, NotFound, Unprocessable
from service.domain.ids import Actor
from service.domain.policy import Policy
from service.domain.records import IncidentStatus, Verdict, Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import Event, State
from service.office import act_on_incident, put_baseline, register_model, register_version, request_transition
from tests.service.detect.labelling import labelled_reference
from tests.service.worker.world import ANA, BOB, DANA, KEY, SCHEMA, World, compiled, make_frame


@cache
def reference() -> CompiledReference:
    return compiled()


def audited(world: World) -> list[str]:
    return [link.action for link in world.store.tables.chain]


def test_a_model_is_registered_once() -> None:
    world = World()
    model = register_model(world.office, ANA, "fraud", "payments", "scores payments")
    assert (model.policy, model.created_by) == (Policy(), ANA)
    with pytest.raises(Conflict, match="'fraud' exists"):
        register_model(world.office, BOB, "fraud", "others")
    assert audited(world) == ["model.register"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:predict", "..", "-x", "ä", "x" * 129])
def test_a_name_that_a_path_cannot_carry_is_refused(name: str) -> None:
    world = World()
    with pytest.raises(Unprocessable) as refused:
        register_model(world.office, ANA, name, "")
    assert {place.at for place in refused.value.places} == {"name", "owner"}
    world.add_version(reference=None)
    with pytest.raises(Unprocessable):
        register_version(world.office, ANA, "m1", name, SCHEMA)


@pytest.mark.parametrize("text", ["\x00", "a\x1b[31mb", "\x9b", "\x7f"])
def test_what_people_write_has_no_control_characters(text: str) -> None:
    world = World()
    with pytest.raises(Unprocessable) as refused:
        register_model(world.office, ANA, "m", f"me{text}", f"lines\nand\ttabs are fine{text}")
    assert [place.at for place in refused.value.places] == ["owner", "description"]
    world.add_version(reference=None)
    with pytest.raises(Unprocessable, match="cannot be registered"):
        register_version(world.office, ANA, "m1", "2", SCHEMA, Actor(f"eve{text}"))
    with pytest.raises(Unprocessable, match="control character"):
        request_transition(world.office, ANA, "m1", "1", Event.SUSPECT, f"because{text}", None)


def test_the_name_of_a_deployer_is_no_novel() -> None:
    world = World()
    world.add_version(reference=None)
    with pytest.raises(Unprocessable) as refused:
        register_version(world.office, ANA, "m1", "2", SCHEMA, Actor("x" * 129))
    assert [place.at for place in refused.value.places] == ["deployed_by"]


def test_the_same_version_again_is_the_same_version() -> None:
    world = World()
    first = world.add_version(reference=None)
    assert register_version(world.office, BOB, "m1", "1", SCHEMA) == first
    assert first.state is State.ACTIVE
    assert audited(world).count("version.register") == 1


def test_a_version_is_deployed_by_who_registers_it_unless_said() -> None:
    world = World()
    world.add_version(reference=None)
    assert register_version(world.office, BOB, "m1", "2", SCHEMA).deployed_by == BOB


@pytest.mark.parametrize(
    ("schema", "deployed_by", "differs"),
    [
        (Schema(features=SCHEMA.features[1:], prediction=SCHEMA.prediction), None, "features.age"),
        (
            Schema(
                features=(*SCHEMA.features, Feature(name="x", kind=FeatureKind.NUMERIC)), prediction=SCHEMA.prediction
            ),
            None,
            "features.x",
        ),
        (
            Schema(features=SCHEMA.features, prediction=Prediction(kind=PredictionKind.NUMBER)),
            None,
            "prediction",
        ),
        (Schema(features=SCHEMA.features[::-1], prediction=SCHEMA.prediction), None, "the order of the features"),
        (SCHEMA, ANA, "deployed_by"),
    ],
)
def test_another_schema_under_the_same_name_is_a_conflict_that_says_what_differs(
    schema: Schema, deployed_by: Actor | None, differs: str
) -> None:
    world = World()
    world.add_version(reference=None)
    with pytest.raises(Conflict, match=f"differs in: {differs}$"):
        register_version(world.office, BOB, "m1", "1", schema, deployed_by)


def test_a_version_needs_its_model() -> None:
    with pytest.raises(NotFound, match="no model 'm1'"):
        register_version(World().office, ANA, "m1", "1", SCHEMA)


def test_a_baseline_is_signed_and_applies_from_the_head_of_the_log() -> None:
    world = World()
    version = world.add_version(reference=None)
    world.send_for(3, version)
    record = put_baseline(world.office, ANA, version, reference())
    assert record.from_position == 3
    assert verify(KEY, record.artefact, record.signature)
    assert not verify(KEY, record.artefact + b"x", record.signature)
    assert not verify(b"other", record.artefact, record.signature)
    assert world.store.tables.versions[version.id].baseline_id == record.id


def test_a_baseline_is_described_without_raw_rows() -> None:
    view = describe(reference().artefact)
    assert (view.digest, view.rows) == (reference().digest, 4_000)
    country = next(column for column in view.columns if column.name == "country")
    assert sorted(country.bins[:3]) == ["DE", "FR", "PL"]
    assert sum(country.counts) == 4_000
    assert sum(len(column.bins) for column in view.columns) == view.total


def test_a_baseline_with_labels_has_one_digest_wherever_it_is_shown() -> None:
    found = labelled_reference()
    assert describe(found.artefact).digest == found.digest


def test_effects_of_the_baseline_against_itself_are_nil() -> None:
    view = describe(reference().artefact)
    effects = dict(zip(view.baseline.names, effect_rows(view.baseline, view.baseline.counts), strict=True))
    assert effects["age"]["psi"] == effects["age"]["ks"] == effects["age"]["wasserstein"] == 0.0
    assert effects["country"]["ks"] is None


def test_bytes_that_are_no_baseline_are_refused() -> None:
    with pytest.raises(RefusedBaseline):
        describe(b"nothing")


def test_a_reference_without_rows_cannot_be_compiled() -> None:
    with pytest.raises(Unprocessable, match="0 rows"):
        compile_reference(SCHEMA, make_frame(1, 0))


def in_review(world: World) -> Version:
    version = world.add_version(reference=None)
    world.ask(ANA, Event.QUARANTINE)
    world.ask(ANA, Event.START_REVIEW)
    return version


def test_a_release_waits_for_a_second_person_and_says_so() -> None:
    world = World()
    version = in_review(world)
    pending = world.ask(ANA, Event.RELEASE)
    assert pending.state is State.UNDER_REVIEW
    assert pending.approvals is not None
    assert (pending.approvals.have, pending.approvals.need, pending.approvals.by) == (1, 2, (ANA,))
    released = world.ask(BOB, Event.RELEASE)
    assert (released.state, released.version) == (State.ACTIVE, "1")
    assert world.state(version) is State.ACTIVE
    assert world.kinds()[-2:] == ["release_pending", "state_changed"]
    assert audited(world).count("release.ask") == 1


def test_the_same_person_asking_again_at_the_same_moment_is_heard_again() -> None:
    world = World()
    in_review(world)
    answers = [world.ask(ANA, Event.RELEASE) for _ in range(2)]
    assert [answer.approvals.have for answer in answers if answer.approvals] == [1, 1]
    assert world.kinds().count("release_pending") == 2


def test_approvals_do_not_outlive_the_review_they_were_given_in() -> None:
    world = World()
    version = in_review(world)
    world.ask(ANA, Event.RELEASE)
    world.ask(BOB, Event.RELEASE)
    world.ask(DANA, Event.QUARANTINE)
    world.ask(DANA, Event.START_REVIEW)
    assert world.ask(BOB, Event.RELEASE).state is State.UNDER_REVIEW
    assert world.state(version) is State.UNDER_REVIEW


def test_an_impossible_event_names_the_possible_ones_and_leaves_nothing_behind() -> None:
    world = World()
    world.add_version(reference=None)
    before = world.store.tables
    with pytest.raises(Conflict, match="possible events: suspect, quarantine, retire"):
        world.ask(ANA, Event.RELEASE)
    assert world.store.tables is before


def test_a_version_or_incident_that_is_not_there_is_not_found() -> None:
    world = World()
    world.add_version(reference=None)
    with pytest.raises(NotFound, match="no version '9'"):
        world.ask(ANA, Event.QUARANTINE, "9")
    with pytest.raises(NotFound, match="no incident 'i'"):
        request_transition(world.office, ANA, "m1", "1", Event.QUARANTINE, "why", "i")
    with pytest.raises(NotFound, match="no incident 'i'"):
        act_on_incident(world.office, ANA, "i", Act(action=IncidentAction.ACK))


def drifted() -> World:
    world = World()
    version = world.add_version(reference=reference())
    world.send_for(8, version, shift=2.0)
    world.catch_up()
    return world


def test_a_transition_that_names_its_incident_stands_in_its_timeline() -> None:
    world = drifted()
    (incident_id,) = world.store.tables.incidents
    request_transition(world.office, ANA, "m1", "1", Event.START_REVIEW, "looking", incident_id)
    said = [(item.kind, item.actor, item.body) for item in world.store.read.timeline(incident_id)]
    assert ("start_review", ANA, "looking") in said
    assert world.store.tables.transitions[-1].incident_id == incident_id


def test_an_incident_of_another_version_is_refused() -> None:
    world = drifted()
    world.add_version("2", reference=None)
    (incident_id,) = world.store.tables.incidents
    with pytest.raises(Conflict, match="not about m1/2"):
        request_transition(world.office, ANA, "m1", "2", Event.QUARANTINE, "why", incident_id)
    assert world.store.tables.versions[world.add_version("2", reference=None).id].state is State.ACTIVE


def test_resolving_closes_the_alert_and_lets_evidence_start_from_zero() -> None:
    world = drifted()
    (incident,) = world.store.tables.incidents.values()
    after = act_on_incident(
        world.office, ANA, incident.id, Act(action=IncidentAction.RESOLVE, verdict=Verdict.REAL_DRIFT, note="season")
    )
    assert (after.status, after.lock) == (IncidentStatus.RESOLVED, 1)
    assert [alert.status for alert in world.store.tables.alerts.values()] == ["closed"]
    version = world.store.tables.versions[incident.version_id]
    assert (version.state, version.restart_position) == (State.QUARANTINED, world.log.head())
