"""Rules ask only for metrics and labels that exist; test_metric_coverage.py holds panels to the same."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
EVERYWHERE = {"job", "instance", "service", "le"}
# Of series that rules record, and of exporters: what rules/exporters.yml asks for is theirs to have.
BY_PREFIX = {"slo:leadflow_": {"slo"}, "node_filesystem_": {"mountpoint"}, "kafka_topic_": {"topic", "partition"}}

Metrics = Mapping[str, set[str]]


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


def queries() -> Iterator[tuple[str, str]]:
    for path in (PROMETHEUS / "rules").glob("*.yml"):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield f"{path.stem}: {rule.get('alert', rule.get('record'))}", rule["expr"]


def faults(query: str, metrics: Metrics) -> list[str]:
    """Names in `query` that no process exports."""
    series = set(re.findall(r"(?<![:\w])leadflow_\w+", query))
    known = EVERYWHERE.union(*(metrics.get(name, set()) for name in series))
    known = known.union(*(labels for prefix, labels in BY_PREFIX.items() if prefix in query))
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


def test_prometheus_scrapes_the_services_of_the_compose_file() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]

    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}

    ours = {name for name, service in compose["services"].items() if service.get("command") == [name]}
    assert set(targets["leadflow"]) == {f"{name}:8080" for name in ours - {"migrate"}}
