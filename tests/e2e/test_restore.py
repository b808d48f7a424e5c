"""A backup is restored as docs/backup.md says: afterwards every event counts once, and verifying agrees.

On Kafka the log was never away and is ahead of the database: it is read again from before the backup. The embedded
log is in the same database and comes back with it; what was accepted after the backup is sent again by its senders.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from shared.db.embedded_postgres import EmbeddedPostgres, _programs
from shared.events.topics import ENGAGEMENT_EVENTS, LEAD_SCORES
from tests.support.leadflow_process import Installation, Running
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]

DOCUMENT = Path(__file__).parents[2] / "docs" / "backup.md"
LEADS = 10
# Brokers and PostgreSQL may disagree about the time; reading too much again is harmless.
MARGIN = timedelta(minutes=5)


def statements(heading: str) -> str:
    """The SQL below `heading` of the documentation: the test does what an operator is told to do."""
    _, _, section = DOCUMENT.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    return section.partition("```sql\n")[2].partition("```")[0]


def events(numbers: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {"id": f"e{number}", "type": "page_viewed", "lead": {"email": f"lead{number % LEADS}@acme.example"}}
        for number in numbers
    ]


def program(name: str, *arguments: str) -> None:
    done = subprocess.run([_programs() / name, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


async def dumped(url: str, file: Path, what: str) -> None:
    await asyncio.to_thread(program, "pg_dump", "--format=custom", what, f"--file={file}", f"--dbname={url}")


async def fetched(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def told(url: str) -> list[tuple[Any, ...]]:
    """The number of each counted event, and how far scorer, outbox and pipeline are."""
    return await fetched(
        url,
        "SELECT count(*), (SELECT count(*) FROM scorer.outbox) + (SELECT count(*) FROM pipeline.outbox),"
        " (SELECT sum(sequence) FROM scorer.lead), (SELECT sum(scores_seen) FROM pipeline.lead) FROM scorer.event",
    )


async def until_counted(url: str, count: int) -> None:
    """Counted, told, and taken in by the pipeline."""

    async def holds() -> bool:
        ((counted, waiting, told_of, seen),) = await told(url)
        return bool(counted == count and waiting == 0 and told_of == seen)

    await wait_until(holds, f"{count} events are through", timeout_seconds=120, every_seconds=0.1)


async def post(running: Running, key: str, numbers: Sequence[int]) -> None:
    async with running.client(key) as client:

        async def accepted() -> bool:
            answer: httpx.Response = await client.post("/v1/events", json=events(numbers))
            return answer.status_code in {200, 202}

        await wait_until(accepted, "the events are accepted", timeout_seconds=60)


@asynccontextmanager
async def a_new_server(directory: Path) -> AsyncIterator[str]:
    """Another PostgreSQL, with the roles that a dump of one database does not bring."""
    async with EmbeddedPostgres(directory).running() as url:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("CREATE ROLE leadflow_app; CREATE ROLE leadflow_worker;")
            await connection.execute("GRANT leadflow_app, leadflow_worker TO CURRENT_USER")
            await connection.execute("CREATE DATABASE restored")
        finally:
            await connection.close()
        yield url.replace("/postgres?", "/restored?").replace("/leadflow?", "/restored?")


async def read_again_from(installation: Installation, backup_at: datetime) -> None:
    """What kafka-consumer-groups does: the scorer goes back to before the backup, the pipeline on to the end."""
    prefix = installation.environment["LEADFLOW_KAFKA_PREFIX"]
    for group, topic, since in (
        ("scorer", ENGAGEMENT_EVENTS, backup_at - MARGIN),
        ("pipeline", LEAD_SCORES, None),
    ):
        consumer = AIOKafkaConsumer(
            bootstrap_servers=installation.environment["LEADFLOW_KAFKA_BOOTSTRAP_SERVERS"],
            group_id=prefix + group,
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            places = [TopicPartition(prefix + topic.name, number) for number in range(topic.partitions)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found = {}
            if since is not None:
                found = await consumer.offsets_for_times(dict.fromkeys(places, int(since.timestamp() * 1000)))
            offsets = {place: found[place].offset if found.get(place) else ends[place] for place in places}
            await consumer.commit({place: OffsetAndMetadata(offset, "") for place, offset in offsets.items()})
        finally:
            await consumer.stop()


async def test_after_a_restore_every_event_counts_once(
    installation: Installation, database_url: str, tmp_path: Path
) -> None:
    on_kafka = "LEADFLOW_KAFKA_BOOTSTRAP_SERVERS" in installation.environment
    dump, keys = tmp_path / "leadflow.dump", tmp_path / "keys.dump"
    lost = Installation(tmp_path, {**installation.environment, "LEADFLOW_DATABASE_URL": database_url})
    key = lost.run("keys", "create", "--scope", "events:write")
    async with lost.running() as running:
        await post(running, key, range(100))
        await until_counted(database_url, 100)
        backup_at = datetime.now(UTC)
        await dumped(database_url, dump, "--exclude-schema=sealing")
        await post(running, key, range(100, 200))
        await until_counted(database_url, 200)
        await dumped(database_url, keys, "--schema=sealing")

    async with a_new_server(tmp_path / "server") as url:
        for part in (dump, keys):
            await asyncio.to_thread(program, "pg_restore", "--exit-on-error", f"--dbname={url}", str(part))
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statements("Numbers of messages go on above what was told"))
        finally:
            await connection.close()
        if on_kafka:
            await read_again_from(installation, backup_at)
        restored = Installation(tmp_path, {**installation.environment, "LEADFLOW_DATABASE_URL": url})
        async with restored.running() as running:
            # Senders that keep what leadflow had taken send it again; on Kafka nobody has to.
            if not on_kafka:
                await post(running, key, range(50, 200))
            await until_counted(url, 200)
            await post(running, key, range(190, 220))
            await until_counted(url, 220)

            verified = await asyncio.to_thread(restored.run, "rebuild", "--verify")

        ids = await fetched(url, "SELECT event_id FROM scorer.event")
    assert sorted(ids) == sorted((f"e{number}",) for number in range(220))
    assert verified.startswith(f"{LEADS} leads")
    assert "0 differ" in verified


MOMENT = "before the mistake"


@asynccontextmanager
async def archiving(directory: Path) -> AsyncIterator[tuple[EmbeddedPostgres, str]]:
    """A PostgreSQL that hands each finished piece of its WAL to an archive, `directory`/wal."""
    server, archive = EmbeddedPostgres(directory), directory / "wal"
    url = await server.start()
    try:
        archive.mkdir()
        await execute(
            url,
            "ALTER SYSTEM SET archive_mode = on",
            f"ALTER SYSTEM SET archive_command = 'cp %p {archive}/%f'",
        )
        await server.stop()
        yield server, await server.start()
    finally:
        await server.stop()


@asynccontextmanager
async def recovered(base: Path, archive: Path) -> AsyncIterator[str]:
    """The server of a base backup, once it has replayed the archive up to the named moment and takes writes."""
    cluster = base / "postgresql"
    (cluster / "recovery.signal").touch()
    with (cluster / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"archive_mode = off\nrestore_command = 'cp {archive}/%f %p'\n"
            f"recovery_target_name = '{MOMENT}'\nrecovery_target_action = promote\n"
        )
    async with EmbeddedPostgres(base).running() as url:

        async def is_promoted() -> bool:
            return await fetched(url, "SELECT pg_is_in_recovery()") == [(False,)]

        await wait_until(is_promoted, "the recovery has ended", timeout_seconds=120, every_seconds=0.2)
        yield url


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_mistake_is_undone_by_going_back_to_the_moment_before_it(
    installation: Installation, tmp_path: Path
) -> None:
    """Point-in-time recovery: a base backup and the archived WAL, by the programs that an operator has."""
    on_kafka = "LEADFLOW_KAFKA_BOOTSTRAP_SERVERS" in installation.environment
    base = tmp_path / "base"
    async with archiving(tmp_path / "first") as (_, url):
        spoilt = Installation(tmp_path, {**installation.environment, "LEADFLOW_DATABASE_URL": url})
        spoilt.run("migrate")
        key = spoilt.run("keys", "create", "--scope", "events:write")
        async with spoilt.running() as running:
            await post(running, key, range(50))
            await until_counted(url, 50)
            target = ("--pgdata", str(base / "postgresql"), "--dbname", url)
            await asyncio.to_thread(program, "pg_basebackup", "--checkpoint=fast", *target)
            await post(running, key, range(50, 100))
            await until_counted(url, 100)
            restored_to = datetime.now(UTC)
            await execute(url, f"SELECT pg_create_restore_point('{MOMENT}')")
            await post(running, key, range(100, 150))
            await until_counted(url, 150)
        await execute(url, "DELETE FROM scorer.event", "SELECT pg_switch_wal()")

    async with recovered(base, tmp_path / "first" / "wal") as url:
        kept = await fetched(url, "SELECT count(*) FROM scorer.event")
        await execute(url, statements("Numbers of messages go on above what was told"))
        if on_kafka:
            await read_again_from(installation, restored_to)
        restored = Installation(tmp_path, {**installation.environment, "LEADFLOW_DATABASE_URL": url})
        async with restored.running() as running:
            if not on_kafka:
                await post(running, key, range(90, 150))
            await until_counted(url, 150)

            verified = await asyncio.to_thread(restored.run, "rebuild", "--verify")

    assert kept == [(100,)]
    assert verified.startswith(f"{LEADS} leads")
    assert "0 differ" in verified
