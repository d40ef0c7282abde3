"""``lazaretto keys``: works on the data directory itself, also on a fresh one and while a server runs."""

from typing import Annotated

import typer

from service.cli.common import AsJson, DataDir, load_settings, open_state, print_json, print_table
from service.domain.records import Scope

app = typer.Typer(no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", help="Who or what will use the key; it signs what they do.")],
    scopes: Annotated[str, typer.Option("--scopes", help="Comma-separated: ingest, read, operate, admin.")],
    models: Annotated[str | None, typer.Option("--models", help="Comma-separated; by default all.")] = None,
    expires_days: Annotated[float | None, typer.Option("--expires-days", help="By default never.")] = None,
    data_dir: DataDir = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once."""
    from service.clock import SystemClock
    from service.domain.ids import Actor
    from service.office import KeyRequest, issue_key
    from service.settings import Secrets

    settings = load_settings(data_dir=data_dir)
    request = KeyRequest(
        name=name,
        scopes=_scopes(scopes),
        models=_names(models) if models is not None else None,
        expires_days=expires_days,
    )
    store = open_state(settings)
    try:
        parts = issue_key(store.control, SystemClock(), Secrets.of(settings).pepper, Actor("command line"), request)
    finally:
        store.close()
    if as_json:
        print_json({"key": parts.text, "id": parts.id, "scopes": sorted(request.scopes)})
    else:
        typer.echo(f"{parts.text}\n\nKey '{name}' with scopes {', '.join(sorted(request.scopes))}.")
        typer.echo("Keep it now: it is stored as a hash and cannot be shown again.")


@app.command("list")
def list_keys(data_dir: DataDir = None, *, as_json: AsJson = False) -> None:
    """List keys, without their secrets."""
    from service.api.views_keys import of_key

    store = open_state(load_settings(data_dir=data_dir))
    try:
        keys = store.read.keys()
        uses = store.keys.uses()
        views = [of_key(key, uses.get(key.id)) for key in keys]
    finally:
        store.close()
    if as_json:
        print_json({"keys": views})
        return
    heads = ["id", "name", "scopes", "models", "last used", "expires", "revoked"]
    rows = []
    for v in views:
        may = " ".join(v.scopes), " ".join(v.models or ["all"])
        rows.append([v.id, v.name, *may, v.last_used or "never", v.expires or "never", v.revoked or ""])
    print_table("Keys", heads, rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The eight characters after lzk_.")], data_dir: DataDir = None
) -> None:
    """Revoke a key: running servers refuse it within a moment."""
    from service.clock import SystemClock
    from service.domain.ids import Actor
    from service.office import revoke_key

    store = open_state(load_settings(data_dir=data_dir))
    try:
        revoke_key(store.control, SystemClock(), Actor("command line"), key_id)
    finally:
        store.close()
    typer.echo(f"Key {key_id} is revoked.")


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _scopes(text: str) -> frozenset[Scope]:
    known = {scope.value: scope for scope in Scope}
    unknown = sorted(_names(text) - known.keys())
    if unknown:
        named = ", ".join(f"'{name}'" for name in unknown)
        raise typer.BadParameter(f"unknown scope {named}; known: {', '.join(known)}", param_hint="--scopes")
    return frozenset(known[name] for name in _names(text))
