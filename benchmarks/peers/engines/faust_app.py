"""Faust-streaming: a table in memory with a changelog topic, at least once.

The agent is that of its documentation, one event at a time, tuned or not: `take` hands over many, but a table may be
changed only while the event of the change is the current one.
"""

# What is not in leadflow's environment, mypy cannot see.
# mypy: disable-error-code="import-not-found, untyped-decorator"

import asyncio
import sys

import faust
import psycopg

from benchmarks.peers.engines.job import UPSERT, Job, Marks, columns
from benchmarks.peers.rules import NOBODY, Lead, crosses, fold, read

job = Job.read()
marks = Marks(job)
# Ahead of the agent, more records; changelog and crossings in batches of up to 50 ms instead of one by one. Not less
# often committed: what has no commit yet, a restart may skip.
_TUNED = {
    "broker_max_poll_records": 2000,
    "stream_buffer_maxsize": 16_384,
    "producer_linger": 0.05,
    "producer_max_batch_size": 524_288,
}
app = faust.App(
    job.group,
    broker=f"kafka://{job.bootstrap}",
    store="memory://",
    datadir=job.state_dir,
    value_serializer="json",
    topic_partitions=8,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    **({} if job.session_seconds is None else {"broker_session_timeout": job.session_seconds}),
    **(_TUNED if job.tuned else {}),
)
source = app.topic(job.source, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
crossings = app.topic(job.crossings, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
# Leads and known events in one table, because one changelog keeps their order. Two changelogs are written one without
# the other, for as long as the producer lingers: killed then, Faust knows events that it never counted.
state = app.Table("state", default=list, partitions=8)


class Sink:
    """Class B: what has changed since the last time, in one statement, every second and at the end."""

    def __init__(self) -> None:
        self.changed: dict[str, Lead] = {}
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
        # The statements of two writes must not overtake each other.
        self._writing = asyncio.Lock()

    async def write(self) -> None:
        async with self._writing:
            if self.changed:
                taken = columns(self.changed.items())
                self.changed.clear()
                self._connection = self._connection or await psycopg.AsyncConnection.connect(job.postgres or "")
                await self._connection.execute(UPSERT, taken)
                await self._connection.commit()

    async def write_again(self) -> None:
        """After a crash any lead may be new to PostgreSQL, because Faust commits offsets when it likes."""
        self.changed.update((key, Lead(*lead)) for key, lead in state.items() if isinstance(lead, list))


sink = Sink() if job.postgres else None
if sink is not None:
    app.timer(1.0)(sink.write)
    state.on_recover(sink.write_again)


async def count(key: str, body: bytes, offset: int) -> None:
    event = read(body)
    if event is None:
        return
    if (known := f"event {event.id}") in state:
        # Read again after a crash, not sent again: its crossing may have been lost on its way.
        crossed = state[known] == offset
    else:
        before = Lead(*(state[key] or NOBODY))
        after = fold(before, event, job.as_of_us)
        crossed = crosses(before, after)
        state[key] = list(after)
        # After the lead: a kill may come between the two, and what promises at least once had better count twice.
        state[known] = offset if crossed else -1
        if sink is not None:
            sink.changed[key] = after
    if crossed:
        await crossings.send(key=key.encode(), value=event.id.encode())


async def finish() -> None:
    """The end of the work: sink, changelog and offsets are safe."""
    if sink is not None:
        await sink.write()
    await app.producer.flush()
    await app.topics.commit({job.source})
    marks.end()


@app.agent(source)
async def counting(stream: "faust.StreamT[bytes]") -> None:
    async for event in stream.events():
        done = marks.at(event.message.partition, event.message.offset)
        await count(event.key.decode(), event.value, event.message.offset)
        if done:
            await finish()


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel", "warn", "--without-web"]
    app.main()
