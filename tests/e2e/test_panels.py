"""A real Prometheus scrapes a real leadflow under load, and every panel of every dashboard has something to show.

Panels that are empty on a good day, and those that are 0 then, have something to show after what they are there for:
AFTERWARDS says which. What is asked of PostgreSQL is asked in tests/integration/command/test_workspace_board.py.

With LEADFLOW_TEST_PANELS_PAGE the panels are drawn into that file for a person, after LOOK_SECONDS of load.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
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
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.documents.yaml_text import read_yaml
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log.protocol import Record
from tests.support.drawn_panels import Series, drawn, page
from tests.support.leadflow_process import Installation
from tests.support.log_engines import opened_log
from tests.support.panels import Asked, of_metrics, panels_of
from tests.support.prometheus import Prometheus, QueryFailed, needs_tool, running_prometheus
from tests.support.receiver import receiving
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(1200)]

PATIENCE_SECONDS = 240.0
LOOK_SECONDS = 120.0
JOB = "leadflow"
# Prometheus scrapes every second here, so an hour of the rules is a minute and a rate looks at four scrapes.
SCALE = Fraction(1, 60)
FLASH_SECONDS = 6.0
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
            # A machine that is busy with much else may be told to come again.
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
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


@dataclass
class Scene:
    """A leadflow under load, and what may be done to it."""

    installation: Installation
    client: httpx.AsyncClient
    prometheus: Prometheus
    stack: AsyncExitStack
    flashed_at: float = 0.0

    async def create(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = await self.client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()


async def nothing_more(_scene: Scene) -> None:
    return


async def poison(scene: Scene) -> None:
    """F11: what nobody can read, straight into the topic."""
    async with opened_log(
        "embedded", scene.installation.environment["LEADFLOW_DATABASE_URL"], session_timeout_seconds=30
    ) as log:
        await log.publish(ENGAGEMENT_EVENTS.name, [Record(b"k", b"{", {}) for _ in range(3)])


async def failing_receivers(scene: Scene) -> None:
    """F7: one receiver is gone, one fails."""
    for status in (410, 500):
        receiver = await scene.stack.enter_async_context(receiving(status))
        await scene.create("/v1/subscriptions", {"url": receiver.url})


def example(name: str) -> Any:
    return read_yaml(Path("deploy/examples", name).read_text(encoding="utf-8"))


async def rules_of_the_moment(scene: Scene) -> None:
    """Scores that are gone within seconds, and stages in which nobody may stay."""
    model = example("model.yaml")
    flash = {"id": "flash", "on": "flash_sale", "points": 100, "half_life": "1s"}
    model["scores"]["flash"] = {"rules": [flash]}
    model["thresholds"]["flash"] = {"score": "flash", "enter": 50, "exit": 25, "cooldown": "1h"}
    await scene.create("/v1/models", {"document": model, "reason": "a sale"})
    pipeline = example("pipeline.yaml")
    del pipeline["business_hours"]
    for stage in pipeline["stages"]:
        if "terminal" not in stage:
            stage["due"] = "1s"
    await scene.create("/v1/pipelines", {"document": pipeline})


async def flash(scene: Scene) -> None:
    """Somebody crosses a threshold, is gone again within two seconds, and is back before its cooldown is over."""
    if time.monotonic() - scene.flashed_at < FLASH_SECONDS:
        return
    scene.flashed_at = time.monotonic()
    event = {"id": f"flash-{scene.flashed_at}", "type": "flash_sale", "lead": {"email": "flash@acme.example"}}
    await scene.create("/v1/events", event)


async def win(scene: Scene) -> None:
    """A person says that a lead has bought."""
    (lead, *_) = (await scene.client.get("/v1/leads")).raise_for_status().json()["leads"]
    await scene.create(
        f"/v1/leads/{lead['id']}/stage", {"to": "won", "actor": "anna", "override": True, "reason": "x"}
    )


async def simulate(scene: Scene) -> None:
    await scene.create("/v1/models/simulate", {"version": 1})


Do = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Afterwards:
    """What is done once, what again and again, and the panels that are to show more than 0 of it by then."""

    once: Do
    panels: Sequence[tuple[str, str]]
    again: Do = nothing_more


AFTERWARDS: Mapping[str, Afterwards] = {
    "poison (F11)": Afterwards(
        poison,
        [
            ("leadflow-quality", "Set aside"),
            ("leadflow-quality", "Dead letters kept"),
            ("leadflow-quality", "Oldest dead letter"),
        ],
    ),
    "failing receivers (F7)": Afterwards(
        failing_receivers,
        [
            ("leadflow-delivery", "Disabled"),
            ("leadflow-delivery", "Deliveries that wait"),
            ("leadflow-delivery", "Oldest delivery"),
        ],
    ),
    "rules of the moment": Afterwards(
        rules_of_the_moment,
        [
            ("leadflow-business", "Thresholds entered"),
            ("leadflow-business", "Thresholds left"),
            ("leadflow-business", "Crossings not told"),
            ("leadflow-scorer", "Changes by time, told after"),
            ("leadflow-delivery", "Stalls and expiries, told after"),
        ],
        again=flash,
    ),
    "a deal": Afterwards(win, [("leadflow-business", "Won")]),
    "a simulation": Afterwards(
        simulate, [("leadflow-scorer", "Duration of simulations"), ("leadflow-scorer", "Leads simulated")]
    ),
}
NOT_PROVOKED: Mapping[tuple[str, str], str] = {
    ("leadflow-overview", "Alerts"): "test_alerts.py has the alerts of PostgreSQL away.",
    ("leadflow-ingest", "Failed requests, by route"): "Needs PostgreSQL away, as in test_alerts.py.",
    ("leadflow-scorer", "Distance to the shadow"): "Needs a version in the shadow that differs in a score.",
    ("leadflow-scorer", "Last rebuild"): "Needs a rebuild.",
}
"""Panels that are empty on a good day and that nothing here fills, each with what would."""


def test_every_panel_that_is_empty_on_a_good_day_has_what_fills_it() -> None:
    filled = {panel for each in AFTERWARDS.values() for panel in each.panels}
    there = {(board.uid, panel.title) for board in BOARDS for panel in board.panels()}

    assert HEALTHY_WHEN_EMPTY.keys() <= filled | NOT_PROVOKED.keys() <= there
    assert not filled & NOT_PROVOKED.keys()


async def still_dull(prometheus: Prometheus, panels: Sequence[tuple[str, str]], began: datetime) -> list[str]:
    """Of `panels` those that have shown nothing but 0 since it began."""
    dull = []
    for name, board in of_metrics().items():
        for panel in panels_of(board):
            if (board["uid"], panel["title"]) in panels:
                series = await series_of(prometheus, name, panel, (began, datetime.now(UTC)))
                if not any(value > 0 for each in series for _, value in each.points):
                    dull.append(f"{name}: {panel['title']}")
    return dull


async def comes_to_pass(scene: Scene, each: Afterwards) -> None:
    """Return once every one of its panels shows more than 0 of it."""
    began, dull = datetime.now(UTC), [""]

    async def is_shown() -> bool:
        nonlocal dull
        await each.again(scene)
        dull = await still_dull(scene.prometheus, each.panels, began)
        return not dull

    await each.once(scene)
    try:
        await wait_until(is_shown, "panels show it", timeout_seconds=PATIENCE_SECONDS, every_seconds=0.5)
    except AssertionError as late:
        raise AssertionError(f"{late}: {dull}") from late


@asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[Scene]:
    """A leadflow under load with a subscriber, scraped."""
    rules = directory / "rules"
    rules.mkdir()
    # The alerts on causes are for a scale of their own: a second here is a minute there.
    (rules / "objectives.yml").write_text(files(SCALE)["objectives.yml"], encoding="utf-8")
    server = EmbeddedPostgres(directory / "postgres")
    async with AsyncExitStack() as around:
        url = await around.enter_async_context(server.running())
        installation = Installation(directory, {**ENVIRONMENT, "LEADFLOW_DATABASE_URL": url})
        installation.run("migrate")
        leadflow = await around.enter_async_context(installation.running())
        receiver = await around.enter_async_context(receiving())
        key = installation.run("keys", "create", "--scope", "admin")
        installation.run("models", "publish", "deploy/examples/model.yaml")
        installation.run("pipelines", "publish", "deploy/examples/pipeline.yaml")
        client = await around.enter_async_context(leadflow.client(key))
        target = {"__address__": leadflow.base_url.removeprefix("http://")}
        asked = await around.enter_async_context(
            running_prometheus(directory / "prometheus", {JOB: [target]}, rule_files=sorted(rules.iterdir()))
        )
        stack = await around.enter_async_context(AsyncExitStack())
        found = Scene(installation, client, asked, stack)
        await found.create("/v1/subscriptions", {"url": receiver.url})
        await around.enter_async_context(load(client))
        yield found


async def test_every_panel_shows_something_of_a_leadflow_under_load(tmp_path: Path) -> None:
    needs_tool("prometheus")
    async with scene(tmp_path) as running:
        began, asked = datetime.now(UTC), running.prometheus
        found: dict[str, dict[int, list[Series]]] = {}
        least = timedelta(seconds=LOOK_SECONDS if kept_page() else 0)

        async def all_have_data() -> bool:
            nonlocal found
            found = await look(asked, (began, datetime.now(UTC)))
            return not empty(found) and datetime.now(UTC) - began >= least

        try:
            await wait_until(all_have_data, "every panel has data", timeout_seconds=PATIENCE_SECONDS, every_seconds=1)
        except AssertionError as late:
            raise AssertionError(f"{late}: {empty(found)}") from late
        assert (await asked.query("leadflow_reconciliation_events"))[0]["value"][1] != "0"
        with pytest.raises(QueryFailed):
            await asked.query_range("rate(x)", start=began, end=datetime.now(UTC))
        for name, each in AFTERWARDS.items():
            try:
                await comes_to_pass(running, each)
            except AssertionError as late:
                raise AssertionError(f"{name}: {late}") from late
        found = await look(asked, (began, datetime.now(UTC)))

    pictures = {board["title"]: drawn(board, found[name]) for name, board in of_metrics().items()}
    for picture in pictures.values():
        ET.fromstring(picture)
    (kept_page() or tmp_path / "panels.html").write_text(page(pictures), encoding="utf-8")
