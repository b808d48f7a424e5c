"""Panels as Prometheus and PostgreSQL see them: queries with everything filled in that Grafana would fill in."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.events.json import parse_json

DASHBOARDS = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
RATE_INTERVAL = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of a panel, as it stands in the dashboard."""

    board: str
    panel: str
    expression: str

    @property
    def place(self) -> str:
        return f"{self.board}: {self.panel}"

    def filled(self, *, job: str = ".+", instance: str = ".+", rate_interval: str = "1m") -> str:
        """The expression that Prometheus gets."""
        filled = self.expression.replace(RATE_INTERVAL, rate_interval)
        filled = filled.replace("$job", job).replace("$instance", instance)
        assert "$" not in filled, filled
        return filled


def dashboards(directory: Path = DASHBOARDS) -> dict[str, dict[str, Any]]:
    """The dashboards by the name of their file."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(directory.glob("*.json")):
        loaded = parse_json(path.read_bytes())
        assert isinstance(loaded, dict)
        found[path.stem] = loaded
    return found


def of_metrics() -> dict[str, dict[str, Any]]:
    """The dashboards that ask Prometheus."""
    return {name: board for name, board in dashboards().items() if not asks_in_sql(board)}


def asks_in_sql(board: Mapping[str, Any]) -> bool:
    """Whether a dashboard asks PostgreSQL."""
    return any("rawSql" in target for panel in panels_of(board) for target in panel["targets"])


def panels_of(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All panels of a dashboard but the headings of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def asked() -> Iterator[Asked]:
    """Every query of every panel that asks Prometheus."""
    for name, board in of_metrics().items():
        for panel in panels_of(board):
            for target in panel["targets"]:
                yield Asked(name, panel["title"], target["expr"])


def in_sql(query: str, *, workspace: str) -> str:
    """What PostgreSQL gets: Grafana's macros as they are for the last hour in steps of a minute."""
    quoted = "'" + workspace.replace("'", "''") + "'"
    filled = query.replace("${workspace:sqlstring}", quoted)
    filled = re.sub(
        r"\$__timeGroupAlias\((\w+), \$__interval\)", r'floor(extract(epoch FROM \1) / 60) * 60 AS "time"', filled
    )
    filled = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '1 hour' AND now()", filled)
    assert "$" not in filled, filled
    return filled


def names_in(expression: str) -> set[str]:
    """The series that an expression reads."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"(?:by|without|on|ignoring|group_left|group_right) *\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}", " ", bare)
    return set(re.findall(r"(?<![\w:])(?:leadflow_\w+|(?:process|python)_\w+|slo:[\w:]+|up\b|ALERTS\b)", bare))
