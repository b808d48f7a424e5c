"""Messages leave PostgreSQL in the order they were written, at least once, with the bytes they were written with.

A service appends messages in the transaction that made them true; the relay publishes and deletes them.
One relay works at a time per schema (an advisory lock held by its transaction). It takes what is there
rather than what is newer than the last id, because ids commit out of order and would be skipped.
"""

import asyncio
import contextlib
import logging
import zlib
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import routine
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.db.statements import text
from shared.errors import LogUnavailable, TransientError
from shared.events.codec import encode
from shared.events.envelope import Message, rfc3339
from shared.events.scores import LeadErased
from shared.events.topics import TopicSpec
from shared.failpoints import reach
from shared.log.loop import Progress
from shared.log.messages import RECEIVED_HEADER, WORKSPACE_HEADER, workspace_of
from shared.log.protocol import Log, Record
from shared.observability import tracing
from shared.observability.metrics import OUTBOX_AGE, OUTBOX_MESSAGES
from shared.observability.tracing import Attributes, Span, TraceContext
from shared.periodic import every
from shared.sealing.data_keys import Item, sealing_of
from shared.service import Task

logger = logging.getLogger(__name__)

_BATCH = 500
_OBSERVE_SECONDS = 5.0
_CONTENT_TYPE = b"application/cloudevents+json"
_SEALED_AS = b"outbox"
_KEYS = UUID("7c1f1b5a-8a55-5d0c-9d8a-2f2b0a4c6e10")

# Topic, key, value, traceparent, tracestate, received_at.
_Waiting = Sequence[Any]

# Whose turn it was not finds its messages gone, or waits: whoever's it was looks again this soon.
_LOOK_AGAIN_SECONDS = 0.02

_APPEND = """
    INSERT INTO {schema}.outbox (topic, key, value, traceparent, tracestate, received_at)
    SELECT topic, key, value, traceparent, tracestate, received_at
    FROM unnest(CAST(:topics AS text[]), CAST(:keys AS bytea[]), CAST(:values AS bytea[]), CAST(:traces AS text[]),
                CAST(:states AS text[]), CAST(:received AS timestamptz[]))
         WITH ORDINALITY AS item (topic, key, value, traceparent, tracestate, received_at, position)
    ORDER BY position
"""
# What another relay deletes between the snapshot and the lock is passed over by DELETE, as it would not be by SELECT.
# The commit need not wait for the disk: what a crash of PostgreSQL brings back is published once more.
_TAKE = """
    WITH turn AS MATERIALIZED (
        SELECT pg_try_advisory_xact_lock(:lock) AS is_ours, set_config('synchronous_commit', 'off', true)
    ), taken AS (
        DELETE FROM {schema}.outbox WHERE id = ANY(ARRAY(
            SELECT id FROM {schema}.outbox WHERE (SELECT is_ours FROM turn) ORDER BY id LIMIT :batch
        ))
        RETURNING id, topic, key, value, traceparent, tracestate, received_at
    )
    SELECT topic, key, value, traceparent, tracestate, received_at FROM taken ORDER BY id
"""


class Outgoing(Struct, frozen=True, gc=False):
    """A message on its way: `key`, a lead's id or the digest of a name, decides order and partition.

    `trace` says where it comes from.
    Without one it begins at the work in hand, or anew. `received_at`: when the first event was received from which it
    follows; None where it follows from none.
    """

    topic: TopicSpec
    key: str
    message: Message
    trace: TraceContext | None = None
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in an outbox: how many messages, and for how long the oldest has."""

    messages: int
    oldest_age_seconds: float


class Outbox:
    """The table `<schema>.outbox`, its writer and its relay."""

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._lock = zlib.crc32(f"leadflow outbox {schema}".encode())
        self._append = _APPEND.format(schema=schema)
        self._take = _TAKE.format(schema=schema)
        self._written = asyncio.Event()
        self._progress = Progress()

    async def append(self, connection: AsyncConnection, outgoing: Sequence[Outgoing]) -> None:
        """Write messages in this transaction; call `wake` once it is committed."""
        if not outgoing:
            return
        values = await _sealed(connection, outgoing)
        traces = [item.trace or _begun(item) for item in outgoing]
        await routine.rows(
            connection,
            self._append,
            topics=[item.topic.name for item in outgoing],
            keys=[item.key.encode() for item in outgoing],
            values=values,
            traces=[str(trace) for trace in traces],
            states=[trace.state or None for trace in traces],
            received=[item.received_at for item in outgoing],
        )

    def wake(self) -> None:
        """Tell the relay of this process that there is something to publish."""
        self._written.set()

    def stuck(self) -> str | None:
        """Why the relay of this process makes no progress although it could, or None.

        Progress is messages published, or a look that finds none: while it is another relay's turn, that one tells.
        """
        return self._progress.stuck()

    def tasks(self, database: Database, log: Log) -> dict[str, Task]:
        """What a service runs to empty its outbox, and to show how full it is."""

        async def observe() -> int:
            async with database.transaction(ALL_WORKSPACES) as connection:
                backlog = await self.backlog(connection)
            OUTBOX_MESSAGES.labels(self._schema).set(backlog.messages)
            OUTBOX_AGE.labels(self._schema).set(backlog.oldest_age_seconds)
            return 0

        return {
            "outbox": self.relay_task(database, log),
            "outbox backlog": every(_OBSERVE_SECONDS, observe, name="outbox backlog"),
        }

    def relay_task(self, database: Database, log: Log, *, poll_seconds: float = 0.25) -> Task:
        """Publishes until stopped. Trouble with PostgreSQL or the log is waited out, never fatal."""

        async def relay(stop: asyncio.Event) -> None:
            while not stop.is_set():
                self._written.clear()
                published = await self._relay_or_wait(database, log, stop)
                if published < _BATCH:
                    await self._wait(_LOOK_AGAIN_SECONDS if published else poll_seconds)

        return relay

    async def _relay_or_wait(self, database: Database, log: Log, stop: asyncio.Event) -> int:
        try:
            published = await self.relay_once(database, log)
        except TransientError as error:
            # PostgreSQL's trouble and the log's are waited out, as by consumers: they would meet a new process, too.
            # Not so a connection to the log that is broken for good while everybody else's works.
            if isinstance(error, LogUnavailable) and await log.fails_us_alone():
                self._progress.resume()
            else:
                self._progress.pause(error)
            logger.warning("outbox relay waits", extra={"schema": self._schema, "error": str(error)})
            await _sleep(stop, 1.0)
            return 0
        self._progress.advance(published)
        return published

    async def relay_once(self, database: Database, log: Log) -> int:
        """Publish the oldest messages; returns how many. None is gone for good that the log has not confirmed."""
        async with database.transaction(ALL_WORKSPACES, is_routine=True) as connection:
            rows = await self._taken(connection)
            if not rows:
                return 0
            values = await opened(connection, [value for _, _, value, *_ in rows])
            for topic, records in _by_topic(rows, values).items():
                with _sending(topic, records):
                    await log.publish(topic, records)
            reach("published-not-marked")
            return len(rows)

    async def backlog(self, connection: AsyncConnection) -> Backlog:
        """What waits now, by the database's own clock."""
        age = "coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)"
        query = text(f"SELECT count(*) AS messages, {age} AS age FROM {self._schema}.outbox")  # noqa: S608
        row = (await connection.execute(query)).one()
        return Backlog(messages=row.messages, oldest_age_seconds=float(row.age))

    async def _taken(self, connection: AsyncConnection) -> Sequence[_Waiting]:
        """The oldest messages, deleted with this transaction; none while it is another relay's turn."""
        return await routine.rows(connection, self._take, lock=self._lock, batch=_BATCH)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._written.wait()


async def opened(connection: AsyncConnection, values: Sequence[bytes]) -> list[bytes | None]:
    """Messages as they are to be published; None for those whose lead was erased while they waited."""
    return await sealing_of(connection).open(connection, [bytes(value) for value in values], _SEALED_AS)


def owner_of(key: str) -> UUID:
    """Whose content goes under this key: the lead with that id, or whoever has the name that it is the digest of."""
    try:
        return UUID(key)
    except ValueError:
        return uuid5(_KEYS, key)


async def _sealed(connection: AsyncConnection, outgoing: Sequence[Outgoing]) -> list[bytes]:
    """The messages, each for those who have the key of its lead; that a lead was erased is told openly."""
    values = [encode(item.message) for item in outgoing]
    places = [place for place, item in enumerate(outgoing) if not isinstance(item.message, LeadErased)]
    owners = {key: owner_of(key) for key in {item.key for item in outgoing}}
    items = [Item(owners[outgoing[place].key], outgoing[place].message.workspace, values[place]) for place in places]
    sealed = await sealing_of(connection).seal(connection, items, _SEALED_AS, are_brief=True)
    for place, value in zip(places, sealed, strict=True):
        values[place] = value
    return values


def _by_topic(rows: Sequence[_Waiting], values: Sequence[bytes | None]) -> dict[str, list[Record]]:
    """The messages as records; `values` are theirs, opened. What nobody can read any more is left out."""
    topics: dict[str, list[Record]] = defaultdict(list)
    for (topic, key, _, parent, state, received_at), value in zip(rows, values, strict=True):
        if value is None:
            continue
        headers = {"content-type": _CONTENT_TYPE, WORKSPACE_HEADER: workspace_of(value)}
        if parent is not None:
            headers[tracing.HEADER] = parent.encode()
        if state is not None:
            headers[tracing.STATE_HEADER] = state.encode()
        if received_at is not None:
            headers[RECEIVED_HEADER] = rfc3339(received_at).encode()
        topics[topic].append(Record(key, value, headers))
    return topics


def _begun(item: Outgoing) -> TraceContext:
    return tracing.follow(f"create {item.topic.name}", "producer", parent=tracing.request())


def _sending(topic: str, records: Sequence[Record]) -> AbstractContextManager[Span]:
    """The span of what the relay publishes; its messages have their own ways, to which it links."""
    links = filter(None, (tracing.read(record.headers.get(tracing.HEADER)) for record in records))
    attributes: Attributes = {"messaging.destination.name": topic, "messaging.batch.message_count": len(records)}
    return tracing.span(f"send {topic}", "client", links=links, attributes=attributes)


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
