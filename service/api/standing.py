"""What the process knows of every version without asking the store, as the console reads it."""

from service.api.figures import Figures, Picture
from service.gate.fleet import FleetView
from service.gate.refresh import Fleet
from service.ports_console import Standing


class Standings:
    """Joins the gate's picture with the figures; the same two give the same answer, so that others may keep it.

    Parameters
    ----------
    fleet
        Models and versions, at most ``refresh_seconds`` old.
    figures
        Snapshots, at most ``figures_seconds`` old.
    """

    def __init__(self, fleet: Fleet, figures: Figures) -> None:
        self._fleet = fleet
        self._figures = figures
        self._known: tuple[FleetView, Picture | None, Standing] | None = None

    def __call__(self) -> Standing:
        """Return what is known now."""
        view, picture, known = self._fleet.view, self._figures.picture, self._known
        if known is not None and known[0] is view and known[1] is picture:
            return known[2]
        standing = Standing(
            revision=view.revision,
            models=view.models,
            versions=tuple(view.by_id.values()),
            snapshots={one.version_id: one for one in picture.snapshots} if picture else {},
            read_us=picture.read_us if picture else view.now(),
        )
        self._known = view, picture, standing
        return standing
