"""The audit chain, by who, about what, what and when."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from service.console.access import Access, Viewer
from service.console.addresses import address, incident_url, page_url
from service.console.deps import ConsoleDeps
from service.console.lists import text_of
from service.console.maintenance import time_in
from service.console.pages import render
from service.console.read_models import When
from service.domain.errors import Unprocessable
from service.domain.ids import Micros
from service.domain.records import AuditEntry
from service.ports_pages import AuditWanted, PageStore

PATH = "/audit"
ROWS = 50
NAMES_READ = 200
DIGITS_MAX = 15
DETAIL_SHOWN = 600
FIELDS_SHOWN = 12
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One link of the chain."""

    seq: int
    at: When
    actor: str
    action: str
    subject: str
    address: str
    """Of what it is about, where that has a page."""
    detail: tuple[tuple[str, str], ...]
    """Names and values; of plain text one value without a name."""
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Everything on the page."""

    rows: tuple[AuditRow, ...]
    actors: tuple[str, ...]
    actions: tuple[str, ...]
    asked: Mapping[str, str]
    problems: tuple[str, ...]
    newer: str | None
    older: str | None
    newest: str
    filtered: bool
    span: str


def audit_page(store: PageStore, viewer: Viewer, query: Mapping[str, str], now_us: Micros) -> AuditPage:
    """Read a part of the chain, and decide what the page shows."""
    asked = {name: text_of(query, name) for name in ("actor", "model", "action", "since", "until")}
    problems: list[str] = []
    wanted = AuditWanted(
        models=viewer.identity.models,
        actor=asked["actor"] or None,
        model=asked["model"] or None,
        action=asked["action"] or None,
        since_us=_time("From", asked["since"], problems),
        until_us=_until(asked["until"], problems),
        before=_number(query.get("before", "")),
        after=_number(query.get("after", "")),
    )
    found = store.audit(wanted, ROWS + 1)
    backwards = wanted.after is not None
    rows = (found[-ROWS:] if backwards else found[:ROWS]) if len(found) > ROWS else found
    more = len(found) > ROWS
    first, last = (rows[0].seq, rows[-1].seq) if rows else (0, 0)
    names = store.audit_names(NAMES_READ) if viewer.identity.models is None else None
    is_newest = not backwards and wanted.before is None
    return AuditPage(
        rows=tuple(_row(entry, now_us) for entry in rows),
        actors=tuple(names.actors) if names else (),
        actions=_actions(names.actions) if names else (),
        asked=asked,
        problems=tuple(problems),
        newer=None if is_newest or not rows or (backwards and not more) else address(PATH, {**asked, "after": first}),
        older=address(PATH, {**asked, "before": last}) if rows and (more or backwards) and last > 1 else None,
        newest=address(PATH, asked),
        filtered=any(asked.values()),
        span=f"{first:,} to {last:,}" if rows else "",
    )


def _row(entry: AuditEntry, now_us: Micros) -> AuditRow:
    return AuditRow(
        seq=entry.seq,
        at=When.of(entry.at_us, now_us),
        actor=str(entry.actor),
        action=entry.action,
        subject=entry.subject,
        address=_address(entry),
        detail=_detail(entry.detail),
        digest=entry.digest,
    )


def _address(entry: AuditEntry) -> str:
    """Return where to read more; the subject of a link says what it is about."""
    kind = entry.action.partition(".")[0]
    if kind == "incident":
        return incident_url(entry.subject)
    model, _, rest = entry.subject.partition("/")
    if (
        kind in {"transition", "quarantine", "version", "baseline", "review", "release", "transcript", "principal"}
        and rest
    ):
        return page_url(model, rest.partition("/")[0] if kind == "principal" else rest)
    return {"maintenance": "/maintenance", "notification": "/settings", "key": "/settings#keys"}.get(kind, "")


def _detail(text: str) -> tuple[tuple[str, str], ...]:
    """Write a detail as names and values where it is an object of JSON, and as it is otherwise."""
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict):
            said = [(str(name), _short(value)) for name, value in found.items() if value is not None]
            left = len(said) - FIELDS_SHOWN
            return tuple(said[:FIELDS_SHOWN]) + ((("", f"and {left} more"),) if left > 0 else ())
    return (("", _cut(text)),) if text else ()


def _short(value: object) -> str:
    return _cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return f"{text[:DETAIL_SHOWN]} ..." if len(text) > DETAIL_SHOWN else text


def _actions(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of actions with their families: ``incident`` stands for all that is done to one."""
    return tuple(sorted({*names, *(name.partition(".")[0] for name in names)}))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None


def _time(what: str, text: str, problems: list[str]) -> Micros | None:
    """Return a day or a time of the address in UTC; what is none is told, and asked for no more."""
    if not text:
        return None
    try:
        return time_in(what, text)
    except Unprocessable:
        problems.append(f"{what}: '{text[:40]}' is no day such as 2026-11-26, and no time such as 2026-11-26T03:00.")
        return None


def _until(text: str, problems: list[str]) -> Micros | None:
    """Return the end: of a whole day the beginning of the next one."""
    found = _time("To", text, problems)
    whole_day = len(text) == len("2026-11-26")
    return found if found is None or not whole_day else Micros(found + DAY_US)


def add_audit(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the page."""
    store = deps.pages
    if store is None:
        return

    @router.get(PATH)
    def audit(request: Request) -> Response:
        viewer = access.viewer(request)
        page = audit_page(store, viewer, request.query_params, deps.clock.now_us())
        return render("audit.html", viewer=viewer, page=page)
