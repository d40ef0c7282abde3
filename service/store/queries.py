"""The selects that more than one part of the store needs."""

from sqlalchemy import Connection, Select, select

from service.domain.ids import Actor, VersionId
from service.domain.records import Incident, Model, Version
from service.store.rows import incident_of, model_of, version_of
from service.store.tables import approvals, baselines, control, incidents, models, versions

_baseline_in_force = (
    select(baselines.c.id)
    .where(baselines.c.version_id == versions.c.id)
    .order_by(baselines.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)


def select_versions() -> Select[tuple[object, ...]]:
    """Select versions with the name of their model and the id of their newest baseline, oldest first."""
    return (
        select(versions, models.c.name.label("model"), _baseline_in_force.label("baseline_id"))
        .join(models, models.c.id == versions.c.model_id)
        .order_by(versions.c.id)
    )


def select_incidents() -> Select[tuple[object, ...]]:
    """Select incidents with the names of their model and version."""
    return (
        select(incidents, models.c.name.label("model"), versions.c.version.label("version"))
        .join(versions, versions.c.id == incidents.c.version_id)
        .join(models, models.c.id == versions.c.model_id)
    )


def find_model(connection: Connection, name: str) -> Model | None:
    """Return one model by name."""
    row = connection.execute(select(models).where(models.c.name == name)).mappings().one_or_none()
    return None if row is None else model_of(row)


def find_version(connection: Connection, model: str, version: str) -> Version | None:
    """Return one version by its names."""
    wanted = select_versions().where(models.c.name == model, versions.c.version == version)
    row = connection.execute(wanted).mappings().one_or_none()
    return None if row is None else version_of(row)


def find_incident(connection: Connection, incident_id: str) -> Incident | None:
    """Return one incident by id."""
    row = connection.execute(select_incidents().where(incidents.c.id == incident_id)).mappings().one_or_none()
    return None if row is None else incident_of(row)


def find_approvals(connection: Connection, version_id: VersionId) -> tuple[Actor, ...]:
    """Return who asked for the release since the version's last state change, in order."""
    wanted = (
        select(approvals.c.actor)
        .join(versions, (versions.c.id == approvals.c.version_id) & (versions.c.lock == approvals.c.lock))
        .where(approvals.c.version_id == version_id)
        .order_by(approvals.c.seq)
    )
    return tuple(Actor(actor) for actor in connection.execute(wanted).scalars())


def read_revision(connection: Connection) -> int:
    """Return the control revision."""
    revision: int = connection.execute(select(control.c.revision)).scalar_one()
    return revision
