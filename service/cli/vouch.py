"""``lazaretto vouch``: says which artefact of a version answers, and what it answers to canaries."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from service.cli.asking import URL, ask
from service.cli.common import AsJson, print_json


def vouch(
    file: Annotated[
        Path, typer.Argument(help='JSON: {"artefact": SHA-256, "canaries": [{"key", "prediction", ...}]}.')
    ],
    model: Annotated[str, typer.Option("--model")],
    version: Annotated[str, typer.Option("--version")],
    url: Annotated[str, typer.Option("--url", envvar="LAZARETTO_URL")] = URL,
    key: Annotated[
        str | None, typer.Option("--key", envvar="LAZARETTO_API_KEY", help="Needs scope admin; also LAZARETTO_API_KEY.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Replace what is vouched for about a version: its artefact and its canaries."""
    from service.cli.failures import Failure

    if key is None:
        raise Failure("a key with scope admin is needed: --key or LAZARETTO_API_KEY")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror or error}") from error
    path = f"/v1/models/{quote(model, safe='')}/versions/{quote(version, safe='')}/vouched"
    headers = {"content-type": "application/json"}
    body = ask("PUT", url, path, key, headers=headers, content=content)
    if as_json:
        print_json(body)
        return
    artefact = body["artefact"] or "any artefact"
    typer.echo(f"{model}/{version}: {artefact} and {len(body['canaries'])} canaries are vouched for from now on.")
