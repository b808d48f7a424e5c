"""What panels and rules ask for is exported, and what is exported is asked for, or exempt with a reason."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, Counter
from prometheus_client.metrics import MetricWrapperBase

import services.command.up  # noqa: F401 - registers the metrics of every service
from deploy.grafana.boards import BOARDS
from deploy.prometheus.generate import files
from shared.http.observed import Observed
from shared.observability.metrics import OTHER, BoundedLabel
from tests.support.panels import asked, names_in

ROOT = Path(__file__).parents[2]

# Of whoever scrapes, of prometheus-client itself, and what the rules record.
NOT_OURS = {
    "up",
    "ALERTS",
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}
EXEMPT: Mapping[str, str] = {}
"""Metrics that are on no panel and in no rule, each with the reason why it is exported all the same."""


def exported() -> dict[str, set[str]]:
    """The series of each metric of leadflow."""
    found: dict[str, set[str]] = {}
    for family in REGISTRY.collect():
        if family.name.startswith("leadflow_"):
            parts = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}.get(family.type, ("",))
            found[family.name] = {f"{family.name}{part}" for part in parts}
    return found


def recorded() -> set[str]:
    """What the rules record."""
    return {
        rule["record"]
        for text in files().values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def expressions() -> list[str]:
    """All that panels and rules ask."""
    rules = [
        rule["expr"]
        for text in files().values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
    ]
    return [query.filled() for query in asked()] + rules


def drift(asked_for: Iterable[str], metrics: Mapping[str, set[str]], exempt: Mapping[str, str]) -> list[str]:
    """Series that nobody exports, metrics that nobody asks for, and exemptions that are none."""
    names = set().union(*map(names_in, asked_for))
    series = set().union(*metrics.values())
    used = {metric for metric, parts in metrics.items() if parts & names}
    return [
        *(f"not exported: {name}" for name in sorted(names - series - NOT_OURS - recorded())),
        *(f"not used: {name}" for name in sorted(metrics.keys() - used - exempt.keys())),
        *(f"exempt and used: {name}" for name in sorted(exempt.keys() & used)),
        *(f"exempt and not exported: {name}" for name in sorted(exempt.keys() - metrics.keys())),
        *(f"exempt without a reason: {name}" for name, reason in exempt.items() if not reason.endswith(".")),
    ]


def test_every_metric_that_is_asked_for_exists_and_every_one_that_exists_is_asked_for() -> None:
    assert drift(expressions(), exported(), EXEMPT) == []


REASON = "Only people who debug the loop look at it."


@pytest.mark.parametrize(
    ("more_asked", "more_exported", "exempt", "expected"),
    [
        (["rate(leadflow_ingest_event_total[1m])"], {}, {}, "not exported: leadflow_ingest_event_total"),
        (["slo:leadflow_error:ratio"], {}, {}, "not exported: slo:leadflow_error:ratio"),
        ([], {"leadflow_new": {"leadflow_new_total"}}, {}, "not used: leadflow_new"),
        ([], {}, {"leadflow_build_info": REASON}, "exempt and used: leadflow_build_info"),
        ([], {}, {"leadflow_gone": REASON}, "exempt and not exported: leadflow_gone"),
        ([], {"leadflow_new": {"leadflow_new"}}, {"leadflow_new": ""}, "exempt without a reason: leadflow_new"),
        (
            ["max(leadflow_event_age_at_receive_seconds)"],
            {},
            {},
            "not exported: leadflow_event_age_at_receive_seconds",
        ),
    ],
    ids=[
        "a misspelt metric",
        "a misspelt record",
        "a new metric",
        "a needless exemption",
        "a stale exemption",
        "no reason",
        "a histogram without its part",
    ],
)
def test_planted_drift_is_found(
    more_asked: list[str], more_exported: dict[str, set[str]], exempt: dict[str, str], expected: str
) -> None:
    assert drift([*expressions(), *more_asked], exported() | more_exported, {**EXEMPT, **exempt}) == [expected]


def test_an_exempt_metric_is_no_drift() -> None:
    metrics = exported() | {"leadflow_new": {"leadflow_new"}}

    assert drift(expressions(), metrics, {"leadflow_new": REASON}) == []


def test_labels_are_those_of_the_metric() -> None:
    labels = _labels()
    wrong = [
        (query.place, name, label)
        for query in asked()
        for name, label in _asked_labels(query.filled())
        if name in labels and label not in labels[name]
    ]

    assert wrong == []


def test_labels_to_group_by_are_those_of_a_metric_in_the_query() -> None:
    labels, everywhere = _labels(), {"alertname", "severity", "alertstate", "instance"}
    wrong = [
        (query.place, label)
        for query in asked()
        for label in _grouped(query.expression)
        if label not in everywhere.union(*(labels.get(name, set()) for name in names_in(query.filled())))
    ]

    assert wrong == []


def _grouped(expression: str) -> list[str]:
    return [label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")]


def _labels() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for collector in _collectors():
        for family in collector.describe():
            names = set(collector._labelnames)
            parts = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}.get(family.type, ("",))
            for part in parts:
                found[f"{family.name}{part}"] = names | {"job", "instance"} | ({"le"} if part == "_bucket" else set())
    return found


def _collectors() -> list[MetricWrapperBase]:
    known = REGISTRY._collector_to_names
    return [
        collector
        for collector, names in known.items()
        if isinstance(collector, MetricWrapperBase) and any(name.startswith("leadflow_") for name in names)
    ]


def _asked_labels(expression: str) -> list[tuple[str, str]]:
    return [
        (name, label)
        for name, matchers in re.findall(r"(leadflow_\w+)\{([^}]*)\}", expression)
        for label in re.findall(r"(\w+)\s*[=!]~?", re.sub(r'"[^"]*"', '""', matchers))
    ]


def test_every_panel_that_may_be_empty_says_why() -> None:
    reasons = [panel.healthy_when_empty for board in BOARDS for panel in board.panels() if panel.healthy_when_empty]

    assert reasons
    assert all(reason.endswith(".") for reason in reasons)


def test_a_label_that_people_name_has_a_limit() -> None:
    label = BoundedLabel(2)

    said = [label.fold(value) for value in ("a", "b", "c", "a", "d")]

    assert said == ["a", "b", OTHER, "a", OTHER]


async def test_paths_and_methods_that_nobody_knows_are_one_series() -> None:
    async def nobody(_scope: object, _receive: object, send: object) -> None:
        assert callable(send)
        await send({"type": "http.response.start", "status": 404, "headers": []})

    observed = Observed(nobody)
    before = _series("leadflow_http_requests")
    for number in range(50):
        await observed({"type": "http", "method": f"M{number}", "path": f"/{number}", "headers": []}, _none, _swallow)

    assert len(_series("leadflow_http_requests") - before) <= 1


async def _none() -> dict[str, object]:
    return {"type": "http.disconnect"}


async def _swallow(_message: object) -> None:
    return


def _series(name: str) -> set[tuple[tuple[str, str], ...]]:
    return {
        tuple(sorted(sample.labels.items()))
        for family in REGISTRY.collect()
        if family.name == name
        for sample in family.samples
    }


def test_counters_start_at_zero() -> None:
    # These values come with their route, consumer, topic, task or pipeline, which start them.
    started_later = {"group", "topic", "work", "route", "from", "threshold"}
    without_series = [
        next(iter(collector.describe())).name
        for collector in _collectors()
        if isinstance(collector, Counter)
        and collector._labelnames
        and not started_later.intersection(collector._labelnames)
        and not collector._metrics
    ]

    assert without_series == []
