"""Notifications: what waits, what was given up, and how each channel is."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from service.api.bodies import Replay, decode_body
from service.api.deps import Api, ApiDep, Limit, Operator, Reader, SmallBody, answer, documented_answer, documented_body
from service.api.views_notify import ChannelView, DeliveryView, of_backlog, of_delivery
from service.domain.errors import Forbidden, NotFound
from service.domain.keys import Identity
from service.domain.notices import DeliveryStatus
from service.gate.fleet import unknown
from service.notify.conclude import trial_message
from service.office import new_id

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])
ACCEPTED = 202
ChannelFilter = Annotated[str | None, Query(description="Only to this channel.")]
MessageFilter = Annotated[str | None, Query(description="Only of this message.")]


@router.get("", responses=documented_answer(dict[str, list[DeliveryView]], "Deliveries, newest first."))
def list_notifications(
    api: ApiDep,
    who: Reader,
    status: Literal["pending", "delivered", "dead"] | None = None,
    channel: ChannelFilter = None,
    message: MessageFilter = None,
    limit: Limit = 100,
) -> Response:
    """List deliveries: one for each message and channel."""
    _unlimited(who)
    found = api.desk.deliveries(
        status=None if status is None else DeliveryStatus(status),
        channel=channel,
        message_id=message,
        limit=min(limit, api.settings.list_max),
    )
    return answer({"notifications": [of_delivery(one) for one in found]})


@router.get("/channels", responses=documented_answer(dict[str, list[ChannelView]], "Every channel."))
def list_channels(api: ApiDep, who: Reader) -> Response:
    """List channels with what waits for them, and whether they work."""
    _unlimited(who)
    return answer({"channels": of_backlog(api.desk.backlog(api.clock.now_us()), api.channel_names)})


@router.post(
    "/replay",
    openapi_extra=documented_body(Replay),
    responses=documented_answer(dict[str, int], "How many dead letters will be tried again."),
)
def replay(api: ApiDep, who: Operator, content: SmallBody) -> Response:
    """Let dead letters be tried again from the start: of one message, of one channel, or all of them."""
    _unlimited(who)
    body = decode_body(content, Replay, {})
    if body.channel is not None:
        _known(api, body.channel)
    now_us = api.clock.now_us()
    number = api.desk.replay(who.actor, body.message, body.channel, now_us, api.settings.list_max)
    if number == 0 and body.message is not None:
        raise NotFound(f"message '{body.message[:100]}' is no dead letter")
    return answer({"replayed": number})


@router.post(
    "/channels/{channel}/test",
    status_code=ACCEPTED,
    responses=documented_answer(dict[str, str], "The message; ask the list for what became of it.", ACCEPTED),
)
def test_channel(api: ApiDep, who: Operator, channel: str) -> Response:
    """Send a message that says nothing but that it is a test, past routes and quiet hours."""
    _unlimited(who)
    _known(api, channel)
    now_us = api.clock.now_us()
    message = trial_message(channel, who.actor, now_us, new_id())
    api.desk.put_test(who.actor, message, channel, now_us)
    return answer({"message_id": message.id, "channel": channel}, ACCEPTED)


def _known(api: Api, channel: str) -> None:
    if channel not in api.channel_names:
        raise unknown(f"channel '{channel[:100]}'", channel, list(api.channel_names))


def _unlimited(who: Identity) -> None:
    """Messages are about every model, and about none."""
    if who.models is not None:
        raise Forbidden(f"key '{who.key_id}' is limited to some models; notifications are about all of them")
