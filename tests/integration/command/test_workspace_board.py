"""The dashboard of a workspace, asked of a real PostgreSQL as the role that deploy/grafana/reader.sql makes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import make_url

from deploy.grafana.layout import WORKSPACES
from shared.access import KeyRepository
from shared.clock import SystemClock
from shared.events.json import Json
from tests.support.panels import dashboards, in_sql, panels_of
from tests.support.receiver import receiving
from tests.support.waiting import wait_until
from tests.support.whole import Whole, whole

pytestmark = pytest.mark.postgres

READER = Path(__file__).parents[3] / "deploy" / "grafana" / "reader.sql"
MODEL: Json = {
    "model": "m",
    "scores": {"engagement": {"rules": [{"id": "visit", "on": "page_viewed", "points": 5}]}},
    "bands": {"engagement": {"warm": 1}},
}
PIPELINE: Json = {"pipeline": "p", "stages": [{"id": "new", "initial": True}]}
SECRETS = (
    "SELECT secrets FROM pipeline.subscription",
    "SELECT url FROM pipeline.subscription",
    "SELECT digest FROM access.api_key",
    "SELECT body FROM pipeline.webhook_message",
    "SELECT body FROM ingest.parked",
    "SELECT response FROM pipeline.delivery_attempt",
    "SELECT lead_id FROM pipeline.hot_row",
    "SELECT emails FROM pipeline.lead",
    "SELECT value FROM scorer.identity",
    "SELECT * FROM sealing.data_key",
    "UPDATE pipeline.subscription SET state = 'enabled'",
    "INSERT INTO access.workspace (id, created_at) VALUES ('mine', now())",
)


@asynccontextmanager
async def reading(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of Grafana's."""
    connection = await asyncpg.connect(make_url(database_url).set(drivername="postgresql").render_as_string(False))
    try:
        for _ in range(2):
            await connection.execute(READER.read_text(encoding="utf-8"))
        await connection.execute("SET ROLE leadflow_reader")
        yield connection
    finally:
        await connection.execute("RESET ROLE; DROP OWNED BY leadflow_reader; DROP ROLE leadflow_reader")
        await connection.close()


async def answers(connection: asyncpg.Connection, workspace: str) -> dict[str, list[asyncpg.Record]]:
    """The rows of each panel."""
    return {
        panel["title"]: [
            row
            for target in panel["targets"]
            for row in await connection.fetch(in_sql(target["rawSql"], workspace=workspace))
        ]
        for panel in panels_of(dashboards()["workspace"])
    }


async def create(client: httpx.AsyncClient, path: str, body: Json) -> None:
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text


async def live(running: Whole, url: str) -> None:
    """A week of acme in a second: a lead, a receiver that fails, an element that is no event, a key that ends."""
    acme = await running.client("acme")
    await running.client("bolt")
    now = SystemClock().now()
    await KeyRepository(running.database).create(
        "acme", name=str(uuid4()), scopes=(), now=now, expires_at=now + timedelta(days=3)
    )
    await create(acme, "/v1/models", {"document": MODEL})
    await create(acme, "/v1/pipelines", {"document": PIPELINE})
    await create(acme, "/v1/subscriptions", {"url": url})
    visit = {"id": "v1", "type": "page_viewed", "occurred_at": datetime.now(UTC).isoformat()}
    answer = await acme.post(
        "/v1/events", json=[{**visit, "lead": {"email": "ann@acme.example"}}, {"type": "no event"}]
    )
    assert answer.status_code == 202, answer.text


async def test_every_panel_tells_of_its_workspace_and_of_no_other(database_url: str) -> None:
    async with receiving(503) as receiver, whole(database_url) as running, reading(database_url) as connection:
        await live(running, receiver.url)
        found: dict[str, list[asyncpg.Record]] = {}

        async def all_have_rows() -> bool:
            nonlocal found
            found = await answers(connection, "acme")
            return all(rows and rows[0]["value"] for rows in found.values())

        try:
            await wait_until(all_have_rows, "every panel has rows", timeout_seconds=60)
        except AssertionError as late:
            raise AssertionError(f"{late}: {found}") from late
        of_bolt = await answers(connection, "bolt")
        quoted = await answers(connection, "a'; DROP TABLE pipeline.feed; --")
        workspaces = [row["id"] for row in await connection.fetch(WORKSPACES)]

    assert found["Leads"][0]["value"] == found["Parked elements"][0]["value"] == 1
    assert found["Leads, by stage"][0]["metric"] == "new"
    assert found["Leads, by band"][0]["metric"] == "engagement warm"
    assert {row["metric"] for row in found["Attempts, by answer"]} == {"5xx"}
    assert 2 * 86_400 < found["First key to end"][0]["value"] < 3 * 86_400
    assert {"acme", "bolt"} <= set(workspaces)
    for nobodys in (of_bolt, quoted):
        first_key = nobodys.pop("First key to end")
        assert first_key[0]["value"] > 10 * 365 * 86_400 - 1
        assert all(not rows or rows[0]["value"] == 0 for rows in nobodys.values())


async def test_what_marks_new_models_is_answered(database_url: str) -> None:
    (marks,) = dashboards()["workspace"]["annotations"]["list"]
    async with receiving() as receiver, whole(database_url) as running, reading(database_url) as connection:
        await live(running, receiver.url)
        (mark,) = await connection.fetch(in_sql(marks["rawSql"], workspace="acme"))

    assert mark["text"] == "version 1"


async def test_the_role_reads_no_secret_and_nobodys_name_and_changes_nothing(database_url: str) -> None:
    async with reading(database_url) as connection:
        for statement in SECRETS:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
