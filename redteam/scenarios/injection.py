"""Strings that mean something to whoever reads them: markup, templates, queries, line ends, paths."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import numpy as np

from redteam.scenarios.base import Checks
from redteam.scenarios.service import (
    ACCEPTED,
    CREATED,
    FOLLOWING,
    OK,
    QUIET,
    SCHEMA,
    Service,
    ServiceFailed,
    Target,
    event,
    prober,
)

SEE_OTHER = 303
GATE = frozenset({200, 403})
POLICY = "content-security-policy"

EVIL = (
    "<script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    "{{7*7}}${7*7}#{7*7}",
    "'; DROP TABLE models;--",
    "../../../etc/passwd",
    "a\r\nx-gate-state: active",
    'a"} 1\nlazaretto_forged 1\nlazaretto_model_state{model="',
    "%s%n%x{0.__class__}",
    "\x00\x1b[2J",
    "\u202egnp.exe",
)
SAMPLE = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? \S+")
"""One line of an exposition of metrics."""


SHORT = 60
"""Characters of an evil string that a report shows."""
NOT_FOUND = 404
ESCAPED = ("&lt;script&gt;", "&#60;script&#62;", "&lt;img src=x")
"""How pages show them."""
FORM_TOKEN = re.compile(r'name="form_token" value="([^"]*)"')


def strings(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Put them wherever a name or a text goes, and look at what comes out: answers, pages, metrics, headers."""
    target = service.model(rng, {"adversarial": {"follow": FOLLOWING}, "actions": QUIET})
    for text in EVIL:
        _names(service, checks, target, text)
        answer = target.post([event(rng, principal=text, segment={text[:20]: text}, event_id=text)])
        checks.expect(f"an event that says {text!r}", answer, held=answer.status == ACCEPTED or answer.refused)
    wide = _columns(service, checks)
    for _ in range(2):
        target.send(prober(rng, 240), EVIL[0])
    target.settled()
    incident = _comments(service, checks, target)
    with _console(service) as browser:
        full = (f"/models/{target.name}/versions/1", f"/incidents/{incident}")
        look_at(checks, browser, full, OK, told=True)
        look_at(checks, browser, wide, OK, told=False)
        look_at(checks, browser, ("/models/%3Cscript%3E/versions/1",), NOT_FOUND, told=False)
    _metrics(service, checks)
    _gate(service, checks)


def look_at(checks: Checks, browser: httpx.Client, paths: Iterable[str], status: int, *, told: bool) -> None:
    """Look at pages: each is what was asked for, under a policy that runs no script, and no string is in it as it was.

    Where strings must be ``told`` of, a page without any, as text, proves nothing.
    """
    for path in paths:
        shown = browser.get(path)
        loud = [text for text in EVIL if "<" in text and text in shown.text]
        plain = sum(shown.text.count(escaped) for escaped in ESCAPED)
        sound = shown.status_code == status and "script-src" in shown.headers.get(POLICY, "")
        seen = f"{shown.status_code}, {len(loud)} strings as they were, {plain} as text"
        checks.expect(f"the page {path[:SHORT]}", seen, held=sound and not loud and (plain > 0 or not told))


def _names(service: Service, checks: Checks, target: Target, text: str) -> None:
    """Try a string as the name of everything, and as the reason of a transition."""
    for what, path, body in (
        ("a model", "/v1/models", {"name": text, "owner": "x"}),
        ("a version", f"/v1/models/{target.name}/versions", {"version": text, "schema": SCHEMA}),
        ("a key", "/v1/keys", {"name": text, "scopes": ["read"], "expires_days": 1}),
    ):
        answer = service.ask("POST", path, json=body)
        checks.expect(f"{what} named {text!r}", answer, held=answer.refused)
    column = service.ask("GET", f"{target.path}/history", params={"column": text})
    checks.expect(f"the history of a column {text!r}", column, held=column.refused)
    given = service.ask("POST", f"{target.path}/transitions", json={"event": "suspect", "reason": text})
    checks.expect(f"a reason {text!r}", given, held=given.status == OK or given.refused)
    if given.status == OK:
        service.must("POST", f"{target.path}/transitions", json={"event": "clear", "reason": "again"})


def _columns(service: Service, checks: Checks) -> list[str]:
    """Register versions whose columns are called so; return the pages of those that were taken."""
    made = service.must("POST", "/v1/models", json={"name": f"redteam-service-{service.run}-wide", "owner": "red team"})
    service.models.append(made["name"])
    pages = []
    for number, text in enumerate(EVIL):
        schema = SCHEMA | {"features": [*SCHEMA["features"], {"name": text, "kind": "categorical"}]}
        body = {"version": str(number), "schema": schema}
        answer = service.ask("POST", f"/v1/models/{made['name']}/versions", json=body)
        checks.expect(f"a column named {text!r}", answer, held=answer.status == CREATED or answer.refused)
        if answer.status == CREATED:
            pages.append(f"/models/{made['name']}/versions/{number}")
    return pages


def _comments(service: Service, checks: Checks, target: Target) -> str:
    """Write the strings into an incident; return its id."""
    told = service.must("GET", "/v1/incidents", params={"model": target.name, "version": "1"})["incidents"]
    if not told:
        raise ServiceFailed("no incident to comment on: the probing client raised none")
    incident: str = told[0]["id"]
    for text in EVIL:
        answer = service.ask("POST", f"/v1/incidents/{incident}/comment", json={"note": text})
        checks.expect(f"a comment {text!r}", answer, held=answer.status == OK or answer.refused)
    return incident


@contextmanager
def _console(service: Service) -> Iterator[httpx.Client]:
    """Yield a browser that has signed in."""
    with httpx.Client(base_url=service.http.base_url, timeout=service.http.timeout, trust_env=False) as browser:
        found = FORM_TOKEN.search(browser.get("/login").text)
        form = {"key": service.key("read"), "next": "/", "form_token": found.group(1) if found else ""}
        signed = browser.post("/login", data=form)
        if signed.status_code != SEE_OTHER:
            raise ServiceFailed(f"the console lets nobody in: {signed.status_code}")
        yield browser


def _metrics(service: Service, checks: Checks) -> None:
    text = str(service.ask("GET", "/metrics").body)
    odd = [line for line in text.splitlines() if line and not line.startswith("#") and not SAMPLE.fullmatch(line)]
    checks.expect("every line of the metrics is one sample", f"{len(odd)} odd lines", held=not odd and bool(text))
    checks.expect("no sample is forged", "lazaretto_forged" in text, held="\nlazaretto_forged" not in text)


def _gate(service: Service, checks: Checks) -> None:
    for text in EVIL:
        answer = service.ask_gate(f"/v1/gate/v2/models/{quote(text, safe='')}/versions/1/infer", [])
        plain = answer.headers.get("x-gate-state") == "unknown"
        checks.expect(f"the gate is asked for {text!r}", answer, held=plain and answer.status in GATE)
