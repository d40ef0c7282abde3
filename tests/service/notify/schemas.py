"""The published shapes of what receivers take: JSON schemas beside this file, each with its sources, and a checker."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker

PUBLISHED = Path(__file__).parent / "published"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
FORMATS = FormatChecker(formats=())


def _is_time(value: object) -> bool:
    return (
        isinstance(value, str) and bool(RFC_3339.fullmatch(value)) and datetime.fromisoformat(value).tzinfo is not None
    )


def _is_uri(value: object) -> bool:
    if not isinstance(value, str) or re.search(r"[^\x21-\x7e]|[<>\"{}|\\^`]", value):
        return False
    parts = urlsplit(value)
    return bool(parts.scheme and parts.netloc)


def _is_escaped(value: object) -> bool:
    """Slack's three control characters stand as entities, and nothing else begins with an ampersand."""
    return isinstance(value, str) and not re.search(r"[<>]|&(?!amp;|lt;|gt;)", value)


FORMATS.checks("date-time")(_is_time)
FORMATS.checks("uri")(_is_uri)
FORMATS.checks("slack-text")(_is_escaped)


def schema(name: str) -> dict[str, Any]:
    """Return a published schema, once it is a schema at all."""
    found: dict[str, Any] = json.loads((PUBLISHED / f"{name}.json").read_text())
    Draft202012Validator.check_schema(found)
    return found


PAGERDUTY, ALERTMANAGER, SLACK, WEBHOOK = map(schema, ("pagerduty", "alertmanager", "slack", "webhook"))
PAGERDUTY_BYTES_MAX = 512 * 1024
SLACK_BLOCKS_CHARACTERS_MAX = 13_000
"""Nowhere written: beyond about so many characters of blocks Slack answers ``msg_blocks_too_long``."""


def check(value: Any, against: dict[str, Any]) -> None:
    """Raise AssertionError naming every place that does not fit."""
    errors = Draft202012Validator(against, format_checker=FORMATS).iter_errors(value)
    found = [f"{error.json_path}: {error.message[:300]}" for error in errors]
    assert not found, found
