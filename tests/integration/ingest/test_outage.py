"""What senders hear while PostgreSQL, and so the embedded log, is away."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.access import Scope
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from shared.db.migrations import migrate
from tests.support.ingesting import NOON, Ingesting, an_item, ingesting, problem_of
from tests.support.waiting import wait_until
from tests.support.webhooks import examples

TYPEFORM = examples(NOON)["typeform"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server that only this test has, to be stopped under it."""
    server = EmbeddedPostgres(tmp_path)
    yield server
    await server.stop()


@pytest.fixture
async def ingest(server: EmbeddedPostgres) -> AsyncIterator[Ingesting]:
    database = Database(await server.start(), timeout_seconds=2.0)
    await migrate(database)
    async with ingesting(database) as running:
        await running.allow(Scope.EVENTS_WRITE)
        await running.add_source("typeform", [TYPEFORM.secret])
        yield running
    await database.close()


async def test_senders_are_told_to_come_again_within_five_seconds_and_then_are_taken(
    ingest: Ingesting, server: EmbeddedPostgres
) -> None:
    await server.stop()

    for path, content, headers in (
        ("/v1/events", b'{"id":"a","type":"x","lead":{"email":"a@b.de"}}', {"Content-Type": "application/json"}),
        ("/v1/webhooks/typeform", TYPEFORM.body, dict(TYPEFORM.headers)),
    ):
        started = time.monotonic()
        answer = await ingest.client.post(path, content=content, headers=headers)
        assert time.monotonic() - started < 5.5
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert problem_of(answer)["code"] in {"not_accepted", "outcome_unknown"}

    await server.start()

    async def is_taken() -> bool:
        return (await ingest.client.post("/v1/events", json=an_item(id="later"))).status_code == 202

    await wait_until(is_taken, "events are taken again", timeout_seconds=20)
    assert "later" in {event.id for event in await ingest.published(1)}


async def test_wrong_keys_and_forged_webhooks_are_still_told_apart(
    ingest: Ingesting, server: EmbeddedPostgres
) -> None:
    await server.stop()

    wrong_key = await ingest.client.post("/v1/events", json=an_item(), headers={"Authorization": "Bearer lf_x"})
    not_json = await ingest.client.post("/v1/events", content=b"{", headers={"Content-Type": "application/json"})
    forged = await ingest.client.post("/v1/webhooks/typeform", content=TYPEFORM.body)

    assert [answer.status_code for answer in (wrong_key, not_json, forged)] == [401, 400, 401]


async def test_a_refusal_is_told_only_when_what_it_is_about_is_kept(
    ingest: Ingesting, server: EmbeddedPostgres
) -> None:
    await server.stop()

    started = time.monotonic()
    bad_item = await ingest.client.post("/v1/events", json=an_item(type=1))

    assert time.monotonic() - started < 5.5
    assert bad_item.status_code == 503
