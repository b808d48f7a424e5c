"""Dashboards are what their declaration says, fit to be read at a bad hour, and ask what Prometheus understands.

What asks PostgreSQL is asked of one in tests/integration/command/test_workspace_board.py.
"""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from deploy.grafana.boards import BOARDS
from deploy.grafana.generate import main
from deploy.prometheus.causes import CAUSES
from deploy.prometheus.objectives import OBJECTIVES
from tests.support.panels import DASHBOARDS, Asked, asked, dashboards, panels_of
from tests.support.prometheus import needs_tool

Document = dict[str, Any]

UNITS = {"none", "s", "eps", "ops", "reqps", "bytes", "percentunit"}
ALERTS = {cause.name for cause in CAUSES} | {objective.alert for objective in OBJECTIVES}
UIDS = {board.uid for board in BOARDS}

each_board = pytest.mark.parametrize("name", [board.uid.removeprefix("leadflow-") for board in BOARDS])
each_query = pytest.mark.parametrize("query", list(asked()), ids=lambda query: query.place)


def test_what_is_committed_is_what_is_declared() -> None:
    assert main(["check"]) == 0


def test_a_dashboard_edited_by_hand_is_found_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["write", "--dashboards", str(tmp_path)])
    edited = tmp_path / "overview.json"
    edited.write_text(edited.read_text(encoding="utf-8").replace("Processes up", "Services up"), encoding="utf-8")
    (tmp_path / "forgotten.json").write_text("{}", encoding="utf-8")

    before = main(["check", "--dashboards", str(tmp_path)])
    main(["write", "--dashboards", str(tmp_path)])

    assert before == 1
    assert "forgotten.json, overview.json" in capsys.readouterr().err
    assert main(["check", "--dashboards", str(tmp_path)]) == 0


def faults(board: Document) -> list[str]:
    """What is wrong with a dashboard, in words."""
    found = [*_faults_of_layout(board), *_faults_of_variables(board), *_faults_of_links(board)]
    return found + [fault for panel in panels_of(board) for fault in _faults_of_panel(panel)]


def _faults_of_layout(board: Document) -> list[str]:
    panels = board["panels"]
    found = [] if len({panel["id"] for panel in panels}) == len(panels) else ["ids are not unique"]
    titles = [panel["title"] for panel in panels_of(board)]
    found += [f"title twice: {title}" for title in sorted({title for title in titles if titles.count(title) > 1})]
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        found += [] if apart or above else [f"overlap at {one} and {other}"]
    return found + [
        f"too wide: {panel['title']}" for panel in panels if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24
    ]


def _faults_of_variables(board: Document) -> list[str]:
    names = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps({**board, "templating": None})
    used = {name for name in names if re.search(rf"\$\{{?{name}\b", text)}
    asked_for = {name for name in re.findall(r"\$\{?(\w+)", text) if not name.startswith("__")}
    return [f"unused: {name}" for name in names - used] + [f"undefined: {name}" for name in asked_for - names]


def _faults_of_links(board: Document) -> list[str]:
    targets = {link["url"].removeprefix("d/") for link in board["links"] if link["url"].startswith("d/")}
    runbooks = re.findall(r"\$\{runbooks\}/(\w+)\.md", json.dumps(board))
    found = [] if targets == UIDS - {board["uid"]} else ["does not link to every other dashboard"]
    found += [f"no such alert: {alert}" for alert in runbooks if alert not in ALERTS]
    return found + ([] if board["annotations"]["list"] else ["deployments are not marked"])


def _faults_of_panel(panel: Document) -> list[str]:
    title, found = panel["title"], []
    if not panel["description"].endswith("."):
        found.append(f"{title}: no description")
    if panel["fieldConfig"]["defaults"]["unit"] not in UNITS:
        found.append(f"{title}: no unit")
    in_sql = any("rawSql" in target for target in panel["targets"])
    sources = {asking["datasource"]["uid"] for asking in [panel, *panel["targets"]]}
    found += (
        [f"{title}: a data source of its own"] if sources != {"${database}" if in_sql else "${datasource}"} else []
    )
    for target in panel["targets"]:
        of_query = _faults_of_sql(target) if in_sql else _faults_of_query(target["expr"])
        found += [f"{title}: {fault}" for fault in of_query]
    return found


def _faults_of_sql(target: Document) -> list[str]:
    query: str = target["rawSql"]
    found = [] if "workspace = ${workspace:sqlstring}" in query else ["not of the chosen workspace"]
    over_time = "$__timeGroupAlias(" in query and "$__timeFilter(" in query
    if (target["format"] == "time_series") != over_time:
        found.append("a time series without its time")
    if not query.startswith("SELECT ") or ";" in query:
        found.append("no plain question")
    return found + ([] if "LIMIT" in query or over_time or " AS metric" not in query else ["rows without end"])


def _faults_of_query(expression: str) -> list[str]:
    found = [] if 'job=~"$job"' in expression else ["not of the chosen job"]
    # What rules have recorded is of a job, whatever the instance.
    if "slo:" not in expression and "ALERTS" not in expression and 'instance=~"$instance"' not in expression:
        found.append("not of the chosen instance")
    if re.search(r"\[\d", expression):
        found.append("a fixed window")
    if re.search(r"(?:rate|increase)\((?:sum|max|avg)", expression):
        found.append("a rate of a sum")
    if re.search(r"(?<!rate\()(?<!increase\()\bleadflow_\w+_total\{", expression):
        found.append("a counter without a rate")
    return found


@each_board
def test_a_dashboard_has_no_fault(name: str) -> None:
    assert faults(dashboards()[name]) == []


def change(panel: int, **changes: object) -> Callable[[Document], None]:
    def plant(board: Document) -> None:
        panels_of(board)[panel].update(changes)

    return plant


def ask(expression: str) -> Callable[[Document], None]:
    def plant(board: Document) -> None:
        panels_of(board)[1]["targets"][0]["expr"] = expression

    return plant


def cut_off(board: Document) -> None:
    board["links"].pop(0)


_OF_JOB = 'job=~"$job", instance=~"$instance"'
PLANTED: Mapping[str, tuple[Callable[[Document], None], str]] = {
    "an id twice": (change(1, id=2), "ids are not unique"),
    "an overlap": (change(1, gridPos={"h": 4, "w": 4, "x": 2, "y": 1}), "overlap"),
    "a title twice": (change(1, title="Processes up"), "title twice"),
    "no description": (change(1, description=""), "no description"),
    "a fixed data source": (change(1, datasource={"type": "prometheus", "uid": "prometheus"}), "data source"),
    "an unknown variable": (ask(f'rate(x{{{_OF_JOB}, a="$tenant"}}[$__rate_interval])'), "undefined: tenant"),
    "any job": (ask("sum(rate(x[$__rate_interval]))"), "not of the chosen job"),
    "any instance": (ask('sum(rate(x{job=~"$job"}[$__rate_interval]))'), "not of the chosen instance"),
    "a fixed window": (ask(f"sum(rate(x{{{_OF_JOB}}}[5m]))"), "a fixed window"),
    "a sum before the rate": (ask(f"rate(sum(x{{{_OF_JOB}}})[$__rate_interval:])"), "a rate of a sum"),
    "a bare counter": (ask(f"sum (leadflow_ingest_events_total{{{_OF_JOB}}})"), "a counter without a rate"),
    "a link to nowhere": (change(1, links=[{"url": "${runbooks}/Nothing.md"}]), "no such alert"),
    "no way down": (cut_off, "does not link"),
    "no unit": (change(1, fieldConfig={"defaults": {"unit": ""}}), "no unit"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str) -> None:
    plant, expected = PLANTED[planted]
    board = dashboards()["overview"]

    plant(board)

    assert expected in " ".join(faults(board))


def of_workspace(**changes: str) -> Callable[[Document], None]:
    def plant(board: Document) -> None:
        panels_of(board)[8]["targets"][0].update(changes)

    return plant


_CHOSEN = "workspace = ${workspace:sqlstring}"


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (of_workspace(rawSql="SELECT count(*) AS value FROM pipeline.hot_row"), "not of the chosen workspace"),
        (of_workspace(rawSql=f"SELECT 1 AS value WHERE {_CHOSEN}; DROP TABLE a"), "no plain question"),
        (of_workspace(rawSql=f"UPDATE a SET b = 1 WHERE {_CHOSEN}"), "no plain question"),
        (of_workspace(rawSql=f"SELECT a AS metric FROM b WHERE {_CHOSEN}"), "rows without end"),
        (of_workspace(format="time_series"), "a time series without its time"),
        (of_workspace(rawSql=f"SELECT 1 WHERE {_CHOSEN} AND a = '$tenant'"), "undefined: tenant"),
        (change(1, datasource={"uid": "${datasource}"}), "data source"),
    ],
    ids=["any workspace", "two statements", "a change", "no limit", "no time", "an unknown variable", "Prometheus"],
)
def test_a_fault_planted_into_what_asks_postgresql_is_found(plant: Callable[[Document], None], expected: str) -> None:
    board = dashboards()["workspace"]

    plant(board)

    assert expected in " ".join(faults(board))


def test_alerts_lead_to_dashboards_that_exist() -> None:
    assert {cause.dashboard for cause in CAUSES} | {objective.dashboard for objective in OBJECTIVES} <= UIDS


def test_the_home_of_grafana_is_the_overview() -> None:
    compose = yaml.safe_load((DASHBOARDS.parents[2] / "docker-compose.yml").read_text(encoding="utf-8"))

    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert Path(home).name in {path.name for path in DASHBOARDS.glob("*.json")}


@each_query
def test_a_query_parses(query: Asked) -> None:
    promql_parser.parse(query.filled())


def test_a_query_that_is_not_filled_in_does_not_parse() -> None:
    with pytest.raises(ValueError, match="inside brackets"):
        promql_parser.parse("rate(x[$__rate_interval])")


def accepts(directory: Path, expressions: list[str]) -> subprocess.CompletedProcess[str]:
    """Whether Prometheus takes each of `expressions` as a rule of its own."""
    rules = [{"record": f"panel:query{number}:x", "expr": each} for number, each in enumerate(expressions)]
    file = directory / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    return subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_prometheus_takes_every_query_as_a_rule(tmp_path: Path) -> None:
    needs_tool("promtool")

    done = accepts(tmp_path, [query.filled() for query in asked()])
    planted = accepts(tmp_path, ["rate(x)"])

    assert done.returncode == 0, done.stdout + done.stderr
    assert planted.returncode != 0
