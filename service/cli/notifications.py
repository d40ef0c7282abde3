"""``lazaretto notifications``: works on the state store itself, also while a server runs."""

import time
from typing import Annotated

import typer

from service.cli.common import AsJson, DataDir, load_settings, open_state, print_json, print_table

app = typer.Typer(no_args_is_help=True)
WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.25
LIMIT_MAX = 500
ChannelOption = Annotated[str | None, typer.Option("--channel", help="Only this channel.")]


@app.command("list")
def list_notifications(
    status: Annotated[str | None, typer.Option("--status", help="pending, delivered or dead.")] = None,
    channel: ChannelOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=LIMIT_MAX)] = 50,
    data_dir: DataDir = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first, and how each channel is."""
    from service.api.views_notify import of_backlog, of_delivery
    from service.clock import SystemClock
    from service.domain.notices import DeliveryStatus
    from service.notify.channels import channel_names

    known = [one.value for one in DeliveryStatus]
    if status is not None and status not in known:
        raise typer.BadParameter(f"must be one of {', '.join(known)}", param_hint="--status")
    settings = load_settings(data_dir=data_dir)
    store = open_state(settings)
    try:
        wanted = None if status is None else DeliveryStatus(status)
        found = store.desk.deliveries(status=wanted, channel=channel, message_id=None, limit=limit)
        backlog = store.desk.backlog(SystemClock().now_us())
    finally:
        store.close()
    views = [of_delivery(one) for one in found]
    channels = of_backlog(backlog, channel_names(settings.notifications, settings.webhook_url))
    if as_json:
        print_json({"notifications": views, "channels": channels})
        return
    rows = [[c.name, c.circuit, str(c.pending), str(c.dead), c.last_success or "never", c.detail] for c in channels]
    print_table("Channels", ["channel", "circuit", "waiting", "given up", "last success", "last failure"], rows)
    rows = [
        [v.message_id, v.channel, v.kind, f"{v.model} {v.version}".strip(), v.status, str(v.attempts), v.detail]
        for v in views
    ]
    print_table("Deliveries", ["message", "channel", "kind", "about", "status", "failed", "why"], rows)


@app.command()
def replay(
    message: Annotated[str | None, typer.Argument(help="Id of a message; by default all dead letters.")] = None,
    channel: ChannelOption = None,
    data_dir: DataDir = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All dead letters, up to 500.")] = False,
) -> None:
    """Let dead letters be tried again from the start."""
    from service.cli.failures import Failure
    from service.clock import SystemClock
    from service.domain.ids import Actor

    if message is None and channel is None and not every:
        raise Failure("say what: a message, --channel, or --all")
    store = open_state(load_settings(data_dir=data_dir))
    try:
        now_us = SystemClock().now_us()
        number = store.desk.replay(Actor("command line"), message, channel, now_us, LIMIT_MAX)
    finally:
        store.close()
    if number == 0:
        raise Failure("there is no such dead letter")
    typer.echo(f"{number} will be tried again.")


@app.command("test")
def send_test(
    channel: Annotated[str, typer.Argument(help="Name of the channel.")],
    wait: Annotated[float, typer.Option("--wait", min=0, max=600, help="Seconds to wait for it.")] = WAIT_SECONDS,
    data_dir: DataDir = None,
) -> None:
    """Send a test to a channel, through the worker, and say what became of it."""
    from service.cli.failures import Failure
    from service.clock import SystemClock
    from service.domain.ids import Actor
    from service.notify.channels import channel_names
    from service.notify.conclude import trial_message
    from service.office import new_id
    from service.store import Store

    settings = load_settings(data_dir=data_dir)
    names = channel_names(settings.notifications, settings.webhook_url)
    if channel not in names:
        raise Failure(f"there is no channel '{channel}'; known: {', '.join(names)}")

    def watch(store: Store, message_id: str) -> str:
        until = time.monotonic() + wait
        while True:
            (one,) = store.desk.deliveries(status=None, channel=channel, message_id=message_id, limit=1)
            if one.status.value != "pending":
                return f"{one.status}" if not one.detail else f"{one.status}: {one.detail}"
            if time.monotonic() >= until:
                failed = f"failed {one.attempts} times: {one.detail}" if one.attempts else "is the worker running?"
                return f"still waiting; {failed}"
            time.sleep(LOOK_SECONDS)

    store = open_state(settings)
    try:
        actor, now_us = Actor("command line"), SystemClock().now_us()
        message = trial_message(channel, actor, now_us, new_id())
        store.desk.put_test(actor, message, channel, now_us)
        became = watch(store, message.id)
    finally:
        store.close()
    if became != "delivered":
        raise Failure(f"the test {message.id} to '{channel}' is {became}")
    typer.echo(f"The test {message.id} was delivered to '{channel}'.")
