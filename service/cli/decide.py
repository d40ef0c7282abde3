"""``lazaretto decide`` and ``lazaretto baseline accept``: what people decide about a version, over HTTP, with a key."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from service.cli.asking import URL, ask
from service.cli.common import AsJson, plain, print_json

KEY_NAME = "LAZARETTO_API_KEY"

Reason = Annotated[str, typer.Option("--reason", help="Stands in the audit chain.")]
Url = Annotated[str, typer.Option("--url", envvar="LAZARETTO_URL", help="Of the running Lazaretto.")]
Key = Annotated[str, typer.Option("--key", envvar=KEY_NAME, help="May operate on the model.")]
Model = Annotated[str, typer.Option("--model")]
VersionName = Annotated[str, typer.Option("--version")]
BaselineId = Annotated[str, typer.Argument(help="As GET .../baselines lists it.")]


class Decision(StrEnum):
    """What may be decided about a version."""

    SUSPECT = "suspect"
    CLEAR = "clear"
    QUARANTINE = "quarantine"
    START_REVIEW = "start_review"
    RELEASE = "release"
    ROLL_BACK = "roll_back"
    RETIRE = "retire"
    ASSIGN = "assign"
    """Give the review to people."""
    BREAK_GLASS = "break_glass"
    END_GLASS = "end_glass"


def decide(  # noqa: PLR0913, PLR0917 - one per option
    decision: Annotated[Decision, typer.Argument(help="An event of the state, or assign, break_glass, end_glass.")],
    model: Annotated[str, typer.Argument()],
    version: Annotated[str, typer.Argument()],
    reason: Reason,
    key: Key,
    url: Url = URL,
    to: Annotated[list[str] | None, typer.Option("--to", help="assign: a reviewer; again for each.")] = None,
    hours: Annotated[float | None, typer.Option("--hours", help="assign: until the review is overdue.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="break_glass: how long it serves.")] = None,
    change: Annotated[
        int | None, typer.Option("--change", help="The newest change that you saw: refused if there is a newer one.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Decide about a version: quarantine, review, release, roll back, retire, or break the glass."""
    from service.cli.failures import Failure

    path = f"/v1/models/{quote(model, safe='')}/versions/{quote(version, safe='')}"
    body: dict[str, Any] = {"reason": reason} | ({} if change is None else {"change": change})
    if decision is Decision.ASSIGN:
        if not to:
            raise Failure("--to is needed: the name of the key of a reviewer; again for each")
        told = ask("PUT", url, f"{path}/review", key, json=body | {"reviewers": to, "hours": hours})
        text = f"the review is with {', '.join(told.get('reviewers', []))} until {told.get('due')}"
    elif decision is Decision.BREAK_GLASS:
        if minutes is None:
            raise Failure("--minutes is needed: how long the version serves")
        told = ask("POST", url, f"{path}/break-glass", key, json=body | {"minutes": minutes})
        text = f"the gate lets traffic through until {told.get('until')}, and everybody is told"
    elif decision is Decision.END_GLASS:
        told = ask("POST", url, f"{path}/break-glass/end", key, json={"reason": reason})
        text = "the gate is closed again"
    else:
        told = ask("POST", url, f"{path}/transitions", key, json=body | {"event": decision.value})
        text = _words(decision, told)
    if as_json:
        print_json(told)
        return
    typer.echo(plain(f"{model}/{version}: {text}."))


def _words(decision: Decision, told: dict[str, Any]) -> str:
    given = told["approvals"]
    if decision is Decision.RELEASE and told["state"] == "under_review":
        by = ", ".join(given["by"])
        return f"{given['have']} of {given['need']} have asked for the release so far: {by}"
    if decision is Decision.START_REVIEW:
        return f"it is {told['state']} now; a release needs {given['need']}"
    return f"it is {told['state']} now"


def accept(
    baseline_id: BaselineId,
    model: Model,
    version: VersionName,
    reason: Reason,
    key: Key,
    url: Url = URL,
) -> None:
    """Sign a proposed baseline of somebody else."""
    _settle("accept", baseline_id, model, version, reason, key, url)


def refuse(
    baseline_id: BaselineId,
    model: Model,
    version: VersionName,
    reason: Reason,
    key: Key,
    url: Url = URL,
) -> None:
    """Refuse a proposed baseline, or take one's own back."""
    _settle("refuse", baseline_id, model, version, reason, key, url)


def _settle(  # noqa: PLR0913, PLR0917 - as above
    verb: str, baseline_id: str, model: str, version: str, reason: str, key: str, url: str
) -> None:
    path = f"/v1/models/{quote(model, safe='')}/versions/{quote(version, safe='')}/baselines"
    told = ask("POST", url, f"{path}/{quote(baseline_id, safe='')}/{verb}", key, json={"reason": reason})
    status = told["status"].replace("_", " ")
    signed = f"signed by {', '.join(told['signed_by'])} ({len(told['signed_by'])} of {told['need']})"
    typer.echo(plain(f"Baseline {told['baseline_id']} is {status}; {signed}."))
