"""A member of a group on the embedded log: a lease on its place, and commits fenced by the generation.

Every change of a group's members takes a new generation. All members compute the same shares from the
members' names, so who holds what at a generation needs no table, and a commit is safe exactly when the
generation is still the one that it was polled in.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

from msgspec.json import Decoder
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import Clock
from shared.db.direct import DirectConnection
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import CommitRejected, DatabaseUnavailable, LogUnavailable, Misconfigured
from shared.failpoints import reach
from shared.log.assignment import assign
from shared.log.protocol import Lag, Partition, Rebalances, ReceivedRecord, next_offsets

logger = logging.getLogger(__name__)

_DECODE = Decoder(dict[str, str]).decode

# Silent members are expelled after the session timeout; each says that it lives this often within it.
_HEARTBEATS_PER_SESSION = 6
_POLL_SECONDS = 0.5
_LONGEST_WORK_SECONDS = 300.0
_FETCH_BYTES_PER_PARTITION = 4 * 1024 * 1024
_LEAVE_SECONDS = 3.0

# NOTIFY's payload is the name of a topic, or of a group with a mark that no topic's name holds.
CHANNEL = "leadflow_log"

_ADD_GROUP = text("INSERT INTO log.groups (name) VALUES (:group) ON CONFLICT DO NOTHING")
_LOCK_GROUP = text("SELECT generation FROM log.groups WHERE name = :group FOR UPDATE")
_NEXT_GENERATION = text("UPDATE log.groups SET generation = generation + 1 WHERE name = :group")
_EXPEL = text("DELETE FROM log.members WHERE group_name = :group AND lease_until < clock_timestamp()")
_JOIN = text("""
    INSERT INTO log.members (group_name, name, token, topics, lease_until)
    VALUES (:group, :member, :token, CAST(:topics AS text[]), clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (group_name, name) DO UPDATE
    SET token = excluded.token, topics = excluded.topics, lease_until = excluded.lease_until
""")
_SUBSCRIBE = text("""
    INSERT INTO log.subscriptions (group_name, topic) SELECT :group, unnest(CAST(:topics AS text[]))
    ON CONFLICT DO NOTHING
""")
_LEAVE = text("DELETE FROM log.members WHERE group_name = :group AND name = :member AND token = :token")
_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', :about)")
_HEARTBEAT = text("""
    WITH lease AS (
        UPDATE log.members SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
        WHERE group_name = :group AND name = :member AND token = :token RETURNING 1
    )
    SELECT groups.generation,
        EXISTS (SELECT FROM lease) AS is_member,
        EXISTS (
            SELECT FROM log.members WHERE group_name = :group AND name <> :member
            AND lease_until < clock_timestamp()
        ) AS has_expired
    FROM log.groups WHERE name = :group
""")
_GENERATION = text("SELECT generation FROM log.groups WHERE name = :group FOR SHARE")
_MEMBERS = text("SELECT name, token, topics FROM log.members WHERE group_name = :group")
_PARTITIONS = text("""
    SELECT partitions.id, partitions.topic, partitions.number, coalesce(
        offsets.next_offset,
        (SELECT min("offset") FROM log.records WHERE partition_id = partitions.id),
        partitions.head
    ) AS next_offset
    FROM log.partitions LEFT JOIN log.offsets
      ON offsets.partition_id = partitions.id AND offsets.group_name = :group
    WHERE partitions.topic = ANY(CAST(:topics AS text[]))
""")
# The running total keeps one fetch of large records within bounds; the first record always comes.
_FETCH = """
    SELECT wanted.id, record."offset", record.key, record.value, record.headers, record.published_at
    FROM unnest($1::integer[], $2::bigint[])
        WITH ORDINALITY AS wanted (id, position, rank)
    CROSS JOIN LATERAL (
        SELECT ahead.*, sum(octet_length(value)) OVER (ORDER BY "offset") - octet_length(value) AS before
        FROM (
            SELECT * FROM log.records WHERE partition_id = wanted.id AND "offset" >= wanted.position
            ORDER BY "offset" LIMIT $3::integer
        ) AS ahead
    ) AS record
    WHERE record.before < $4::bigint
    ORDER BY wanted.rank, record."offset" LIMIT $3::integer
"""
# The group's row is locked against a new generation until the offsets are in. They need not wait for the disk: what a
# crash of PostgreSQL takes back lets records come again, as any failure before a commit does.
_COMMIT = """
    WITH fence AS (
        SELECT set_config('synchronous_commit', 'off', true) FROM log.groups
        WHERE name = $1::text AND generation = $2::bigint FOR SHARE
    ), committed AS (
        INSERT INTO log.offsets (group_name, partition_id, next_offset)
        SELECT $1::text, id, next_offset FROM fence, unnest($3::integer[], $4::bigint[]) AS item (id, next_offset)
        ON CONFLICT (group_name, partition_id) DO UPDATE
        SET next_offset = excluded.next_offset, committed_at = now()
        RETURNING 1
    )
    SELECT count(*) FROM committed
"""
_LAG = text("""
    SELECT partitions.id, partitions.head - committed.next_offset AS records,
        (SELECT published_at FROM log.records
         WHERE partition_id = partitions.id AND "offset" >= committed.next_offset ORDER BY "offset" LIMIT 1) AS oldest
    FROM unnest(CAST(:ids AS integer[]), CAST(:offsets AS bigint[])) AS committed (id, next_offset)
    JOIN log.partitions USING (id)
""")


@asynccontextmanager
async def answering(timeout_seconds: float) -> AsyncIterator[None]:
    """What the block meets of PostgreSQL's trouble, and its taking too long, as LogUnavailable."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except (DatabaseUnavailable, TimeoutError) as error:
        raise LogUnavailable(
            f"the embedded log does not answer: {str(error) or 'timeout'}", outcome_unknown=False
        ) from error


class EmbeddedConsumer:
    """Joins on entering, leaves on exit; in between a task of its own keeps the lease."""

    def __init__(
        self,
        database: Database,
        topics: Sequence[str],
        *,
        group: str,
        member: str,
        session_timeout_seconds: float,
        call_timeout_seconds: float,
        clock: Clock,
    ) -> None:
        self._database = database
        self._topics = frozenset(topics)
        self._group = group
        self._member = member
        self._session_timeout_seconds = session_timeout_seconds
        self._call_timeout_seconds = call_timeout_seconds
        self._clock = clock
        self._token: UUID = uuid4()
        self._generation: int | None = None
        self._group_changed = True
        self._ids: dict[Partition, int] = {}
        self._partitions: dict[int, Partition] = {}
        self._committed: dict[Partition, int] = {}
        self._positions: dict[Partition, int] = {}
        self._reader = DirectConnection(database.url, timeout_seconds=call_timeout_seconds)
        self._woken = asyncio.Event()
        self._last_poll = time.monotonic()
        self._heart: asyncio.Task[None] | None = None
        self._rebalances = Rebalances()

    async def __aenter__(self) -> Self:
        await self._join()
        self._heart = asyncio.create_task(self._beat(), name="log heartbeat")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.gather(self._heart, return_exceptions=True)
        await self._reader.close()
        try:
            async with asyncio.timeout(_LEAVE_SECONDS), self._database.transaction(ALL_WORKSPACES) as connection:
                await connection.execute(_LOCK_GROUP, {"group": self._group})
                if (await connection.execute(_LEAVE, self._identity())).rowcount:
                    await self._change_generation(connection)
        except (DatabaseUnavailable, TimeoutError):
            logger.warning("left the group without saying so", extra={"group": self._group})

    def wake(self, about: str = "") -> None:
        """Something happened to a topic or a group: look now rather than at the next poll; "" = to any."""
        if about in self._topics or not about:
            self._woken.set()
        if about == _channel_name(self._group) or not about:
            self._notice_change()

    async def poll(self, *, max_records: int, timeout_seconds: float) -> Sequence[ReceivedRecord]:
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._last_poll = time.monotonic()
            self._woken.clear()
            self._check_heart()
            async with answering(self._call_timeout_seconds):
                await self._follow_group()
                records = await self._fetch(max_records)
            remaining = deadline - time.monotonic()
            if records or remaining <= 0:
                return records
            await self._wait(min(remaining, _POLL_SECONDS))

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        if not offsets:
            return
        if self._generation is None or not offsets.keys() <= self._ids.keys():
            raise CommitRejected("the partitions are no longer this member's")
        ids = [self._ids[partition] for partition in offsets]
        async with answering(self._call_timeout_seconds), self._reader.transaction() as connection:
            accepted = await connection.fetchval(_COMMIT, self._group, self._generation, ids, list(offsets.values()))
        if not accepted:
            self._generation = None
            raise CommitRejected("the group has a newer generation")
        self._committed.update(offsets)

    async def rewind(self) -> None:
        self._positions = dict(self._committed)

    def assignment(self) -> frozenset[Partition]:
        return frozenset(self._ids)

    def rebalances(self) -> Rebalances:
        return self._rebalances

    async def lag(self) -> Mapping[Partition, Lag]:
        committed = {self._ids[partition]: offset for partition, offset in self._committed.items()}
        parameters = {"ids": list(committed), "offsets": list(committed.values())}
        async with answering(self._call_timeout_seconds), self._database.transaction(ALL_WORKSPACES) as connection:
            rows = (await connection.execute(_LAG, parameters)).all()
        return {self._partitions[row.id]: self._lag_of(row) for row in rows}

    def _lag_of(self, row: Row[Any]) -> Lag:
        if row.oldest is None:
            return Lag(records=0, seconds=0.0)
        age = (self._clock.now() - row.oldest).total_seconds()
        return Lag(records=row.records, seconds=max(0.0, age))

    def _identity(self) -> dict[str, object]:
        return {"group": self._group, "member": self._member, "token": self._token}

    async def _join(self) -> None:
        joining = {
            **self._identity(),
            "topics": sorted(self._topics),
            "seconds": self._session_timeout_seconds,
        }
        async with answering(self._call_timeout_seconds), self._database.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(_ADD_GROUP, {"group": self._group})
            await connection.execute(_LOCK_GROUP, {"group": self._group})
            await connection.execute(_EXPEL, {"group": self._group})
            await connection.execute(_JOIN, joining)
            await connection.execute(_SUBSCRIBE, {"group": self._group, "topics": sorted(self._topics)})
            await self._change_generation(connection)

    async def _change_generation(self, connection: AsyncConnection) -> None:
        await connection.execute(_NEXT_GENERATION, {"group": self._group})
        await connection.execute(_NOTIFY, {"about": _channel_name(self._group)})

    async def _follow_group(self) -> None:
        """Take the share of the newest generation, unless it is the one we have."""
        if self._generation is not None and not self._group_changed:
            return
        if not await self._take_share():
            logger.warning("expelled from the group, joins again", extra={"group": self._group})
            await self._join()
            await self._take_share()

    async def _take_share(self) -> bool:
        """Whether this member is one of the group's: if so, it holds its share of the present generation.

        A look that finds the generation unchanged changes nothing: what was polled is not polled again.
        """
        held, self._generation, began = self._generation, None, time.monotonic()
        # Before the look: what changes during it shall be noticed again.
        self._group_changed = False
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            generation = await connection.scalar(_GENERATION, {"group": self._group})
            members = {row.name: row for row in await connection.execute(_MEMBERS, {"group": self._group})}
            topics = {name: frozenset(row.topics) for name, row in members.items()}
            wanted = sorted(frozenset[str]().union(*topics.values()))
            rows = (await connection.execute(_PARTITIONS, {"group": self._group, "topics": wanted})).all()
        mine = members.get(self._member)
        if mine is not None and mine.token == self._token and generation == held:
            self._generation = held
            return True
        if self._ids:
            reach("partitions-revoked")
        self._give_up_share()
        if mine is None:
            return False
        if mine.token != self._token:
            raise Misconfigured(f"another process has joined group {self._group} as {self._member}")
        self._hold(assign((_partition(row) for row in rows), topics)[self._member], rows)
        self._generation = generation
        self._rebalances += Rebalances(1, time.monotonic() - began)
        return True

    def _hold(self, share: frozenset[Partition], rows: Sequence[Row[Any]]) -> None:
        held = [row for row in rows if _partition(row) in share]
        self._ids = {_partition(row): row.id for row in held}
        self._partitions = {row.id: _partition(row) for row in held}
        self._committed = {_partition(row): row.next_offset for row in held}
        self._positions = dict(self._committed)

    def _give_up_share(self) -> None:
        self._ids, self._partitions, self._committed, self._positions = {}, {}, {}, {}
        self._generation = None

    async def _fetch(self, max_records: int) -> Sequence[ReceivedRecord]:
        if not self._ids:
            return []
        positions = [self._positions[partition] for partition in self._ids]
        async with self._reader.transaction() as connection:
            rows = await connection.fetch(
                _FETCH, list(self._ids.values()), positions, max_records, _FETCH_BYTES_PER_PARTITION
            )
        records = [
            ReceivedRecord(self._partitions[id_], offset, key, value, decoded_headers(headers), published_at)
            for id_, offset, key, value, headers, published_at in rows
        ]
        self._positions |= next_offsets(records)
        self._rotate()
        return records

    def _rotate(self) -> None:
        """Another partition comes first next time, so that a busy one starves nobody."""
        first, *rest = self._ids.items()
        self._ids = dict([*rest, first])

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    def _check_heart(self) -> None:
        if self._heart is not None and self._heart.done():
            self._heart.result()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._session_timeout_seconds / _HEARTBEATS_PER_SESSION)
            # Whoever works on one batch for so long is stuck, and others shall have its partitions.
            if time.monotonic() - self._last_poll > _LONGEST_WORK_SECONDS:
                continue
            try:
                await self._renew_lease()
            except (DatabaseUnavailable, TimeoutError) as error:
                logger.warning("heartbeat failed", extra={"group": self._group, "error": str(error)})

    async def _renew_lease(self) -> None:
        beat = {**self._identity(), "seconds": self._session_timeout_seconds}
        async with asyncio.timeout(self._call_timeout_seconds):
            async with self._database.transaction(ALL_WORKSPACES) as connection:
                state = (await connection.execute(_HEARTBEAT, beat)).one()
            if state.has_expired:
                await self._expel_silent_members()
        if self._generation != state.generation or not state.is_member:
            self._notice_change()

    def _notice_change(self) -> None:
        self._group_changed = True
        self._woken.set()

    async def _expel_silent_members(self) -> None:
        """In a transaction that takes the group's lock first, as joining does: else the two could deadlock."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(_LOCK_GROUP, {"group": self._group})
            if (await connection.execute(_EXPEL, {"group": self._group})).rowcount:
                await self._change_generation(connection)
        self._notice_change()


def _partition(row: Row[Any]) -> Partition:
    return Partition(row.topic, row.number)


def _channel_name(group: str) -> str:
    return f"group {group}"


def decoded_headers(headers: bytes) -> dict[str, bytes]:
    """The headers of a record as the table has them."""
    return {name: value.encode("latin-1") for name, value in _DECODE(headers).items()} if headers else {}
