"""The published shapes of what receivers take, and a small checker: enough of JSON Schema for these, and no more."""

import re
from datetime import datetime
from typing import Any

TIME = {"type": "string", "format": "date-time"}
LABELS = {"type": "object", "names": r"[a-zA-Z_][a-zA-Z0-9_]*", "values": {"type": "string"}}

PAGERDUTY: dict[str, Any] = {
    "type": "object",
    "required": ["routing_key", "event_action", "dedup_key"],
    "closed": True,
    "properties": {
        "routing_key": {"type": "string", "minLength": 1},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "client": {"type": "string"},
        "client_url": {"type": "string"},
        "links": {
            "type": "array",
            "items": {
                "type": "object",
                "closed": True,
                "required": ["href"],
                "properties": {"href": {"type": "string"}, "text": {"type": "string"}},
            },
        },
        "images": {"type": "array", "items": {"type": "object"}},
        "payload": {
            "type": "object",
            "closed": True,
            "required": ["summary", "source", "severity"],
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": TIME,
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
    },
}

ALERTMANAGER: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "closed": True,
        "required": ["labels", "annotations", "startsAt", "endsAt"],
        "properties": {
            "labels": {**LABELS, "required": ["alertname"], "values": {"type": "string", "minLength": 1}},
            "annotations": LABELS,
            "startsAt": TIME,
            "endsAt": TIME,
            "generatorURL": {"type": "string"},
        },
    },
}

PLAIN = {
    "type": "object",
    "closed": True,
    "required": ["type", "text"],
    "properties": {
        "type": {"enum": ["plain_text"]},
        "text": {"type": "string", "minLength": 1, "maxLength": 3000},
        "emoji": {"enum": [False]},
    },
}
SLACK: dict[str, Any] = {
    "type": "object",
    "closed": True,
    "required": ["text", "blocks"],
    "properties": {
        "text": {"type": "string", "minLength": 1, "maxLength": 40_000},
        "unfurl_links": {"enum": [False]},
        "unfurl_media": {"enum": [False]},
        "blocks": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "closed": True,
                "required": ["type"],
                "properties": {
                    "type": {"enum": ["header", "section", "context"]},
                    "text": PLAIN,
                    "fields": {"type": "array", "minItems": 1, "maxItems": 10, "items": PLAIN},
                    "elements": {"type": "array", "minItems": 1, "maxItems": 10, "items": PLAIN},
                },
            },
        },
    },
}

WEBHOOK: dict[str, Any] = {
    "type": "object",
    "required": [
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
    ],
    "properties": {
        "version": {"enum": ["4"]},
        "groupKey": {"type": "string", "minLength": 1},
        "truncatedAlerts": {"type": "integer"},
        "status": {"enum": ["firing", "resolved"]},
        "groupLabels": LABELS,
        "commonLabels": LABELS,
        "commonAnnotations": LABELS,
        "externalURL": {"type": "string"},
        "alerts": {
            "type": "array",
            "items": {
                "type": "object",
                "closed": True,
                "required": ["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"],
                "properties": {
                    "status": {"enum": ["firing", "resolved"]},
                    "labels": LABELS,
                    "annotations": LABELS,
                    "startsAt": TIME,
                    "endsAt": TIME,
                    "generatorURL": {"type": "string"},
                    "fingerprint": {"type": "string", "minLength": 16, "maxLength": 16},
                },
            },
        },
    },
}

KINDS: dict[str, type] = {"object": dict, "array": list, "string": str, "integer": int}


def check(value: Any, schema: dict[str, Any], at: str = "$") -> None:
    """Raise AssertionError naming the first place that does not fit."""
    if "enum" in schema:
        assert value in schema["enum"], f"{at}: {value!r} is none of {schema['enum']}"
        return
    assert isinstance(value, KINDS[schema["type"]]), f"{at}: {value!r} is no {schema['type']}"
    if isinstance(value, str):
        assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9), f"{at}: {len(value)} long"
        if schema.get("format") == "date-time":
            assert datetime.fromisoformat(value).tzinfo is not None, at
    elif isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9), f"{at}: {len(value)} items"
        for number, one in enumerate(value):
            check(one, schema["items"], f"{at}[{number}]")
    elif isinstance(value, dict):
        _check_object(value, schema, at)


def _check_object(value: dict[str, Any], schema: dict[str, Any], at: str) -> None:
    missing = [name for name in schema.get("required", ()) if name not in value]
    assert not missing, f"{at}: lacks {missing}"
    known = schema.get("properties", {})
    if schema.get("closed"):
        assert value.keys() <= known.keys(), f"{at}: has {sorted(value.keys() - known.keys())}"
    for name, one in value.items():
        if name in known:
            check(one, known[name], f"{at}.{name}")
        if "names" in schema:
            assert re.fullmatch(schema["names"], name), f"{at}: '{name}' is no name"
        if "values" in schema:
            check(one, schema["values"], f"{at}.{name}")
