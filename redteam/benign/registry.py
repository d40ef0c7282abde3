"""Every benign workload, and how one of its sessions is made."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from redteam.benign import explainers, optimisers, ordinary, tables, tours
from redteam.benign.scene import Scene
from redteam.oracle import Oracle
from redteam.session import Kind, Session
from redteam.victims import Split, Victim

Client = Callable[[Scene], None]
"""Sends its requests through the scene."""
Times = Callable[[np.random.Generator, int], NDArray[np.float64]]
"""When the requests of a session are sent: seconds, never going back."""
SplitName = Literal["fit", "reference", "calibration", "confirmation"]


class Shape(StrEnum):
    """What an input is."""

    IMAGE = "image"
    TABLE = "table"


def shape_of(victim: Victim) -> Shape:
    """Tell what the inputs of a victim are: two sizes make an image, one makes a row of a table."""
    return Shape.TABLE if len(victim.shape) == 1 else Shape.IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A benign way to use a model."""

    name: str
    title: str
    """What the client does, for reports."""
    kind: Kind
    length: int
    """Requests of a session, unless said otherwise; a client that is done earlier sends fewer."""
    clients: dict[Shape, Client] = field(repr=False)
    """Who sends it, for every shape that it applies to."""
    times: Times = field(repr=False, default=ordinary.steadily)

    @property
    def shapes(self) -> frozenset[Shape]:
        """What it applies to."""
        return frozenset(self.clients)

    def applies_to(self, victim: Victim) -> bool:
        """Tell whether it can be sent to a victim."""
        return shape_of(victim) in self.clients


def _both(client: Client) -> dict[Shape, Client]:
    return {Shape.IMAGE: client, Shape.TABLE: client}


def _each(image: Client, table: Client) -> dict[Shape, Client]:
    return {Shape.IMAGE: image, Shape.TABLE: table}


def _ordinary(name: str, title: str, client: Client, times: Times = ordinary.at_random) -> Workload:
    return Workload(name=name, title=title, kind=Kind.ORDINARY, length=600, clients=_both(client), times=times)


def _explains(
    name: str, title: str, length: int, clients: dict[Shape, Client], kind: Kind = Kind.EXPLANATION
) -> Workload:
    return Workload(name=name, title=title, kind=kind, length=length, clients=clients)


def _optimises(name: str, title: str, client: Client, kind: Kind = Kind.EXPLANATION) -> Workload:
    return _explains(name, title, 1_024, _both(client), kind)


_ALL = (
    _ordinary("iid", "independent inputs", ordinary.iid),
    _ordinary("retries", "independent inputs, one request in ten sent again", ordinary.retries),
    _ordinary("one_class", "inputs of one class", ordinary.one_class),
    _ordinary("bursty", "independent inputs in bursts", ordinary.iid, ordinary.in_bursts),
    _ordinary("drifting", "inputs that slowly change", ordinary.drifting),
    _ordinary("weekly_mix", "a mix of classes that changes every week", ordinary.weekly_mix, ordinary.over_weeks),
    _ordinary("low_confidence", "hard inputs only", ordinary.low_confidence),
    _explains("lime", "LIME", 1_000, _each(explainers.lime, tables.lime)),
    _explains("kernelshap", "KernelSHAP", 500, _each(explainers.kernelshap, tables.kernelshap)),
    _explains(
        "kernelshap_paired",
        "KernelSHAP with paired coalitions",
        500,
        _each(explainers.kernelshap_paired, tables.kernelshap_paired),
    ),
    _explains("occlusion", "occlusion", 842, _each(explainers.occlusion, tables.occlusion)),
    _explains("sensitivity", "finite differences around one input", 600, _both(explainers.sensitivity)),
    _explains("rise", "RISE", 1_000, {Shape.IMAGE: explainers.rise}),
    _explains("noise", "noise around one input", 1_024, _each(explainers.noise_test, tables.noise_test)),
    _explains("sweep", "compression and brightness swept", 1_024, {Shape.IMAGE: tours.sweep}),
    _explains("blur_sweep", "blur and brightness swept", 1_024, {Shape.IMAGE: tours.blur_sweep}),
    _explains("video", "a film that moves between classes", 600, {Shape.IMAGE: tours.video}),
    _explains("grid_search", "two properties set to a grid", 600, _each(tours.grid_search, tables.grid_search)),
    _explains("one_at_a_time", "one column after the other over its range", 600, {Shape.TABLE: tables.one_at_a_time}),
    _optimises("restoration", "restoration of a noisy input", optimisers.restoration),
    _optimises("confidence_boost", "search for a surer answer", optimisers.confidence_boost),
    _optimises("random_walk", "random walk around one input", optimisers.random_walk),
    _optimises("boundary_probe", "how close the boundary is", optimisers.boundary_probe, Kind.EQUIVALENT),
    _optimises("counterfactual", "search for a counterfactual", optimisers.counterfactual, Kind.EQUIVALENT),
)
WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in _ALL}
"""Every benign workload by its name."""


def workloads_for(victim: Victim, *kinds: Kind) -> list[Workload]:
    """Return the workloads that can be sent to a victim, in the registry's order; of some kinds, when any are given."""
    return [w for w in WORKLOADS.values() if w.applies_to(victim) and (not kinds or w.kind in kinds)]


def session_of(
    workload: Workload, victim: Victim, split: SplitName, source: int, seed: int, length: int | None = None
) -> Session:
    """Let one client of a workload loose on a victim.

    Parameters
    ----------
    workload : Workload
        What the client does.
    victim : Victim
        Whom it asks; the same arguments make the same session, as far as the victim answers the same.
    split : str
        Name of the victim's split that all inputs come from.
    source : int
        Which input of the split it begins with, from 0 on.
    seed : int
        The dice depend on this, the workload's name and the source alone; not negative.
    length : int or None
        Requests at most; ``None`` for the workload's own length.

    Raises
    ------
    ValueError
        If the workload does not apply to the victim, the split has no such input, or the length is under one.
    """
    client = workload.clients.get(shape_of(victim))
    if client is None:
        raise ValueError(
            f"{workload.name} does not apply to {victim.name}: it takes {', '.join(sorted(workload.shapes))}"
        )
    data: Split = getattr(victim, split)
    inputs, classes = data
    if not 0 <= source < len(inputs):
        raise ValueError(f"the {split} split of {victim.name} has inputs 0 to {len(inputs) - 1}, not {source}")
    wanted = workload.length if length is None else length
    if wanted < 1:
        raise ValueError(f"a session has at least one request, not {wanted}")
    rng = np.random.default_rng([seed, crc32(workload.name.encode()), source])
    oracle = Oracle(victim.predict, wanted)
    client(Scene(victim=victim, inputs=inputs, classes=classes, source=source, rng=rng, oracle=oracle, length=wanted))
    session = oracle.session(workload=workload.name, kind=workload.kind, victim=victim.name, seed=seed, source=source)
    return replace(session, seconds=workload.times(rng, len(session)))
