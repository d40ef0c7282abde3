"""What the operations of this package work with, and the small steps that they share."""

from dataclasses import dataclass

from service.domain.errors import NotFound
from service.domain.records import Model, Version
from service.office import OfficeStages
from service.ports_review import ReviewStore, ReviewTx


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewStages:
    """The office, and where reviews are kept."""

    office: OfficeStages
    store: ReviewStore


def of_version(tx: ReviewTx, model: str, version: str) -> tuple[Model, Version]:
    """Return a model and its version, or raise NotFound."""
    owner, found = tx.control.model(model), tx.control.version(model, version)
    if owner is None or found is None:
        raise NotFound(f"no version '{version}' of model '{model}'")
    return owner, found
