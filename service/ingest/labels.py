"""Labels: what turned out to be true, sent later and joined to events by their id."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from service.domain.errors import Place, TooLarge, Unprocessable
from service.frames.labels import LabelRow, encode_labels
from service.ingest.decode import Raw, open_body
from service.ingest.envelope import Refusals, bad_text, check_text, check_time, type_name
from service.ingest.guard import check_nesting
from service.ingest.lenient import parse_json, parse_lines
from service.ingest.limits import Limits
from service.ingest.media import LABELS, Format, format_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a body of labels held."""

    rows: int
    rejected: int
    errors: tuple[Place, ...]
    content: bytes
    """The decompressed body, which an idempotency key stands for."""
    body: bytes
    """For the log."""


def decode_labels(raw: Raw, limits: Limits, pseudonym: Callable[[str], str]) -> Labels:
    """Decode ``{"labels": [{"event_id", "label", "timestamp"?, "principal"?}]}``, or one such object a line.

    Who says so is kept as the pseudonym that events of the same principal have.

    Raises
    ------
    UnsupportedMedia, BadRequest, TooLarge, Unprocessable
        As for events; a label whose own fields are bad is refused alone while others are accepted.
    """
    kind = format_of(raw.content_type, LABELS)
    content = open_body(raw, limits)
    check_nesting(content, limits)
    values = parse_lines(content, limits) if kind is Format.NDJSON else _listed(parse_json(content, limits))
    if not values:
        raise Unprocessable("there are no labels", places=[Place("labels", "is empty")])
    if len(values) > limits.labels_max:
        raise TooLarge(f"{len(values)} labels; limit labels_max: {limits.labels_max}")
    refused = Refusals(limits.errors_max)
    rows = [_row(i, value, limits, refused, pseudonym) for i, value in enumerate(values)]
    good = [row for i, row in enumerate(rows) if row is not None and i not in refused.rows]
    if not good:
        raise Unprocessable("no label is acceptable", places=refused.places)
    return Labels(
        rows=len(good),
        rejected=len(refused.rows),
        errors=tuple(refused.places),
        content=content,
        body=encode_labels(good),
    )


def _listed(top: Any) -> list[object]:
    if isinstance(top, dict) and isinstance(top.get("labels"), list):
        labels: list[object] = top["labels"]
        return labels
    raise Unprocessable('the body must be an object with a list "labels"', places=[Place("labels", "must be a list")])


def _row(
    row: int, value: object, limits: Limits, refused: Refusals, pseudonym: Callable[[str], str]
) -> LabelRow | None:
    at = f"labels[{row}]"
    if not isinstance(value, dict):
        refused.add(row, at, f"must be an object, not {type_name(value)}")
        return None
    event_id, label = value.get("event_id"), value.get("label")
    if event_id is None:
        refused.add(row, f"{at}.event_id", "is missing")
    check_text(row, f"{at}.event_id", event_id, limits, refused)
    reason = _bad_label(label, limits)
    if reason:
        refused.add(row, f"{at}.label", reason)
    time = check_time(row, f"{at}.timestamp", value.get("timestamp"), refused)
    who = value.get("principal")
    check_text(row, f"{at}.principal", who, limits, refused)
    if row in refused.rows or label is None:
        return None
    at_us = -1 if time is None else round(time.timestamp() * 1e6)
    return LabelRow(str(event_id), label, at_us, "" if who is None else pseudonym(str(who)))


def _bad_label(label: object, limits: Limits) -> str | None:
    if label is None:
        return "is missing"
    if isinstance(label, str):
        return bad_text(label, limits)
    if isinstance(label, bool):
        return None
    if isinstance(label, int):
        return None if -(1 << 63) <= label < 1 << 64 else "is a number of more than 64 bits"
    if isinstance(label, float):
        return None if isfinite(label) else "is not finite"
    return f"must be text, a number or a boolean, not {type_name(label)}"
