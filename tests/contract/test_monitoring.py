"""Rules and dashboards ask only for metrics and labels that exist, and dashboards are fit to be read."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.events.json import parse_json

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
EVERYWHERE = {"job", "instance", "service", "le"}

Metrics = Mapping[str, set[str]]

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    """The labels of every series of the reference, which test_reference holds to the code."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(leadflow_\w+)` \| (\w+) \| ([^|]*) \|", page, re.MULTILINE)
    return {
        series: set(re.findall(r"`(\w+)`", labels))
        for name, kind, labels in rows
        for series in ([f"{name}_{part}" for part in ("bucket", "sum", "count")] if kind == "histogram" else [name])
    }


def dashboard(path: Path) -> dict[str, Any]:
    loaded = parse_json(path.read_bytes())
    assert isinstance(loaded, dict)
    return loaded


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(path)["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    for path in DASHBOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]
    for path in (PROMETHEUS / "rules").glob("*.yml"):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield f"{path.stem}: {rule.get('alert', rule.get('record'))}", rule["expr"]


def faults(query: str, metrics: Metrics) -> list[str]:
    """Names in `query` that no process exports."""
    series = set(re.findall(r"(?<![:\w])leadflow_\w+", query))
    known = EVERYWHERE.union(*(metrics.get(name, set()) for name in series))
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(",")}
    matched = {label for labels in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)=?[=~!]", labels)}
    return sorted(series - metrics.keys()) + sorted((grouped | matched) - known)


@pytest.mark.parametrize(("place", "query"), list(queries()), ids=[place for place, _ in queries()])
def test_a_query_asks_for_metrics_and_labels_that_exist(place: str, query: str, metrics: Metrics) -> None:
    assert faults(query, metrics) == []


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("rate(leadflow_ingest_event_total[5m])", "leadflow_ingest_event_total"),
        ("sum by (origin) (rate(leadflow_ingest_events_total[5m]))", "origin"),
        ('leadflow_http_requests_total{status=~"5.."}', "status"),
        ("leadflow_http_request_duration_seconds > 1", "leadflow_http_request_duration_seconds"),
    ],
    ids=["a metric", "a label to group by", "a label to match", "a histogram without its part"],
)
def test_a_planted_misspelling_is_found(query: str, fault: str, metrics: Metrics) -> None:
    assert faults(query, metrics) == [fault]


@each_dashboard
def test_a_panel_says_what_it_shows_in_which_unit_and_from_the_chosen_source(path: Path) -> None:
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all('job=~"$job"' in target["expr"] for target in panel["targets"]), panel["title"]
        assert not any(re.search(r"rate\([^)]*\[\d", target["expr"]) for target in panel["targets"]), panel["title"]


@each_dashboard
def test_panels_have_ids_of_their_own_and_lie_beside_each_other(path: Path) -> None:
    everything = dashboard(path)["panels"]

    assert len({panel["id"] for panel in everything}) == len(everything)
    for one, other in combinations([panel["gridPos"] for panel in everything], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or above
        assert one["x"] + one["w"] <= 24


def test_prometheus_scrapes_the_services_of_the_compose_file() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]

    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}

    serving = {name for name, service in compose["services"].items() if "build" in service} - {"migrate"}
    assert set(targets["leadflow"]) == {f"{name}:8080" for name in serving}


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed"
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "--lint=all", "--lint-fatal", "rules/leadflow.yml"),
        ("test", "rules", "tests/leadflow.yml"),
    ],
    ids=["configuration", "rules", "tests of the rules"],
)
def test_promtool_accepts(arguments: tuple[str, ...]) -> None:
    answer = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60)

    assert answer.returncode == 0, answer.stdout + answer.stderr
