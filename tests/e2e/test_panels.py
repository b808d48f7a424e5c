"""A real Prometheus scrapes a real leadflow under load, and every panel of every dashboard has something to show.

With LEADFLOW_TEST_PANELS_PAGE the panels are drawn into that file for a person, after LOOK_SECONDS of load.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import count
from math import isnan
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest

from deploy.grafana.boards import BOARDS
from deploy.prometheus.generate import files
from tests.support.drawn_panels import Series, drawn, page
from tests.support.leadflow_process import Installation
from tests.support.panels import Asked, of_metrics, panels_of
from tests.support.prometheus import Prometheus, QueryFailed, needs_tool, running_prometheus
from tests.support.receiver import receiving
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

PATIENCE_SECONDS = 150.0
LOOK_SECONDS = 120.0
JOB = "leadflow"
# Prometheus scrapes every second here, so an hour of the rules is a minute and a rate looks at four scrapes.
SCALE = Fraction(1, 60)
RATE_INTERVAL = "4s"
HEALTHY_WHEN_EMPTY = {
    (board.uid, panel.title): panel.healthy_when_empty
    for board in BOARDS
    for panel in board.panels()
    if panel.healthy_when_empty
}
ENVIRONMENT = {
    "LEADFLOW_METRICS_SECONDS": "1",
    "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true",
    "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_HTTP": "true",
}
EVENTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("page_viewed", {"path": "/pricing"}),
    ("email_clicked", {}),
    ("content_downloaded", {"title": "guide"}),
    ("demo_requested", {}),
    ("webinar_registered", {}),
)

FITTING = {"job_title": "Head of Supply Chain", "employees": 320, "country": "DE", "industry": "wholesale"}


def event_about(number: int) -> dict[str, Any]:
    kind, properties = EVENTS[number % len(EVENTS)]
    who = number % 40 + 40 * (number // 400)
    return {
        "id": str(number),
        "type": kind,
        "occurred_at": datetime.now(UTC).replace(minute=0, second=0, microsecond=0).isoformat(),
        "lead": {"email": f"lead{who}@acme.example"},
        "properties": properties,
        "attributes": FITTING if who % 3 else {},
    }


@asynccontextmanager
async def load(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Events of people who become leads and come back; now and then one twice, and one that is no event."""
    stop, numbers = asyncio.Event(), count()

    async def post() -> None:
        while not stop.is_set():
            number = next(numbers)
            event = event_about(number - 1 if number % 7 == 6 else number)
            answer = await client.post("/v1/events", json=event if number % 11 else {"type": "nobody's"})
            assert answer.status_code < 500, answer.text
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=0.05)

    posting = [asyncio.create_task(post()) for _ in range(2)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*posting)


async def series_of(
    prometheus: Prometheus, board: str, panel: Mapping[str, Any], span: tuple[datetime, datetime]
) -> list[Series]:
    """What a panel shows of `span`. Raises QueryFailed."""
    found = []
    for target in panel["targets"]:
        query = Asked(board, panel["title"], target["expr"]).filled(job=JOB, rate_interval=RATE_INTERVAL)
        for each in await prometheus.query_range(query, start=span[0], end=span[1]):
            points = [(moment, float(value)) for moment, value in each["values"] if not isnan(float(value))]
            if points:
                found.append(Series(named(target["legendFormat"], each["metric"]), points))
    return found


def named(legend: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend


async def look(prometheus: Prometheus, span: tuple[datetime, datetime]) -> dict[str, dict[int, list[Series]]]:
    """What every panel of every dashboard shows, by the dashboard's file and the panel's id."""
    return {
        name: {panel["id"]: await series_of(prometheus, name, panel, span) for panel in panels_of(board)}
        for name, board in of_metrics().items()
    }


def empty(found: Mapping[str, Mapping[int, list[Series]]]) -> list[str]:
    """Panels without data that should have some."""
    return [
        f"{name}: {panel['title']}"
        for name, board in of_metrics().items()
        for panel in panels_of(board)
        if not found[name][panel["id"]] and (board["uid"], panel["title"]) not in HEALTHY_WHEN_EMPTY
    ]


def kept_page() -> Path | None:
    file = os.environ.get("LEADFLOW_TEST_PANELS_PAGE")  # noqa: TID251 - tests have no settings
    return Path(file) if file else None


async def test_every_panel_shows_something_of_a_leadflow_under_load(tmp_path: Path) -> None:
    needs_tool("prometheus")
    rules = tmp_path / "rules"
    rules.mkdir()
    # The alerts on causes are for a scale of their own: a second here is a minute there.
    (rules / "objectives.yml").write_text(files(SCALE)["objectives.yml"], encoding="utf-8")
    installation = Installation(tmp_path, ENVIRONMENT)
    async with receiving() as receiver, installation.running() as leadflow:
        key = installation.run("keys", "create", "--scope", "events:write", "--scope", "subscriptions:write")
        installation.run("models", "publish", "deploy/examples/model.yaml")
        installation.run("pipelines", "publish", "deploy/examples/pipeline.yaml")
        target = {"__address__": leadflow.base_url.removeprefix("http://")}
        async with leadflow.client(key) as client:
            subscribed = await client.post("/v1/subscriptions", json={"url": receiver.url})
            assert subscribed.status_code == 201, subscribed.text
            began = datetime.now(UTC)
            async with (
                running_prometheus(
                    tmp_path / "prometheus", {JOB: [target]}, rule_files=sorted(rules.iterdir())
                ) as asked,
                load(client),
            ):
                found: dict[str, dict[int, list[Series]]] = {}
                least = timedelta(seconds=LOOK_SECONDS if kept_page() else 0)

                async def all_have_data() -> bool:
                    nonlocal found
                    found = await look(asked, (began, datetime.now(UTC)))
                    return not empty(found) and datetime.now(UTC) - began >= least

                try:
                    await wait_until(
                        all_have_data, "every panel has data", timeout_seconds=PATIENCE_SECONDS, every_seconds=1
                    )
                except AssertionError as late:
                    raise AssertionError(f"{late}: {empty(found)}") from late
                assert (await asked.query("leadflow_reconciliation_events"))[0]["value"][1] != "0"
                with pytest.raises(QueryFailed):
                    await asked.query_range("rate(x)", start=began, end=datetime.now(UTC))

    pictures = {board["title"]: drawn(board, found[name]) for name, board in of_metrics().items()}
    for picture in pictures.values():
        ET.fromstring(picture)
    (kept_page() or tmp_path / "panels.html").write_text(page(pictures), encoding="utf-8")
