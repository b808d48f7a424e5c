"""The embedded log as people look at it: topics, what they hold, records without a group, groups from outside."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.log.embedded_consumer import decoded_headers
from shared.log.protocol import BROWSED_BYTES, Extent, GroupState, Lag, Partition, ReceivedRecord, TopicState

_TOPICS = text("SELECT topic, count(*) AS partitions FROM log.partitions GROUP BY topic ORDER BY topic")
_EXTENT = text("""
    SELECT number, head, coalesce((SELECT min("offset") FROM log.records WHERE partition_id = partitions.id), head)
        AS first
    FROM log.partitions WHERE topic = :topic ORDER BY number
""")
# The running total keeps one look at large records within bounds; the first record always comes.
_BROWSE = text("""
    SELECT * FROM (
        SELECT ahead.*, sum(octet_length(value)) OVER (ORDER BY "offset") - octet_length(value) AS before
        FROM (
            SELECT records.* FROM log.records JOIN log.partitions ON partitions.id = partition_id
            WHERE topic = :topic AND number = :number AND "offset" >= :offset ORDER BY "offset" LIMIT :max_records
        ) AS ahead
    ) AS record
    WHERE before < :max_bytes ORDER BY "offset"
""")
_MEMBERS = text("""
    SELECT count(*) FROM log.members WHERE group_name = :group AND lease_until >= clock_timestamp()
        AND topics && CAST(:topics AS text[])
""")
_LAGS = text("""
    SELECT topic, number, CASE WHEN oldest."offset" IS NULL THEN 0 ELSE head - oldest."offset" END AS records,
        oldest.published_at AS oldest
    FROM log.partitions
    LEFT JOIN log.offsets ON offsets.partition_id = partitions.id AND offsets.group_name = :group
    LEFT JOIN LATERAL (
        SELECT "offset", published_at FROM log.records
        WHERE partition_id = partitions.id AND "offset" >= coalesce(next_offset, 0) ORDER BY "offset" LIMIT 1
    ) AS oldest ON true
    WHERE topic = ANY(CAST(:topics AS text[])) ORDER BY topic, number
""")


async def topics(connection: AsyncConnection) -> Mapping[str, TopicState]:
    rows = await connection.execute(_TOPICS)
    return {row.topic: TopicState(row.partitions, replicas=1, in_sync=1, leaderless=0, min_in_sync=1) for row in rows}


async def extent(connection: AsyncConnection, topic: str) -> Mapping[Partition, Extent]:
    rows = await connection.execute(_EXTENT, {"topic": topic})
    return {Partition(topic, row.number): Extent(row.first, row.head) for row in rows}


async def browse(
    connection: AsyncConnection, partition: Partition, *, offset: int, max_records: int
) -> Sequence[ReceivedRecord]:
    place = {"topic": partition.topic, "number": partition.number, "offset": offset}
    rows = await connection.execute(_BROWSE, {**place, "max_records": max_records, "max_bytes": BROWSED_BYTES})
    return [
        ReceivedRecord(
            partition=partition,
            offset=row.offset,
            key=row.key,
            value=row.value,
            headers=decoded_headers(row.headers),
            published_at=row.published_at,
        )
        for row in rows
    ]


async def group(connection: AsyncConnection, name: str, topics: Sequence[str], *, now: datetime) -> GroupState:
    wanted = {"group": name, "topics": list(topics)}
    members = await connection.scalar(_MEMBERS, wanted)
    rows = await connection.execute(_LAGS, wanted)
    return GroupState(
        members=int(members or 0),
        lag={Partition(row.topic, row.number): Lag(row.records, _age(row.oldest, now)) for row in rows},
    )


def _age(oldest: datetime | None, now: datetime) -> float:
    return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
