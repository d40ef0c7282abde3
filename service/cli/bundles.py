"""``lazaretto bundle``: signed evidence of an incident, saved from the store and verified anywhere."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.common import AsJson, DataDir, load_settings, open_state, plain, print_json

app = typer.Typer(no_args_is_help=True)

KEY_DIGITS = 64


@app.callback()
def bundle() -> None:
    """Save and verify signed evidence of incidents."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A bundle: the ZIP file of an incident.")],
    public_key: Annotated[
        str | None,
        typer.Option(
            "--public-key", help="64 hex digits, as `lazaretto bundle key` prints them; also without a data directory."
        ),
    ] = None,
    data_dir: DataDir = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check that every part of a bundle is what the service has signed; exit code 1 and the parts when not."""
    from service.cli.failures import Failure
    from service.reports.bundle import BYTES_MAX
    from service.reports.bundle import verify as check

    if not file.is_file():
        raise Failure(f"there is no file {file}")
    if file.stat().st_size > BYTES_MAX:
        raise Failure(f"{file} has more than {BYTES_MAX} bytes: it is no bundle")
    known = _own_key(data_dir) if public_key is None else _given_key(public_key)
    verdict = check(file.read_bytes(), frozenset({known}))
    manifest = verdict.manifest
    if as_json:
        print_json({"good": verdict.good, "problems": list(verdict.problems), "manifest": manifest})
    elif verdict.good and manifest is not None:
        about = f"{len(manifest.files)} parts of incident {manifest.incident_id} of {manifest.model} {manifest.version}"
        made = f"made {manifest.made} by {manifest.made_by}, key {manifest.key_id}"
        typer.echo(plain(f"Good: {about}, {made}."))
    for problem in () if as_json else verdict.problems:
        typer.echo(plain(f"Refused: {problem}"))
    if not verdict.good:
        raise typer.Exit(1)


@app.command()
def key(data_dir: DataDir = None, *, as_json: AsJson = False) -> None:
    """Print the public key that bundles of this data directory are signed with."""
    from service.reports.bundle import key_id_of

    public = _own_key(data_dir)
    if as_json:
        print_json({"key_id": key_id_of(public), "algorithm": "Ed25519", "public_key": public.hex()})
    else:
        typer.echo(public.hex())


@app.command()
def save(
    incident: Annotated[str, typer.Argument(help="Id of an incident.")],
    file: Annotated[Path, typer.Argument(help="Where to write the ZIP file.")],
    data_dir: DataDir = None,
) -> None:
    """Write the signed evidence of an incident to a file; on record, also while a server runs."""
    from service.cli.failures import Failure
    from service.clock import SystemClock
    from service.domain.ids import Actor
    from service.reports.wired import bundler_of, reports_of
    from service.settings import Secrets

    settings = load_settings(data_dir=data_dir)
    secrets = Secrets.of(settings)
    store = open_state(settings)
    try:
        about = store.read.incident(incident)
        if about is None:
            raise Failure(f"there is no incident '{incident}'")
        reports = reports_of(settings, secrets, SystemClock(), store.read, store.reports)
        content = bundler_of(secrets, reports, store.incidents).bundle(about, Actor("command line"))
    finally:
        store.close()
    try:
        file.write_bytes(content)
    except OSError as error:
        raise Failure(f"cannot write {file}: {error.strerror or error}") from error
    typer.echo(f"Wrote the evidence of incident {about.id} to {file}.")


def _own_key(data_dir: Path | None) -> bytes:
    from service.cli.failures import Failure
    from service.reports.bundle import public_key
    from service.settings import Secrets

    settings = load_settings(data_dir=data_dir)
    if settings.secret_key is None and not settings.secret_file.is_file():
        raise Failure(f"there is no key in {settings.data_dir}: give --data-dir, or --public-key")
    return public_key(Secrets.of(settings).bundles)


def _given_key(text: str) -> bytes:
    from service.cli.failures import Failure

    try:
        found = bytes.fromhex(text.strip())
    except ValueError:
        found = b""
    if 2 * len(found) != KEY_DIGITS:
        raise Failure(f"--public-key must be {KEY_DIGITS} hex digits, not '{text[:100]}'")
    return found
