"""Every service is replaced while requests go on, as Kubernetes does it, on a database that is already the next
release's: no request fails for a client that tries a second time, and every event counts once.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
import pytest

from shared.settings import Settings
from tests.support.leadflow_process import Installation, Running, free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]

GRACE_SECONDS = 2 * Settings.model_fields["shutdown_timeout_seconds"].default + 5
LEADS = 20
EVENTS_BETWEEN_STEPS = 40
# What an expanding migration leaves: more than this release knows.
NEXT_RELEASE = """
ALTER TABLE scorer.lead ADD COLUMN of_the_next_release integer NOT NULL DEFAULT 0;
CREATE TABLE pipeline.of_the_next_release (id bigint PRIMARY KEY);
UPDATE alembic_version SET version_num = '9999_next_release';
"""


@dataclass
class Traffic:
    """Events posted one after the other to whoever stands in the list of backends, each with one more try."""

    key: str
    backends: list[str] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    tried_again: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _turns: Iterator[int] = field(default_factory=itertools.count)
    _ids: Iterator[int] = field(default_factory=itertools.count)

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        posting = asyncio.create_task(self._post_until(stop))
        try:
            yield
        finally:
            stop.set()
            await posting

    async def goes_on(self) -> None:
        """Return when some more events were accepted since."""
        enough = len(self.accepted) + EVENTS_BETWEEN_STEPS
        await wait_until(
            lambda: len(self.accepted) >= enough or bool(self.failed), "posting goes on", timeout_seconds=90
        )

    async def _post_until(self, stop: asyncio.Event) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(headers=headers, timeout=30, trust_env=False) as client:
            while not stop.is_set():
                number = next(self._ids)
                event: dict[str, object] = {
                    "id": f"e{number}",
                    "type": "page_viewed",
                    "lead": {"email": f"lead{number % LEADS}@acme.example"},
                }
                await self._post(client, event)

    def _two_of_them(self) -> tuple[str, str]:
        """The one whose turn it is, and for a second try the next one, if there are two."""
        turn = next(self._turns)
        return self.backends[turn % len(self.backends)], self.backends[(turn + 1) % len(self.backends)]

    async def _post(self, client: httpx.AsyncClient, event: dict[str, object]) -> None:
        name = str(event["id"])
        troubles: list[str] = []
        for backend in self._two_of_them():
            try:
                answer = await client.post(f"{backend}/v1/events", json=event)
            except httpx.TransportError as error:
                troubles.append(repr(error))
                continue
            if answer.status_code == 202:
                self.accepted.add(name)
                self.tried_again += troubles
                return
            troubles.append(f"{answer.status_code} {answer.text}")
        self.failed.append(f"{name}: {'; '.join(troubles)}")


async def started(installation: Installation, service: str, stack: AsyncExitStack, **environment: str) -> Running:
    """A process that will be ended with the test, if it was not before."""
    running = Running(installation, service, free_port())
    running.start(environment)
    stack.push_async_callback(asyncio.to_thread, running.stop)
    await running.wait_until_ready()
    return running


async def ended(running: Running) -> None:
    """SIGTERM, and an orderly end within the time that Kubernetes gives."""
    async with asyncio.timeout(GRACE_SECONDS):
        code = await asyncio.to_thread(running.stop)
    assert code == 0, running.log_tail()


async def counted(database_url: str) -> list[str]:
    connection = await asyncpg.connect(database_url)
    try:
        return [row["id"] for row in await connection.fetch("SELECT event_id AS id FROM scorer.event")]
    finally:
        await connection.close()


async def migrated_by_the_next_release(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(NEXT_RELEASE)
    finally:
        await connection.close()


async def test_services_are_replaced_one_by_one_and_no_request_fails(database_url: str, tmp_path: Path) -> None:
    installation = Installation(tmp_path, {"LEADFLOW_DATABASE_URL": database_url})
    traffic = Traffic(installation.run("keys", "create", "--scope", "events:write"))
    async with AsyncExitStack() as stack:
        scorer = await started(installation, "scorer", stack, LEADFLOW_INSTANCE="scorer-0")
        pipeline = await started(installation, "pipeline", stack)
        ingest = await started(installation, "ingest", stack)
        traffic.backends = [ingest.base_url]

        async with traffic.flowing():
            await traffic.goes_on()
            await migrated_by_the_next_release(database_url)
            await traffic.goes_on()
            # A Deployment with maxUnavailable 0: the new one first.
            traffic.backends.append((await started(installation, "ingest", stack)).base_url)
            await ended(ingest)
            await traffic.goes_on()
            traffic.backends.remove(ingest.base_url)
            # A StatefulSet: the new one takes the place of the old.
            await ended(scorer)
            await started(installation, "scorer", stack, LEADFLOW_INSTANCE="scorer-0")
            await started(installation, "pipeline", stack)
            await ended(pipeline)
            await traffic.goes_on()

        async def all_counted() -> bool:
            return len(await counted(database_url)) >= len(traffic.accepted)

        await wait_until(all_counted, "every event is counted", timeout_seconds=120, every_seconds=0.2)

    assert traffic.failed == []
    assert sorted(await counted(database_url)) == sorted(traffic.accepted)
