"""``lazaretto baseline``: sends reference data to a running service, and saves what it became."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from service.cli.common import AsJson, DataDir, load_settings, open_state, print_json

if TYPE_CHECKING:
    import httpx

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
URL = "http://127.0.0.1:8080"


@app.callback()
def baseline() -> None:
    """Push reference data, save a baseline."""


@app.command()
def push(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet, NDJSON or Arrow; CSV and NDJSON also with .gz or .zst.")],
    model: Annotated[str, typer.Option("--model")],
    version: Annotated[str, typer.Option("--version")],
    url: Annotated[str, typer.Option("--url", envvar="LAZARETTO_URL")] = URL,
    key: Annotated[
        str | None, typer.Option("--key", envvar="LAZARETTO_API_KEY", help="Needs scope admin; also LAZARETTO_API_KEY.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Compile reference data into the baseline of a version, and put it in force."""
    import httpx

    from service.cli.failures import Failure

    headers = _headers(file)
    if key is None:
        raise Failure("a key with scope admin is needed: --key or LAZARETTO_API_KEY")
    if not file.is_file():
        raise Failure(f"there is no file {file}")
    headers |= {"authorization": f"Bearer {key}", "content-length": str(file.stat().st_size)}
    path = f"/v1/models/{quote(model, safe='')}/versions/{quote(version, safe='')}/baseline"
    try:
        with file.open("rb") as content:
            answer = httpx.put(url.rstrip("/") + path, content=content, headers=headers, timeout=TIMEOUT_SECONDS)
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise Failure(f"no answer from {url} (--url or LAZARETTO_URL): {str(error) or type(error).__name__}") from error
    _tell(answer, url, as_json=as_json)


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
    import httpx

    from service.cli.failures import Failure

    if key is None:
        raise Failure("a key with scope operate is needed: --key or LAZARETTO_API_KEY")
    path = f"/v1/models/{quote(model, safe='')}/versions/{quote(version, safe='')}/baselines/draft"
    times = {name: value for name, value in (("start", start), ("end", end)) if value is not None}
    headers = {"authorization": f"Bearer {key}"}
    try:
        answer = httpx.post(
            url.rstrip("/") + path, json={**times, "reason": reason}, headers=headers, timeout=TIMEOUT_SECONDS
        )
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise Failure(f"no answer from {url} (--url or LAZARETTO_URL): {str(error) or type(error).__name__}") from error
    _tell(answer, url, as_json=as_json)


def _tell(answer: "httpx.Response", url: str, *, as_json: bool) -> None:
    """Say what became of a baseline, or why nothing did."""
    from service.cli.failures import Failure

    body = _problem_or_view(answer.content)
    if body is None:
        raise Failure(f"{url} answered {answer.status_code} with something else than JSON; is it Lazaretto?")
    if not answer.is_success:
        places = "".join(f"\n  {place['at']}: {place['reason']}" for place in body.get("errors", []))
        raise Failure(f"refused with {answer.status_code}: {body.get('detail')}{places}")
    if as_json:
        print_json(body)
        return
    stands = "is in force" if body["status"] == "in_force" else "is proposed: another person must accept it"
    typer.echo(f"Baseline {body['baseline_id']} of {body['rows']} rows and {len(body['columns'])} columns {stands}.")
    for warning in body["warnings"]:
        typer.echo(f"  {warning['column'] or 'all columns'}: {warning['text']}")


def _problem_or_view(content: bytes) -> dict[str, Any] | None:
    """Return the answer's object, ``None`` when something in between has answered."""
    try:
        body = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None
    return body if isinstance(body, dict) else None


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
