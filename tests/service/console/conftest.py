"""A console over an in-memory fleet, and browsers that are signed in to it."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from service.console.deps import ConsoleDeps
from service.console.routes import build_router
from service.console.streams import Streams
from service.domain.errors import Unauthenticated
from service.domain.ids import Actor, Micros, Position
from service.domain.keys import Identity, hash_secret, parse_key
from service.domain.records import Incident, Scope
from service.domain.transcripts import TranscriptRecord
from service.office import OfficeStages
from service.transcripts import Reading
from tests.fakes import InMemoryStore
from tests.fakes.looking import InMemoryLooking, standing_of
from tests.service.console.seeding import OPERATOR, PEPPER, Fleet, busy_fleet, keyed


@dataclass
class Told:
    """Counts how often the gate was told of a change."""

    times: int = 0

    def __call__(self) -> None:
        self.times += 1


@dataclass
class Transcripts:
    """A store of transcripts that notes who reads."""

    records: list[TranscriptRecord] = field(default_factory=list)
    readers: list[Actor] = field(default_factory=list)

    def read(self, incident: Incident, actor: Actor, now_us: Micros, limit: int) -> list[TranscriptRecord]:
        self.readers.append(actor)
        return [one for one in self.records if one.incident_id == incident.id and one.until_us > now_us][:limit]

    def erase(self, incident: Incident, actor: Actor, reason: str, now_us: Micros) -> int:
        raise NotImplementedError

    def expire(self, now_us: Micros, rows: int) -> int:
        raise NotImplementedError


def authenticator(store: InMemoryStore) -> Callable[[str], Identity]:
    def authenticate(text: str) -> Identity:
        parts = parse_key(text)
        key = store.keys.key(parts.id) if parts else None
        if parts is None or key is None or key.secret_hash != hash_secret(PEPPER, parts.secret):
            raise Unauthenticated("the API key is not known")
        return Identity(key_id=key.id, actor=Actor(key.name), scopes=key.scopes, models=key.models)

    return authenticate


class Browser:
    """A browser's cookies and requests, one at a time, without a server in between."""

    def __init__(self, app: FastAPI) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console.test")
        self.headers, self.cookies = self._client.headers, self._client.cookies

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return asyncio.run(self._client.get(path, headers=headers))

    def post(self, path: str, data: dict[str, str] | None = None, content: bytes | None = None) -> httpx.Response:
        return asyncio.run(self._client.post(path, data=data, content=content))


@dataclass
class Console:
    """The application, and a way to open browsers on it."""

    fleet: Fleet
    app: FastAPI
    told: Told
    transcripts: Transcripts
    streams: Streams

    @property
    def store(self) -> InMemoryStore:
        return self.fleet.store

    def browser(self) -> Browser:
        return Browser(self.app)

    def signed_in(
        self, name: str, scopes: frozenset[Scope] = OPERATOR, models: frozenset[str] | None = None
    ) -> Browser:
        browser = self.browser()
        answer = post(browser, "/login", browser.get("/login").text, key=keyed(self.store, name, scopes, models).text)
        assert answer.status_code == 303, answer.text
        return browser


def form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found, "the page has no form"
    return found[1]


def post(browser: Browser, path: str, page: str, **fields: str) -> httpx.Response:
    return browser.post(path, data={"form_token": form_token(page), **fields})


@pytest.fixture
def console() -> Console:
    fleet = busy_fleet()
    office = OfficeStages(
        control=cast("Any", fleet.store.control),
        clock=fleet.clock,
        head=lambda: Position(9),
        limits=cast("Any", None),
        deidentifier=cast("Any", None),
        signing_key=b"x" * 32,
    )
    told, transcripts = Told(), Transcripts()
    app = FastAPI()
    deps = ConsoleDeps(
        read=fleet.store.read,
        looking=InMemoryLooking(fleet.store),
        standing=lambda: standing_of(fleet.store, fleet.clock),
        keys=fleet.store.keys,
        office=office,
        clock=fleet.clock,
        authenticate=authenticator(fleet.store),
        used=lambda _: None,
        session_key=b"s" * 32,
        changed=told,
        stale_seconds=300.0,
        transcripts=Reading(store=transcripts, keys=(b"t" * 32,), clock=fleet.clock),
    )
    app.include_router(build_router(deps))
    return Console(fleet, app, told, transcripts, deps.streams)
