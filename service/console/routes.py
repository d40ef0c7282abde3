"""The console's addresses."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from service.console import actions
from service.console.access import COOKIE, Access, SignInNeeded, local_path, read_form, sign_in_first
from service.console.deps import ConsoleDeps
from service.console.desks import add_desks
from service.console.fleet_views import FleetViews, add_fleet
from service.console.history import FIRST, SPANS
from service.console.incident_routes import add_incidents
from service.console.live import add_live
from service.console.pages import empty, render, static_files
from service.console.reports import add_reports
from service.console.roll import Roll
from service.console.sessions import Signer
from service.console.transcripts import add_transcripts
from service.console.views import Asked, Views
from service.console.window_reports import add_window_reports
from service.detect.windows import ROLLING
from service.domain.errors import LazarettoError, NotFound, Unauthenticated, Unavailable
from service.domain.records import Scope

AGAIN_SECONDS = 5
COLUMN_MAX = 300
"""Letters of a column's name that are read."""


class ConsoleRoute(APIRoute):
    """Answers expected errors as pages, not as problem documents."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # narrower than Coroutine, as awaited
        """Wrap the handler."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except SignInNeeded:
                return sign_in_first(request)
            except LazarettoError as error:
                return _refusal(request, error)

        return handle


def _refusal(request: Request, error: LazarettoError) -> Response:
    """Say why there is no page; what is only away for a moment is asked for again, unless it was a form."""
    after = max(AGAIN_SECONDS, error.retry_after_seconds) if isinstance(error, Unavailable) else None
    headers = {"retry-after": str(after)} if after else {}
    again = after if request.method == "GET" else None
    return render("message.html", error.status, headers, title=error.title, text=error.detail, again=again)


def build_router(deps: ConsoleDeps) -> APIRouter:
    """Return the console as a router to be included at the root of the application."""
    router = APIRouter(route_class=ConsoleRoute, include_in_schema=False)
    access = Access(deps, Signer(deps.session_key))
    roll = Roll(deps.standing, deps.looking)
    views = Views(deps, roll)
    _add_sign_in(router, deps, access)
    _add_pages(router, access, views)
    add_fleet(router, access, FleetViews(deps, roll))
    add_live(router, deps, access)
    add_transcripts(router, deps, access)
    add_reports(router, deps, access)  # before the forms of incidents, which take any other name
    add_window_reports(router, deps, access)
    add_incidents(router, deps, access, views)
    add_desks(router, deps, access)
    _add_actions(router, deps, access, views)
    _add_lift(router, deps, access, views)
    _add_together(router, deps, access, views)
    return router


def _add_sign_in(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    def login_page(request: Request, next_path: str, problem: str | None = None, status: int = 200) -> Response:
        token = access.signer.visitor(deps.clock.now_us())
        known = request.cookies.get(COOKIE)
        now_us = deps.clock.now_us()
        if known and (access.signer.is_visitor(known, now_us) or access.signer.read_session(known, now_us)):
            token = known
        form_token = access.signer.form_token(token)
        page = render("login.html", status, form_token=form_token, next_path=local_path(next_path), problem=problem)
        if token != known:
            access.set_cookie(request, page, token)
        return page

    @router.get("/login")
    def login(request: Request) -> Response:
        return login_page(request, request.query_params.get("next", "/"))

    @router.post("/login")
    async def sign_in(request: Request) -> Response:
        form = await read_form(request)
        access.check_form(request, request.cookies.get(COOKIE, ""), form)
        after = local_path(form.get("next", "/"))
        try:
            identity = await run_in_threadpool(deps.authenticate, form.get("key", "").strip())
        except Unauthenticated as error:
            return login_page(request, after, f"This key was not accepted: {error.detail}", error.status)
        if not identity.may(Scope.READ):
            return login_page(request, after, "This key may not read: the console needs a key with scope 'read'.", 403)
        answer = empty(303, {"location": after})
        access.set_cookie(request, answer, access.signer.session(identity.key_id, deps.clock.now_us()))
        return answer

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        form = await read_form(request)
        token = request.cookies.get(COOKIE, "")
        access.check_form(request, token, form)
        deps.streams.end(token)
        answer = empty(303, {"location": "/login"})
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer


def asked_of(request: Request) -> Asked:
    """Return what a request for a page says; a window or a span that does not exist is as good as none."""
    query = request.query_params
    window, column = query.get("window"), query.get("column")
    return Asked(
        known=request.headers.get("if-none-match"),
        window=window if window in ROLLING else None,
        span=SPANS.get(query.get("span", ""), FIRST),
        column=column[:COLUMN_MAX] if column else None,
    )


def _add_pages(router: APIRouter, access: Access, views: Views) -> None:
    @router.get("/")
    def home(request: Request) -> Response:
        viewer = access.viewer(request)
        found = views.first(viewer)
        if found is None:
            return render("empty.html", viewer=viewer)
        return views.version(viewer, *found, asked=asked_of(request))

    @router.get("/models/{model}/versions/{version}")
    def version_page(request: Request, model: str, version: str) -> Response:
        viewer = access.viewer(request)
        done = actions.DONE.get(request.query_params.get("done", ""))
        return views.version(viewer, model, version, notice=done, asked=asked_of(request))

    @router.get("/static/{name}")
    def static(request: Request, name: str) -> Response:
        file = static_files().get(name)
        if file is None:
            raise NotFound(f"There is no file '{name}'.")
        return file.response(request.query_params.get("v"), request.headers.get("if-none-match"))


def _add_actions(router: APIRouter, deps: ConsoleDeps, access: Access, views: Views) -> None:
    @router.post("/models/{model}/versions/{version}/transitions")
    async def transition(request: Request, model: str, version: str) -> Response:
        form = await read_form(request)

        def act() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            try:
                done = actions.transition(deps, viewer.identity, model, version, form)
            except LazarettoError as error:
                return views.version(viewer, model, version, problem=error)
            return empty(303, {"location": views.url(model, version, done)})

        return await run_in_threadpool(act)


def _add_lift(router: APIRouter, deps: ConsoleDeps, access: Access, views: Views) -> None:
    @router.post("/models/{model}/versions/{version}/principals/{principal}/lift")
    async def lift(request: Request, model: str, version: str, principal: str) -> Response:
        form = await read_form(request)

        def act() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            try:
                done = actions.lift(deps, viewer.identity, model, version, principal, form)
            except LazarettoError as error:
                return views.version(viewer, model, version, problem=error)
            return empty(303, {"location": views.url(model, version, done)})

        return await run_in_threadpool(act)


def _add_together(router: APIRouter, deps: ConsoleDeps, access: Access, views: Views) -> None:
    @router.post("/models/{model}/versions/{version}/together/{action}")
    async def together(request: Request, model: str, version: str, action: str) -> Response:
        form = await read_form(request)

        def act() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            try:
                done = actions.decide_together(deps, viewer.identity, model, version, action, form)
            except LazarettoError as error:
                return views.version(viewer, model, version, problem=error)
            return empty(303, {"location": views.url(model, version, done)})

        return await run_in_threadpool(act)
