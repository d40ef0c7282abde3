"""What is in force: settings, channels with their health, the schedule, and keys."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.console.access import Access, Viewer, read_form
from service.console.deps import ConsoleDeps
from service.console.lists import number_of, pager, rows_of
from service.console.pages import empty, render
from service.console.read_models import When
from service.console.redteam import schedule_line
from service.console.settings_rows import channel_rows, delivery_rows, key_rows, route_lines, setting_rows
from service.console.typed import sentence
from service.domain.errors import Forbidden, LazarettoError, NotFound
from service.domain.ids import Micros
from service.domain.keys import Identity
from service.domain.notices import Delivery, DeliveryStatus
from service.domain.records import Scope
from service.notify.conclude import trial_message
from service.office import new_id
from service.ports_notify import NotificationDesk

DEAD_SHOWN, LATEST_SHOWN = 20, 15
REPLAYED_MAX = 500
DONE = {
    "test": "A test is on its way: what became of it stands under the latest messages.",
    "replay": "What was given up is tried again.",
}


@dataclass(frozen=True, slots=True)
class SettingsViews:
    """Makes the page."""

    deps: ConsoleDeps
    desk: NotificationDesk

    def page(
        self, viewer: Viewer, *, notice: str | None = None, problem: LazarettoError | None = None, number: int = 1
    ) -> Response:
        """Render the page.

        Raises
        ------
        Forbidden
            For a key of some models: what is in force is about all of them.
        """
        who, now_us = viewer.identity, self.deps.clock.now_us()
        _unlimited(who)
        settings, schedule = self.deps.settings, self.deps.schedule()
        may_keys = who.may(Scope.ADMIN)
        keys = self.deps.read.keys() if may_keys else ()
        part = pager("/settings", {}, number, len(keys), name="keys")
        uses: Mapping[str, Micros] = self.deps.uses.uses() if self.deps.uses is not None and may_keys else {}
        return render(
            "settings.html",
            problem.status if problem else 200,
            viewer=viewer,
            settings=setting_rows(settings) if settings else (),
            channels=channel_rows(self.deps.channels, settings, self.desk.backlog(now_us), now_us),
            routes=route_lines(settings.notifications.routes) if settings else (),
            dead=delivery_rows(self._deliveries(DeliveryStatus.DEAD, DEAD_SHOWN), now_us),
            latest=delivery_rows(self._deliveries(None, LATEST_SHOWN), now_us),
            schedule=schedule_line(schedule, now_us),
            planned=settings is not None and settings.redteam_plan is not None,
            next_run=When.of(schedule.next_us, now_us) if schedule.next_us else None,
            keys=rows_of(key_rows(keys, uses, now_us), part),
            keys_part=part,
            may_keys=may_keys,
            may=who.may(Scope.OPERATE),
            notice=notice,
            problem=sentence(problem) if problem else None,
        )

    def _deliveries(self, status: DeliveryStatus | None, limit: int) -> list[Delivery]:
        return list(self.desk.deliveries(status=status, channel=None, message_id=None, limit=limit))

    def do(self, who: Identity, channel: str, action: str) -> str:
        """Send a test to a channel, or let its dead letters be tried again; return what was done.

        Raises
        ------
        NotFound, Forbidden
            When there is no such channel or action, or the key may not.
        """
        who.require(Scope.OPERATE)
        _unlimited(who)
        if channel not in self.deps.channels:
            raise NotFound(f"There is no channel '{channel[:100]}'.")
        now_us = self.deps.clock.now_us()
        match action:
            case "test":
                self.desk.put_test(who.actor, trial_message(channel, who.actor, now_us, new_id()), channel, now_us)
            case "replay":
                self.desk.replay(who.actor, None, channel, now_us, REPLAYED_MAX)
            case _:
                raise NotFound(f"'{action[:100]}' cannot be done to a channel.")
        return action


def _unlimited(who: Identity) -> None:
    if who.models is not None:
        raise Forbidden(f"key '{who.key_id}' is limited to some models; settings and channels are about all of them")


def add_settings(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the page, where there is anything to show on it."""
    if deps.desk is None:
        return
    views = SettingsViews(deps, deps.desk)

    @router.get("/settings")
    def settings(request: Request) -> Response:
        query = request.query_params
        return views.page(
            access.viewer(request), notice=DONE.get(query.get("done", "")), number=number_of(query, "keys")
        )

    @router.post("/settings/channels/{channel}/{action}")
    async def act(request: Request, channel: str, action: str) -> Response:
        form = await read_form(request)

        def answer() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            try:
                done = views.do(viewer.identity, channel, action)
            except NotFound as error:
                return views.page(viewer, problem=error)
            return empty(303, {"location": f"/settings?done={done}#channels"})

        return await run_in_threadpool(answer)
