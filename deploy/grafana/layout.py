"""Dashboards as values, and what Grafana makes of them: one style for all, nothing to forget on a panel.

Targets Grafana 12 (schemaVersion 41): its panels `timeseries`, `stat` and `bargauge`, and its links and variables.
A board asks Prometheus, or, where no metric can tell, PostgreSQL.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
Kind = Literal["timeseries", "stat", "bargauge"]


COLUMNS: Final = 24
RUNBOOKS: Final = "docs/runbooks"
_SCHEMA_VERSION: Final = 41
_GREEN, _ORANGE, _RED = "green", "orange", "red"


@dataclass(frozen=True, slots=True)
class Source:
    """What is asked: a kind of data source of Grafana's, chosen by a variable."""

    type: str
    variable: str

    @property
    def chosen(self) -> Mapping[str, Json]:
        return {"type": self.type, "uid": f"${{{self.variable}}}"}


PROMETHEUS: Final = Source("prometheus", "datasource")
POSTGRESQL: Final = Source("grafana-postgresql-datasource", "database")
WORKSPACES: Final = "SELECT id FROM access.workspace ORDER BY id"


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks, and how its series are called; `{{label}}` stands for a label.

    In SQL the series are called by the column `metric`.
    """

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`unit` is one of Grafana's. From `warn` on it is orange, from `bad` on red; with `bad` below `warn`, downwards.

    `alerts` have runbooks that the panel links to. `healthy_when_empty` says why it has no data on a good day.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    width: int = 8
    warn: float | None = None
    bad: float | None = None
    least: float | None = 0
    most: float | None = None
    stacked: bool = False
    alerts: tuple[str, ...] = ()
    healthy_when_empty: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]
    height: int = 8


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard; `uid` never changes, because links and alerts name it."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    source: Source = PROMETHEUS

    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels


def document(board: Board, others: Sequence[Board]) -> Mapping[str, Json]:
    """The dashboard as Grafana provisions it, with links to `others`."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": ["leadflow"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "refresh": "10s" if board.source is PROMETHEUS else "1m",
        "time": {"from": "now-1h" if board.source is PROMETHEUS else "now-24h", "to": "now"},
        "graphTooltip": 1,
        "annotations": {"list": [_deployments() if board.source is PROMETHEUS else _activations()]},
        "links": [*(_link(other) for other in others if other.uid != board.uid), _runbooks()],
        "templating": {"list": [_source_variable(board.source), *_variables(board.source), _runbooks_variable()]},
        "panels": list(_placed(board)),
    }


def _link(other: Board) -> Json:
    return {
        "title": other.title,
        "tooltip": other.description,
        "type": "link",
        "url": f"d/{other.uid}",
        "icon": "dashboard",
        "keepTime": True,
        "includeVars": True,
        "targetBlank": False,
        "asDropdown": False,
        "tags": [],
    }


def _runbooks() -> Json:
    return {
        "title": "Runbooks",
        "tooltip": "A page for each alert: what it means, and what to do.",
        "type": "link",
        "url": "${runbooks}",
        "icon": "doc",
        "keepTime": False,
        "includeVars": False,
        "targetBlank": True,
        "asDropdown": False,
        "tags": [],
    }


def _deployments() -> Json:
    return {
        "name": "Deployments",
        "datasource": PROMETHEUS.chosen,
        "enable": True,
        "iconColor": "blue",
        "expr": 'count by (version) (leadflow_build_info{job=~"$job", instance=~"$instance"}) '
        'unless count by (version) (leadflow_build_info{job=~"$job", instance=~"$instance"} offset 1m)',
        "step": "30s",
        "titleFormat": "leadflow {{version}}",
        "textFormat": "first processes of this version",
        "useValueForTime": False,
    }


def _activations() -> Json:
    return {
        "name": "Models",
        "datasource": POSTGRESQL.chosen,
        "enable": True,
        "iconColor": "blue",
        "format": "table",
        "rawQuery": True,
        "rawSql": "SELECT activated_at AS time, 'version ' || version AS text FROM scorer.activation "
        "WHERE workspace = ${workspace:sqlstring} AND $__timeFilter(activated_at) ORDER BY 1",
    }


def _source_variable(source: Source) -> Json:
    return {
        "name": source.variable,
        "label": "Data source" if source is PROMETHEUS else "Database",
        "type": "datasource",
        "query": source.type,
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "regex": "",
    }


def _variables(source: Source) -> Iterator[Json]:
    return _label_variables() if source is PROMETHEUS else iter([_workspace_variable()])


def _workspace_variable() -> Json:
    return {
        "name": "workspace",
        "label": "Workspace",
        "type": "query",
        "datasource": POSTGRESQL.chosen,
        "query": WORKSPACES,
        "definition": WORKSPACES,
        "current": {},
        "refresh": 1,
        "includeAll": False,
        "multi": False,
        "hide": 0,
        "regex": "",
        "sort": 1,
    }


def _label_variables() -> Iterator[Json]:
    for name, query in (
        ("job", "label_values(leadflow_build_info, job)"),
        ("instance", 'label_values(leadflow_build_info{job=~"$job"}, instance)'),
    ):
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": PROMETHEUS.chosen,
            "query": {"query": query, "refId": name},
            "definition": query,
            "current": {"text": "All", "value": "$__all"},
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "hide": 0,
            "regex": "",
            "sort": 1,
        }


def _runbooks_variable() -> Json:
    """Where the pages are: a path of the repository, or the address at which somebody has published them."""
    return {
        "name": "runbooks",
        "label": "Runbooks",
        "type": "constant",
        "query": RUNBOOKS,
        "current": {"text": RUNBOOKS, "value": RUNBOOKS},
        "hide": 2,
    }


def _placed(board: Board) -> Iterator[Json]:
    """Rows and panels from the top to the bottom, from the left to the right."""
    number, y = 0, 0
    for row in board.rows:
        number += 1
        yield _row(row, number, y)
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + row.height
            number += 1
            place = {"h": row.height, "w": panel.width, "x": x, "y": y}
            yield _panel(panel, number, place, board.source)
            x += panel.width
        y += row.height


def _row(row: Row, number: int, y: int) -> Json:
    place: Json = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(panel: Panel, number: int, place: Mapping[str, Json], source: Source) -> Json:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": source.chosen,
        "gridPos": place,
        "links": [
            {"title": f"Runbook: {alert}", "url": f"${{runbooks}}/{alert}.md", "targetBlank": True}
            for alert in panel.alerts
        ],
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": source.chosen, **_asked(query, panel.kind, source)}
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel, row_by_row=source is POSTGRESQL),
    }


def _asked(query: Query, kind: Kind, source: Source) -> dict[str, Json]:
    if source is PROMETHEUS:
        return {"expr": query.expression, "legendFormat": query.legend, "range": True}
    form = "time_series" if kind == "timeseries" else "table"
    return {"rawSql": query.expression, "rawQuery": True, "editorMode": "code", "format": form}


def _defaults(panel: Panel) -> Json:
    return {
        "unit": panel.unit,
        **({} if panel.least is None else {"min": panel.least}),
        **({} if panel.most is None else {"max": panel.most}),
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": _steps(panel)},
        "custom": _custom(panel) if panel.kind == "timeseries" else {},
    }


def _steps(panel: Panel) -> list[Json]:
    """Grafana's thresholds go upwards: a panel that is bad below begins with red."""
    warn, bad = panel.warn, panel.bad
    if warn is not None and bad is not None and bad < warn:
        return [_step(_RED, None), _step(_ORANGE, bad), _step(_GREEN, warn)]
    marks = [_step(color, value) for color, value in ((_ORANGE, warn), (_RED, bad)) if value is not None]
    return [_step(_GREEN, None), *marks]


def _step(color: str, value: float | None) -> Json:
    return {"color": color, "value": value}


def _custom(panel: Panel) -> Json:
    marked = panel.warn is not None or panel.bad is not None
    return {
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if marked else "off"},
    }


def _options(panel: Panel, *, row_by_row: bool) -> Json:
    reduced: Json = {"calcs": ["lastNotNull"], "fields": "", "values": row_by_row}
    match panel.kind:
        case "timeseries":
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case "stat":
            return {"reduceOptions": reduced, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
        case "bargauge":
            return {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic"}
