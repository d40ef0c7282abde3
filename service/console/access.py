"""Who is looking: cookies, forms, and what to do with someone who has not signed in."""

from dataclasses import dataclass
from urllib.parse import parse_qs, quote

from fastapi import Request, Response

from service.console.deps import ConsoleDeps
from service.console.pages import empty, render
from service.console.sessions import SESSION_SECONDS, Session, Signer
from service.domain.errors import BadRequest, Forbidden, TooLarge
from service.domain.ids import Actor
from service.domain.keys import Identity
from service.domain.records import Scope

COOKIE = "lazaretto_session"
FORM_BYTES_MAX = 32 * 1024
FORM_FIELDS_MAX = 20
PAGES = frozenset({"/fleet", "/incidents", "/reviews", "/maintenance", "/quality", "/red-team", "/audit", "/settings"})
BELOW = ("/models/", "/incidents/", "/reviews/", "/reports/", "/runbooks/")
ADDRESS_MAX = 2_000
QUERY_LETTERS = "=&%+-._~,:@"
"""Of a query, beside letters and digits, that stay as they are."""
_OWN_SITES = {None, "same-origin", "none"}


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in browser."""

    identity: Identity
    session: Session
    form_token: str


class SignInNeeded(Exception):
    """Nobody is signed in, or the key has gone or may not read."""


@dataclass(frozen=True, slots=True)
class Access:
    """Reads and writes the session cookie."""

    deps: ConsoleDeps
    signer: Signer

    def viewer(self, request: Request) -> Viewer:
        """Return who is signed in, and count the key as used.

        Raises
        ------
        SignInNeeded
            When there is no valid session, or its key was revoked, has expired or may not read.
        """
        now_us = self.deps.clock.now_us()
        session = self.signer.read_session(request.cookies.get(COOKIE), now_us)
        key = self.deps.keys.key(session.key_id) if session else None
        if session is None or key is None or key.revoked_us is not None:
            raise SignInNeeded
        identity = Identity(key_id=key.id, actor=Actor(key.name), scopes=key.scopes, models=key.models)
        if (key.expires_us is not None and key.expires_us <= now_us) or not identity.may(Scope.READ):
            raise SignInNeeded
        self.deps.used(key.id)
        return Viewer(identity, session, self.signer.form_token(session.token))

    def check_form(self, request: Request, token: str, form: dict[str, str]) -> None:
        """Raise Forbidden when a form does not come from one of our own pages of this cookie."""
        own = request.headers.get("sec-fetch-site") in _OWN_SITES
        if not own or not self.signer.form_matches(token, form.get("form_token", "")):
            raise Forbidden("This form is too old or was not made by this page. Nothing was changed; please try again.")

    def set_cookie(self, request: Request, response: Response, token: str) -> None:
        """Hand out a token that scripts cannot read and other sites cannot send."""
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)


def sign_in_first(request: Request) -> Response:
    """Send to the login page, and back afterwards.

    A strict cookie does not travel when a link in a chat or a mail is followed; a page of our own that moves on by
    itself makes the second request one of our own site, which the cookie does travel with.
    """
    if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        return render("moment.html", target=_path(request))
    after = f"?next={quote(_path(request), safe='/')}" if request.method == "GET" and request.url.path != "/" else ""
    return empty(303, {"location": f"/login{after}"})


def _path(request: Request) -> str:
    """Return the address that was asked for, with what it chooses: every view is an address."""
    path, query = quote(request.url.path, safe="/"), request.url.query
    return f"{path}?{quote(query, safe=QUERY_LETTERS)}" if query else path


def local_path(path: str) -> str:
    """Return an address to go on to after signing in: never another host, whatever was asked for."""
    where = path.partition("?")[0]
    known = where in PAGES or where.startswith(BELOW)
    fine = known and len(path) <= ADDRESS_MAX and path.isascii() and path.isprintable() and "\\" not in path
    return path if fine and "//" not in path else "/"


async def read_form(request: Request) -> dict[str, str]:
    """Read a small urlencoded form; the last value of each name counts.

    Raises
    ------
    TooLarge, BadRequest
        When it is too long or not a form.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES_MAX:
            raise TooLarge(f"This form may have at most {FORM_BYTES_MAX:,} bytes.")
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise BadRequest("This is not a form of this console.") from error
    return {name: values[-1] for name, values in fields.items()}
