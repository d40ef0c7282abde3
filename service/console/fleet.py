"""The fleet: every version in a line, chosen, ordered and paged by the address. Pure: what to show is decided here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.console import lists, words
from service.console.lists import Choice, Head, Pager
from service.console.overview import TONES
from service.console.read_models import When
from service.console.roll import Entry
from service.domain.ids import Micros
from service.domain.states import State

PATH = "/fleet"
OWNERS_LISTED = 100
ATTENTION = frozenset({State.QUARANTINED, State.UNDER_REVIEW, State.SUSPECT})
UNWATCHED = frozenset({"warming", "insufficient"})
WATCH_WORDS = {
    "stale": "silent",
    "warming": "no baseline yet",
    "insufficient": "baseline too weak for alerts",
}
SHOWS = {
    "": "All versions",
    "attention": "Need attention",
    **{str(state): words.STATE_NAMES[state] for state in State},
    "incidents": "With open incidents",
    "silent": "Silent",
    "unwatched": "Not watched",
}
"""What the list may be of, by its name in the address."""
TILES = (
    (str(State.QUARANTINED), "bad"),
    (str(State.UNDER_REVIEW), "warn"),
    (str(State.SUSPECT), "warn"),
    ("incidents", "warn"),
    ("silent", "warn"),
    ("unwatched", "off"),
)
"""What is counted above the list, each with its tone where it is not 0."""
_SORTS: dict[str, tuple[Callable[[Entry], Any], bool]] = {
    "urgency": (lambda entry: entry.urgency, False),
    "name": (lambda entry: (entry.version.model, entry.version.version), False),
    "evidence": (lambda entry: (entry.share, entry.log_evidence), True),
    "incidents": (lambda entry: entry.incidents, True),
    "last": (lambda entry: entry.last_us, True),
    "owner": (lambda entry: entry.model.owner, False),
}
"""By name in the address: what is compared, and whether the largest comes first."""
_HEADS = (
    ("Version", "name"),
    ("State", "urgency"),
    ("Evidence against budget", "evidence"),
    ("Worst column", None),
    ("Incidents", "incidents"),
    ("Last event", "last"),
    ("Owner", "owner"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an address asks for."""

    show: str = ""
    owner: str = ""
    text: str = ""
    sort: str = "urgency"
    order: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Wanted":
        """Read a query; what is not known is as good as nothing."""
        return cls(
            show=lists.one_of(query, "show", tuple(SHOWS)),
            owner=query.get("owner", "")[:300],
            text=lists.text_of(query, "q"),
            sort=lists.one_of(query, "sort", tuple(_SORTS), "urgency"),
            order=lists.one_of(query, "order", ("asc", "desc")),
            page=lists.number_of(query),
        )

    @property
    def largest_first(self) -> bool:
        """Whether the order is from the largest down."""
        return self.order == "desc" if self.order else _SORTS[self.sort][1]

    @property
    def chosen(self) -> dict[str, object]:
        """What is chosen, without order and page."""
        return {"show": self.show, "owner": self.owner, "q": self.text}

    @property
    def query(self) -> dict[str, object]:
        """All but the page, as an address says it."""
        sort = None if self.sort == "urgency" and not self.order else self.sort
        return {**self.chosen, "sort": sort, "order": self.order}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRow:
    """One version in the list."""

    id: int
    model: str
    version: str
    state: str
    tone: str
    since: When
    evidence: str | None
    threshold: str | None
    share: float
    over: bool
    worst: str | None
    worst_evidence: str | None
    incidents: int
    severity: str | None
    last: When | None
    watch: str | None
    """What is wrong with how it is watched, in words."""
    owner: str


@dataclass(frozen=True, slots=True)
class Tile:
    """A number above the list, which leads to what it counts."""

    text: str
    number: int
    address: str
    tone: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPage:
    """Everything on the page."""

    address: str
    path: str
    tiles: tuple[Tile, ...]
    shows: tuple[Choice, ...]
    owners: tuple[Choice, ...]
    text: str
    sorted_by: Mapping[str, object]
    heads: tuple[Head | str, ...]
    rows: tuple[FleetRow, ...]
    pager: Pager
    filtered: bool
    versions: int
    """Of the whole list, whatever is chosen."""


def fleet_page(
    entries: Sequence[Entry], wanted: Wanted, now_us: Micros, stale_seconds: float, path: str = PATH
) -> FleetPage:
    """Decide what the page shows."""
    known = [(entry, entry.watch(now_us, stale_seconds)) for entry in entries]
    chosen = [(entry, watch) for entry, watch in known if _shown(wanted, entry, watch)]
    key, _ = _SORTS[wanted.sort]
    chosen.sort(key=lambda one: key(one[0]), reverse=wanted.largest_first)
    part = lists.pager(path, wanted.query, wanted.page, len(chosen))
    rows = chosen[max(0, part.first - 1) : part.last]
    number = wanted.page if wanted.page > 1 and part.first > 1 else None
    return FleetPage(
        address=lists.address(path, {**wanted.query, "page": number}),
        path=path,
        tiles=_tiles(known, wanted, path),
        shows=tuple(Choice(name, text, name == wanted.show) for name, text in SHOWS.items()),
        owners=_owners(entries, wanted.owner),
        text=wanted.text,
        sorted_by={name: wanted.query[name] for name in ("sort", "order") if wanted.query[name]},
        heads=tuple(_head(text, sort, wanted, path) for text, sort in _HEADS),
        rows=tuple(_row(entry, watch, now_us) for entry, watch in rows),
        pager=part,
        filtered=any(wanted.chosen.values()),
        versions=len(entries),
    )


def _shown(wanted: Wanted, entry: Entry, watch: str) -> bool:
    if wanted.owner and entry.model.owner != wanted.owner:
        return False
    if wanted.show and not _is(wanted.show, entry, watch):
        return False
    text = wanted.text.casefold()
    return not text or any(text in part.casefold() for part in _searched(entry))


def _searched(entry: Entry) -> Iterable[str]:
    version = entry.version
    return f"{version.model} {version.version}", entry.model.owner, entry.worst or ""


def _is(name: str, entry: Entry, watch: str) -> bool:
    match name:
        case "attention":
            return entry.version.state in ATTENTION or entry.incidents > 0 or watch == "stale"
        case "incidents":
            return entry.incidents > 0
        case "silent":
            return watch == "stale"
        case "unwatched":
            return watch in UNWATCHED
        case state:
            return entry.version.state == state


def _tiles(known: Sequence[tuple[Entry, str]], wanted: Wanted, path: str) -> tuple[Tile, ...]:
    tiles = []
    for name, tone in TILES:
        number = sum(_is(name, entry, watch) for entry, watch in known)
        address = lists.address(path, {"show": name})
        tiles.append(Tile(SHOWS[name], number, address, tone if number else "none", wanted.show == name))
    everything = Tile(SHOWS[""], len(known), path, "none", not any(wanted.chosen.values()))
    return (*tiles, everything)


def _owners(entries: Iterable[Entry], chosen: str) -> tuple[Choice, ...]:
    names = sorted({entry.model.owner for entry in entries})
    shown = names[:OWNERS_LISTED]
    if chosen and chosen not in shown:
        shown = [chosen, *shown]
    return (
        Choice("", "Anybody", not chosen),
        *(Choice(name, name or "nobody", name == chosen) for name in shown if name),
    )


def _head(text: str, sort: str | None, wanted: Wanted, path: str) -> Head | str:
    if sort is None:
        return text
    is_sorted = sort == wanted.sort
    largest_first = not wanted.largest_first if is_sorted else _SORTS[sort][1]
    plain = largest_first == _SORTS[sort][1]
    query = {
        **wanted.chosen,
        "sort": None if plain and sort == "urgency" else sort,
        "order": None if plain else "desc" if largest_first else "asc",
    }
    order = ("descending" if wanted.largest_first else "ascending") if is_sorted else None
    return Head(text, lists.address(path, query), order)


def _row(entry: Entry, watch: str, now_us: Micros) -> FleetRow:
    version = entry.version
    return FleetRow(
        id=version.id,
        model=version.model,
        version=version.version,
        state=words.STATE_NAMES[version.state],
        tone=TONES[version.state],
        since=When.of(version.since_us, now_us),
        evidence=words.exponent(entry.log_evidence),
        threshold=words.exponent(entry.log_threshold),
        share=entry.share,
        over=entry.over,
        worst=entry.worst,
        worst_evidence=words.exponent(entry.worst_log),
        incidents=entry.incidents,
        severity=str(entry.severity) if entry.severity else None,
        last=When.of(entry.last_us, now_us) if entry.last_us else None,
        watch=WATCH_WORDS.get(watch),
        owner=entry.model.owner,
    )
