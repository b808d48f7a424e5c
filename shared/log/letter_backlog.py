"""How many dead letters of a topic lie there, for the metrics."""

from datetime import datetime

from shared.events.topics import TopicSpec
from shared.log.dead_letter import topic_of_dead_letters
from shared.log.protocol import Log
from shared.observability.metrics import DEAD_LETTERS_AGE, DEAD_LETTERS_KEPT
from shared.periodic import every
from shared.service import Context, Task


def letter_backlog_task(context: Context, topic: TopicSpec) -> Task:
    """Shows again and again how many letters of `topic` the log keeps, and the age of the oldest."""
    name = topic_of_dead_letters(topic.name)

    async def observe() -> int:
        kept, oldest = await _kept(context.log, name)
        DEAD_LETTERS_KEPT.labels(name).set(kept)
        DEAD_LETTERS_AGE.labels(name).set((context.clock.now() - oldest).total_seconds() if oldest else 0.0)
        return 0

    return every(context.settings.metrics_seconds, observe, name=f"letters of {topic.name}")


async def _kept(log: Log, topic: str) -> tuple[int, datetime | None]:
    extents = {part: extent for part, extent in (await log.extent(topic)).items() if extent.end > extent.first}
    firsts = [
        record
        for part, extent in extents.items()
        for record in await log.browse(part, offset=extent.first, max_records=1)
    ]
    return (
        sum(extent.end - extent.first for extent in extents.values()),
        min((record.published_at for record in firsts), default=None),
    )
