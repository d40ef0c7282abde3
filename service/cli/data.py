"""``lazaretto baseline``: sends reference data to a running service, and saves what it became."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from service.cli.asking import URL, ask
from service.cli.common import AsJson, DataDir, load_settings, open_state, print_json

app = typer.Typer(no_args_is_help=True)

TYPES = {
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".arrow": "application/vnd.apache.arrow.file",
    ".feather": "application/vnd.apache.arrow.file",
    ".arrows": "application/vnd.apache.arrow.stream",
}
ENCODINGS = {".gz": "gzip", ".zst": "zstd"}
TIMEOUT_SECONDS = 600.0


@app.callback()
def baseline() -> None:
    """Push reference data, save a baseline."""


@app.command()
def push(  # noqa: PLR0913 - one per option
    file: Annotated[Path, typer.Argument(help="CSV, Parquet, NDJSON or Arrow; CSV and NDJSON also with .gz or .zst.")],
    model: Annotated[str, typer.Option("--model")],
    version: Annotated[str, typer.Option("--version")],
    url: Annotated[str, typer.Option("--url", envvar="LAZARETTO_URL")] = URL,
    key: Annotated[
        str | None, typer.Option("--key", envvar="LAZARETTO_API_KEY", help="Needs scope admin; also LAZARETTO_API_KEY.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="The column of true labels: answers that get worse are then found.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Compile reference data into the baseline of a version, and put it in force."""
    from service.cli.failures import Failure

    headers = _headers(file)
    if key is None:
        raise Failure("a key with scope admin is needed: --key or LAZARETTO_API_KEY")
    if not file.is_file():
        raise Failure(f"there is no file {file}")
    headers |= {"content-length": str(file.stat().st_size)}
    path = f"/v1/models/{quote(model, safe='')}/versions/{quote(version, safe='')}/baseline"
    if label is not None:
        path += f"?label={quote(label, safe='')}"
    with file.open("rb") as content:
        told = ask("PUT", url, path, key, headers=headers, timeout=TIMEOUT_SECONDS, content=content)
    _tell(told, as_json=as_json)


@app.command()
def save(
    file: Annotated[Path, typer.Argument(help="Where to write it; usually ends in .lzb.")],
    model: Annotated[str, typer.Option("--model")],
    version: Annotated[str, typer.Option("--version")],
    data_dir: DataDir = None,
) -> None:
    """Write the baseline in force of a version to a file, for ``lazaretto replay FILE --baseline``."""
    from service.cli.failures import Failure
    from service.gate.fleet import FleetView

    store = open_state(load_settings(data_dir=data_dir))
    try:
        view = FleetView.of(0, store.read.models(), store.read.versions())
        record = store.read.baseline(view.find(model, version).id)
    finally:
        store.close()
    if record is None:
        raise Failure(f"version '{version}' of model '{model}' has no baseline yet")
    try:
        file.write_bytes(record.artefact)
    except OSError as error:
        raise Failure(f"cannot write {file}: {error.strerror or error}") from error
    typer.echo(f"Wrote baseline {record.id} of {record.rows} rows to {file}.")


@app.command()
def propose(  # noqa: PLR0913, PLR0917 - one per option
    model: Annotated[str, typer.Option("--model")],
    version: Annotated[str, typer.Option("--version")],
    reason: Annotated[str, typer.Option("--reason", help="Why this is normal from now on.")],
    start: Annotated[
        str | None, typer.Option("--from", help="Of the traffic; by default the beginning of the alerted change.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Such as 2026-11-26T12:00:00Z; by default now.")] = None,
    url: Annotated[str, typer.Option("--url", envvar="LAZARETTO_URL")] = URL,
    key: Annotated[
        str | None,
        typer.Option("--key", envvar="LAZARETTO_API_KEY", help="Needs scope operate; also LAZARETTO_API_KEY."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Draft a baseline from traffic that the log still has, for others to accept."""
    from service.cli.failures import Failure

    if key is None:
        raise Failure("a key with scope operate is needed: --key or LAZARETTO_API_KEY")
    path = f"/v1/models/{quote(model, safe='')}/versions/{quote(version, safe='')}/baselines/draft"
    times = {name: value for name, value in (("start", start), ("end", end)) if value is not None}
    told = ask("POST", url, path, key, timeout=TIMEOUT_SECONDS, json={**times, "reason": reason})
    _tell(told, as_json=as_json)


def _tell(body: dict[str, Any], *, as_json: bool) -> None:
    """Say what became of a baseline."""
    if as_json:
        print_json(body)
        return
    stands = "is in force" if body["status"] == "in_force" else "is proposed: another person must accept it"
    typer.echo(f"Baseline {body['baseline_id']} of {body['rows']} rows and {len(body['columns'])} columns {stands}.")
    for warning in body["warnings"]:
        typer.echo(f"  {warning['column'] or 'all columns'}: {warning['text']}")


def _headers(file: Path) -> dict[str, str]:
    from service.cli.failures import Failure

    suffixes = [suffix.lower() for suffix in file.suffixes]
    headers = {}
    if suffixes and suffixes[-1] in ENCODINGS:
        headers["content-encoding"] = ENCODINGS[suffixes.pop()]
    kind = TYPES.get(suffixes[-1] if suffixes else "")
    if kind is None:
        raise Failure(f"cannot tell what {file.name} is; it must end with one of: {', '.join(TYPES)}, .csv.gz, ...")
    return {**headers, "content-type": kind}
