"""``lazaretto incidents``: look at incidents and act on them, over HTTP, with a key: the console without a browser."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from service.cli.asking import URL, ask
from service.cli.common import AsJson, plain, print_json, print_table

app = typer.Typer(no_args_is_help=True)
BODY_SHOWN = 300
KEYS_HELP = "Of your own; reading needs scope read, acting operate."

Incident = Annotated[str, typer.Argument(help="As `lazaretto incidents list` shows it.")]
Url = Annotated[str, typer.Option("--url", envvar="LAZARETTO_URL", help="Of the running Lazaretto.")]
Key = Annotated[str, typer.Option("--key", envvar="LAZARETTO_API_KEY", help=KEYS_HELP)]
Note = Annotated[str, typer.Option("--note", help="Stands in the timeline and the audit chain.")]
Seen = Annotated[
    int | None, typer.Option("--seen", help="The number of changes that you saw: refused if there is a newer one.")
]


@app.command("list")
def list_incidents(
    key: Key,
    url: Url = URL,
    model: Annotated[str | None, typer.Option("--model", help="Only of this model.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="open, acknowledged or resolved.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """List incidents, newest first."""
    given = {"model": model, "status": status, "limit": limit}
    told = ask("GET", url, "/v1/incidents", key, params={name: one for name, one in given.items() if one is not None})
    if as_json:
        print_json(told)
        return
    names = ("id", "status", "severity", "opened", "assignee", "title")
    rows = [[str(one[name] or "-") for name in names] for one in told["incidents"]]
    print_table("Incidents, newest first", list(names), rows)


@app.command()
def show(incident: Incident, key: Key, url: Url = URL, *, as_json: AsJson = False) -> None:
    """Show an incident with all that was said and done about it."""
    told = ask("GET", url, _path(incident), key)
    if as_json:
        print_json(told)
        return
    who = f", with {told['assignee']}" if told["assignee"] else ""
    verdict = f", {told['verdict']}" if told["verdict"] else ""
    typer.echo(plain(told["title"]))
    typer.echo(plain(f"{told['id']}: {told['status']}{verdict}{who}; severity {told['severity']}; seen {told['lock']}"))
    for link in told["links"]:
        typer.echo(plain(f"{link['incident_id']} {link['kind']}: {link['other_id']}"))
    snooze = told["snooze"]
    if snooze:
        worse = " or until it is worse" if snooze["until_worse"] else ""
        typer.echo(plain(f"snoozed by {snooze['by']} until {snooze['until']}{worse}"))
    for item in told["timeline"]:
        body = f": {item['body'][:BODY_SHOWN]}" if item["body"] else ""
        typer.echo(plain(f"  {item['at']} {item['actor']} {item['kind']}{body}"))


@app.command()
def ack(
    incident: Incident, key: Key, note: Note = "", seen: Seen = None, url: Url = URL, *, as_json: AsJson = False
) -> None:
    """Say that you are looking."""
    _act("ack", incident, key, url, {"note": note}, seen, as_json=as_json)


@app.command()
def assign(  # noqa: PLR0913 - one per option
    incident: Incident,
    key: Key,
    to: Annotated[str, typer.Option("--to", help="Whose it is now.")],
    note: Note = "",
    seen: Seen = None,
    url: Url = URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Give an incident to somebody."""
    _act("assign", incident, key, url, {"assignee": to, "note": note}, seen, as_json=as_json)


@app.command()
def comment(incident: Incident, key: Key, note: Note, url: Url = URL, *, as_json: AsJson = False) -> None:
    """Add a note to the timeline."""
    _act("comment", incident, key, url, {"note": note}, None, as_json=as_json)


@app.command()
def resolve(  # noqa: PLR0913 - one per option
    incident: Incident,
    key: Key,
    verdict: Annotated[
        str, typer.Option("--verdict", help="real drift, data bug, attack, benign or false alarm: what it was.")
    ],
    note: Note = "",
    seen: Seen = None,
    url: Url = URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Say what it was, and end it."""
    _act("resolve", incident, key, url, {"verdict": verdict, "note": note}, seen, as_json=as_json)


@app.command()
def snooze(  # noqa: PLR0913 - one per option
    incident: Incident,
    key: Key,
    hours: Annotated[float | None, typer.Option("--hours", min=0.001, max=168, help="For how long.")] = None,
    note: Note = "",
    seen: Seen = None,
    url: Url = URL,
    *,
    until_worse: Annotated[bool, typer.Option("--until-worse", help="It ends when the incident is worse.")] = False,
    as_json: AsJson = False,
) -> None:
    """Page nobody of it for a time, or until it is worse; a quarantine is told all the same."""
    from service.clock import SystemClock

    body: dict[str, Any] = {"note": note, "until_worse": until_worse}
    if hours is not None:
        body["until"] = datetime.fromtimestamp(SystemClock().now_us() / 1e6 + hours * 3_600, UTC).isoformat()
    told = _ask("snooze", incident, key, url, body, seen)
    _tell(told, f"incident {incident} is snoozed until {told['until']}", as_json=as_json)


@app.command()
def wake(
    incident: Incident, key: Key, note: Note = "", seen: Seen = None, url: Url = URL, *, as_json: AsJson = False
) -> None:
    """End a snooze before its time."""
    _act("wake", incident, key, url, {"note": note}, seen, as_json=as_json)


@app.command()
def merge(  # noqa: PLR0913 - one per option
    incident: Incident,
    key: Key,
    into: Annotated[str, typer.Option("--into", help="The incident that it becomes part of.")],
    note: Note = "",
    seen: Seen = None,
    url: Url = URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Make an incident part of another one of the same model."""
    _act("merge", incident, key, url, {"into": into, "note": note}, seen, as_json=as_json)


def _path(incident: str) -> str:
    return f"/v1/incidents/{quote(incident, safe='')}"


def _ask(action: str, incident: str, key: str, url: str, body: Mapping[str, Any], seen: int | None) -> dict[str, Any]:
    headers = {} if seen is None else {"if-match": f'"{seen}"'}
    return ask("POST", url, f"{_path(incident)}/{action}", key, headers=headers, json=body)


def _act(  # noqa: PLR0913 - what every action has
    action: str, incident: str, key: str, url: str, body: Mapping[str, Any], seen: int | None, *, as_json: bool
) -> None:
    told = _ask(action, incident, key, url, body, seen)
    who = f", with {told['assignee']}" if told["assignee"] else ""
    verdict = f", {told['verdict']}" if told["verdict"] else ""
    _tell(told, f"incident {told['id']} is {told['status']}{verdict}{who}", as_json=as_json)


def _tell(told: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    typer.echo(plain(f"{text}."))
