"""What a dashboard is, in a few words, and how Grafana wants it said (classic JSON schema)."""

import json
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 39
WIDTH = 24
DATASOURCE = {"type": "prometheus", "uid": "$datasource"}
Steps = tuple[tuple[float, str], ...]

GOOD_OR_BAD: Steps = ((1, "red"),)
"""0 is well, anything above is not."""
NO_MODEL = "No model is registered"
CONSOLE = ("Open in the console", "${console}/models/${__field.labels.model}/versions/${__field.labels.version}")


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and the name of its series."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture: what it shows, in which unit, and what to read when it is bad.

    ``empty`` is shown where there is no data, and says why; a panel without it has data while the service is scraped.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    empty: str = ""
    steps: Steps = ()
    base: str = "green"
    runbook: str = ""
    in_console: bool = False
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Rows of panels; ``variables`` are labels to choose from, each with the metric that has them."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[tuple[str, str], ...] = ()


def render(dashboard: Dashboard) -> str:
    """Return the dashboard as the file that is committed: the same bits each time."""
    described = {
        "annotations": {"list": []},
        "description": dashboard.description,
        "editable": False,
        "graphTooltip": 1,
        "id": None,
        "links": _links(),
        "liveNow": False,
        "panels": _placed(dashboard.rows),
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["lazaretto"],
        "templating": {"list": _variables(dashboard)},
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "title": dashboard.title,
        "uid": dashboard.uid,
        "version": 1,
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def _links() -> list[dict[str, Any]]:
    others = {
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "tags": ["lazaretto"],
        "title": "Lazaretto",
        "type": "dashboards",
    }
    pages = [("Console", "${console}/"), ("Runbooks", "${runbooks}/README.md")]
    return [others, *({"targetBlank": True, "title": title, "type": "link", "url": url} for title, url in pages)]


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    source = {"label": "Data source", "name": "datasource", "query": "prometheus", "refresh": 1, "type": "datasource"}
    found: list[dict[str, Any]] = [source]
    found.append(_choice("job", "label_values(lazaretto_build_info, job)"))
    found.append(_choice("instance", 'label_values(lazaretto_build_info{job=~"$job"}, instance)'))
    matchers = ['job=~"$job"', 'instance=~"$instance"']
    for label, metric in dashboard.variables:
        inside = ", ".join(matchers)
        found.append(_choice(label, f"label_values({metric}{{{inside}}}, {label})"))
        matchers.append(f'{label}=~"${label}"')
    for name, where in (("console", "http://127.0.0.1:8080"), ("runbooks", "https://lazaretto.example/runbooks")):
        current = {"selected": True, "text": where, "value": where}
        found.append(
            {"current": current, "label": name.title(), "name": name, "query": where, "type": "textbox"}
            | {"hide": 0, "options": [current]}
        )
    return found


def _choice(label: str, query: str) -> dict[str, Any]:
    return {
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": DATASOURCE,
        "definition": query,
        "includeAll": True,
        "label": label.title(),
        "multi": True,
        "name": label,
        "query": {"query": query, "refId": "StandardVariableQuery"},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    }


def _placed(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Lay the panels out from left to right, row by row."""
    found: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        at = {"h": 1, "w": WIDTH, "x": 0, "y": y}
        found.append(
            {"collapsed": False, "gridPos": at, "id": len(found) + 1, "panels": [], "title": row.title, "type": "row"}
        )
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            at = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            found.append(_panel(panel, len(found) + 1, at))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return found


def _panel(panel: Panel, number: int, at: dict[str, int]) -> dict[str, Any]:
    links = []
    if panel.runbook:
        url = f"${{runbooks}}/{panel.runbook}.md"
        links.append({"targetBlank": True, "title": f"Runbook: {panel.runbook}", "url": url})
    return {
        "datasource": DATASOURCE,
        "description": panel.description,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "gridPos": at,
        "id": number,
        "links": links,
        "options": _options(panel),
        "targets": [_target(panel, query, index) for index, query in enumerate(panel.queries)],
        "title": panel.title,
        "transformations": _transformations(panel),
        "type": panel.kind,
    }


def _field(panel: Panel) -> dict[str, Any]:
    steps = [{"color": panel.base, "value": None}, *({"color": c, "value": v} for v, c in panel.steps)]
    field: dict[str, Any] = {
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "links": [{"targetBlank": True, "title": CONSOLE[0], "url": CONSOLE[1]}] if panel.in_console else [],
        "thresholds": {"mode": "absolute", "steps": steps},
        "unit": panel.unit,
    }
    if panel.empty:
        field["noValue"] = panel.empty
    if panel.maximum is not None:
        field |= {"max": panel.maximum, "min": 0}
    if panel.kind == "timeseries":
        style = "dashed" if panel.steps else "off"
        field["custom"] = {"fillOpacity": 8, "lineWidth": 1, "showPoints": "auto", "thresholdsStyle": {"mode": style}}
    return field


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        legend = {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "table":
        return {"cellHeight": "sm", "showHeader": True}
    calculation = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {"colorMode": "value", "graphMode": "none", "reduceOptions": calculation, "textMode": "auto"}


def _target(panel: Panel, query: Query, index: int) -> dict[str, Any]:
    return {
        "datasource": DATASOURCE,
        "expr": query.expression,
        "format": "table" if panel.kind == "table" else "time_series",
        "instant": panel.kind != "timeseries",
        "legendFormat": query.legend,
        "range": panel.kind == "timeseries",
        "refId": chr(ord("A") + index),
    }


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    return [{"id": "organize", "options": {"excludeByName": {"Time": True}}}] if panel.kind == "table" else []
