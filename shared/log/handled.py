"""The books of a group of consumers: what became of each record, written with its effects, whatever the engine.

They balance when every record that the log took was counted, known already, set aside as a dead letter, or still
waits. A record that was skipped (its offset was passed over, or it was deleted before it was read) is missed here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import routine
from shared.log.protocol import Extent, GroupState, Partition, ReceivedRecord

Fate = Literal["counted", "repeated", "dead"]

# A batch that comes again is behind `next_offset`; of two processes that handle it at once the second writes nothing.
_ENTER = """
    INSERT INTO log.handled AS known
        (group_name, topic, partition, first_offset, next_offset, counted, repeated, dead)
    SELECT :group, item.topic, item.partition, min("offset"), max("offset") + 1,
        count(*) FILTER (WHERE fate = 'counted'),
        count(*) FILTER (WHERE fate = 'repeated'), count(*) FILTER (WHERE fate = 'dead')
    FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS integer[]), CAST(:offsets AS bigint[]),
        CAST(:fates AS text[])) AS item (topic, partition, "offset", fate)
    LEFT JOIN log.handled AS before
        ON before.group_name = :group AND before.topic = item.topic AND before.partition = item.partition
    WHERE "offset" >= coalesce(before.next_offset, 0)
    GROUP BY item.topic, item.partition
    ON CONFLICT (group_name, topic, partition) DO UPDATE
    SET next_offset = excluded.next_offset, counted = known.counted + excluded.counted,
        repeated = known.repeated + excluded.repeated, dead = known.dead + excluded.dead
    WHERE known.next_offset <= excluded.first_offset
"""
_BOOKS = text("""
    SELECT partition, first_offset, next_offset, counted, repeated, dead FROM log.handled
    WHERE group_name = :group AND topic = :topic
""")


@dataclass(frozen=True, slots=True)
class Page:
    """The books of one partition: records from `first` up to but without `next` were seen."""

    first: int
    next: int
    counted: int
    repeated: int
    dead: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Records of a topic since the books began. `difference`: accepted, and none of the others.

    It is positive for records that nobody handled, negative when more was handled than the log ever had, as after
    the log was restored to an earlier moment than PostgreSQL.
    """

    accepted: int
    counted: int
    repeated: int
    dead: int
    in_flight: int

    @property
    def difference(self) -> int:
        return self.accepted - self.counted - self.repeated - self.dead - self.in_flight


async def enter(
    connection: AsyncConnection, group: str, records: Sequence[ReceivedRecord], fates: Sequence[Fate]
) -> None:
    """Write down what became of each record of a batch, in the transaction that made it so."""
    if records:
        await routine.rows(
            connection,
            _ENTER,
            group=group,
            topics=[record.partition.topic for record in records],
            partitions=[record.partition.number for record in records],
            offsets=[record.offset for record in records],
            fates=fates,
        )


async def books(connection: AsyncConnection, group: str, topic: str) -> dict[Partition, Page]:
    """What is written down of a topic."""
    rows = await connection.execute(_BOOKS, {"group": group, "topic": topic})
    return {
        Partition(topic, row.partition): Page(row.first_offset, row.next_offset, row.counted, row.repeated, row.dead)
        for row in rows
    }


def balance(
    before: Mapping[Partition, Extent],
    group: GroupState,
    pages: Mapping[Partition, Page],
    after: Mapping[Partition, Extent],
) -> Balance:
    """Whether the books balance, while everything goes on.

    What the log held is looked at `before` and `after` the group's offsets and the books, in this order: so nothing
    that happens in between looks like a difference.
    """
    parts = [
        _balance(before[partition], group.lag[partition].records, pages.get(partition), after[partition])
        for partition in after
        if partition in before and partition in group.lag
    ]
    return Balance(
        accepted=sum(part.accepted for part in parts),
        counted=sum(part.counted for part in parts),
        repeated=sum(part.repeated for part in parts),
        dead=sum(part.dead for part in parts),
        in_flight=sum(part.in_flight for part in parts),
    )


def _balance(before: Extent, lag: int, page: Page | None, after: Extent) -> Balance:
    # At least so much was committed: the end may have moved on between the two looks, the commit only with it.
    committed = before.end - lag
    if page is None:
        begun = min(max(after.first, committed), after.end)
        return Balance(after.end - begun, 0, 0, 0, after.end - begun)
    passed = max(page.next, committed)
    return Balance(
        accepted=after.end - page.first,
        counted=page.counted,
        repeated=page.repeated,
        dead=page.dead,
        in_flight=max(0, after.end - passed),
    )
