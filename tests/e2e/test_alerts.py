"""Faults of a real leadflow are told by a real Prometheus to a real Alertmanager, and by that to whom they concern.

The rules are the deployed ones on a scale on which a minute is a second; so is the patience of Alertmanager.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import yaml
from pydantic_core import from_json

from deploy.prometheus.generate import files, shortened
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log.protocol import Record
from tests.support.leadflow_process import Installation, Running, free_port
from tests.support.log_engines import opened_log
from tests.support.prometheus import needs_tool, running_alertmanager, running_prometheus
from tests.support.receiver import HANG, Receiver, receiving
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

SCALE = Fraction(1, 60)
PATIENCE_SECONDS = 90.0
ALERTMANAGER = Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yml"
SERVICES = ("ingest", "scorer", "pipeline")
PIPELINE = {"pipeline": "alerts", "stages": [{"id": "new", "initial": True}]}
"""Each lead is told of once, when it is first heard of."""


@dataclass
class Heard:
    """What Alertmanager has told, as pages and as tickets."""

    receiver: Receiver

    def told(self, severity: str, status: str = "firing") -> set[str]:
        """The alerts that came as `severity` with this status."""
        return {alert["labels"]["alertname"] for alert in self.alerts(severity) if alert["status"] == status}

    def alerts(self, receiver: str) -> list[dict[str, Any]]:
        """Everything that came to this receiver of Alertmanager."""
        bodies = [from_json(request.body) for request in self.receiver.requests if request.path == f"/{receiver}"]
        return [alert for body in bodies for alert in body["alerts"]]

    async def until(self, severity: str, *alerts: str, status: str = "firing") -> None:
        """Return once each of `alerts` has been told."""

        def has_come() -> bool:
            return set(alerts) <= self.told(severity, status)

        what = f"{', '.join(alerts)} as {severity}, {status}"
        try:
            await wait_until(has_come, what, timeout_seconds=PATIENCE_SECONDS)
        except AssertionError as late:
            raise AssertionError(f"{late}; told were {sorted(self.told(severity, status))}") from late


def patience_shortened(url: str) -> dict[str, Any]:
    """The deployed configuration of Alertmanager: its waits on the scale, its receivers at `url`."""
    text = ALERTMANAGER.read_text(encoding="utf-8")
    text = re.sub(
        r"(?<=_wait: |erval: )\d+[smhd]$", lambda found: shortened(found[0], SCALE), text, flags=re.MULTILINE
    )
    text = re.sub(r"http://(?:pager|tickets)\.example/leadflow", "URL", text)
    configuration: dict[str, Any] = yaml.safe_load(text)
    for receiver in configuration["receivers"]:
        receiver["webhook_configs"][0]["url"] = f"{url}/{receiver['name']}"
    return configuration


@asynccontextmanager
async def services(installation: Installation) -> AsyncIterator[dict[str, Running]]:
    """The three services, each a process, all ready."""
    running = {name: Running(installation, name, free_port()) for name in SERVICES}
    try:
        for process in running.values():
            process.start()
        for process in running.values():
            await process.wait_until_ready()
        yield running
    finally:
        await asyncio.gather(*(asyncio.to_thread(process.stop) for process in running.values()))


@asynccontextmanager
async def load(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Events about new leads, a few a second; who refuses them is asked again with the next."""
    stop = asyncio.Event()
    numbers = count()

    async def post() -> None:
        while not stop.is_set():
            number = next(numbers)
            event = {"id": str(number), "type": "demo_requested", "lead": {"email": f"lead{number}@acme.example"}}
            with suppress(httpx.TransportError):
                await client.post("/v1/events", json=event)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=0.25)

    posting = [asyncio.create_task(post()) for _ in range(4)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*posting)


async def create(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text


async def poison_until(url: str, enough: Callable[[], bool]) -> None:
    """Write what nobody can read into the topic of events, beside ingest."""
    async with opened_log("embedded", url, session_timeout_seconds=30) as log:

        async def write() -> bool:
            await log.publish(ENGAGEMENT_EVENTS.name, [Record(b"k", b"{", {}) for _ in range(40)])
            return enough()

        await wait_until(write, "poison is told of", timeout_seconds=PATIENCE_SECONDS, every_seconds=0.5)


@asynccontextmanager
async def scores_locked(url: str) -> AsyncIterator[None]:
    """Somebody's transaction holds what the scorer needs."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE scorer.lead IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def away(server: EmbeddedPostgres) -> AsyncIterator[None]:
    await server.stop()
    try:
        yield
    finally:
        await server.start()


async def test_each_fault_reaches_whom_it_concerns(tmp_path: Path) -> None:
    needs_tool("prometheus", "prometheus-alertmanager")
    rule_files = [tmp_path / name for name in files()]
    for path in rule_files:
        path.write_text(files(SCALE)[path.name], encoding="utf-8")
    server = EmbeddedPostgres(tmp_path / "postgres")

    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.running())
        installation = Installation(
            tmp_path,
            {
                "LEADFLOW_DATABASE_URL": url,
                "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_HTTP": "true",
                "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true",
            },
        )
        installation.run("migrate")
        key = installation.run("keys", "create", "--scope", "admin")
        running = await stack.enter_async_context(services(installation))
        ingest = await stack.enter_async_context(running["ingest"].client(key))
        pipeline = await stack.enter_async_context(running["pipeline"].client(key))
        hanging = await stack.enter_async_context(receiving(HANG))
        gone = await stack.enter_async_context(receiving(410))
        on_call = await stack.enter_async_context(receiving())
        heard = Heard(on_call)
        alertmanager = await stack.enter_async_context(
            running_alertmanager(tmp_path / "alertmanager", patience_shortened(on_call.url.removesuffix("/hook")))
        )
        targets = [{"__address__": f"127.0.0.1:{process.port}"} for process in running.values()]
        await stack.enter_async_context(
            running_prometheus(
                tmp_path / "prometheus",
                {"leadflow": targets},
                rule_files=rule_files,
                alertmanager_port=alertmanager.port,
            )
        )
        await create(pipeline, "/v1/pipelines", {"document": PIPELINE})
        await stack.enter_async_context(load(ingest))
        told_without_a_fault = heard.told("page") & {"DeadLettersGrowing", "DatabaseAway"}

        for receiver in (hanging, gone):
            await create(pipeline, "/v1/subscriptions", {"url": receiver.url})
        await poison_until(url, lambda: "DeadLettersGrowing" in heard.told("page"))
        await heard.until("ticket", "DeadLettersArrived", "EndpointDisabled")
        async with scores_locked(url):
            await heard.until("page", "LagSecondsHigh", "ConsumerStalled")
        with running["scorer"].frozen():
            await heard.until("page", "TargetDown")
        async with away(server):
            await heard.until("page", "DatabaseAway", "IngestErrorBudgetBurn")
        await heard.until("ticket", "DeliveriesWaitLong")
        await heard.until("page", "TargetDown", "DatabaseAway", status="resolved")

    assert told_without_a_fault == set()
    for severity in ("page", "ticket"):
        assert {alert["labels"]["severity"] for alert in heard.alerts(severity)} == {severity}
