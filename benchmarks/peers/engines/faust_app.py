"""Faust-streaming: tables in memory, each with a changelog topic, at least once.

The agent is that of its documentation, one event at a time, tuned or not: `take` hands over many, but a table may be
changed only while the event of the change is the current one.
"""

# What is not in leadflow's environment, mypy cannot see.
# mypy: disable-error-code="import-not-found, untyped-decorator"

import sys

import faust

from benchmarks.peers.engines.job import UPSERT, Job, Marks, columns
from benchmarks.peers.rules import NOBODY, Lead, crosses, fold, read

job = Job.read()
marks = Marks(job)
# Ahead of the agent, more records; changelog and crossings in batches of up to 50 ms instead of one by one; offsets
# committed less often.
_TUNED = {
    "broker_max_poll_records": 2000,
    "stream_buffer_maxsize": 16_384,
    "producer_linger": 0.05,
    "producer_max_batch_size": 524_288,
    "broker_commit_interval": 10.0,
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
leads = app.Table("leads", default=list, partitions=8)
seen = app.Table("seen", default=bool, partitions=8)
changed: dict[str, Lead] = {}


async def count(key: str, body: bytes) -> None:
    event = read(body)
    if event is None or event.id in seen:
        return
    before = Lead(*(leads.get(key) or NOBODY))
    after = fold(before, event, job.as_of_us)
    leads[key] = list(after)
    # After the lead: of two tables one can be lost by a kill, and what promises at least once had better count twice.
    seen[event.id] = True
    if job.postgres:
        changed[key] = after
    if crosses(before, after):
        await crossings.send(key=key.encode(), value=event.id.encode())


@leads.on_recover
async def write_again() -> None:
    """Class B: Faust commits offsets when it likes, so after a crash any lead may be new to the sink."""
    if job.postgres:
        changed.update((key, Lead(*lead)) for key, lead in leads.items())


async def write(connection: object) -> None:
    """Class B: what has changed since the last time, in one statement."""
    if changed:
        taken = columns(changed.items())
        changed.clear()
        await connection.execute(UPSERT, taken)  # type: ignore[attr-defined]
        await connection.commit()  # type: ignore[attr-defined]


async def connect() -> object:
    import psycopg

    return await psycopg.AsyncConnection.connect(job.postgres) if job.postgres else None


async def finish(connection: object) -> None:
    """The end of the work: sink, changelogs and offsets are safe."""
    await write(connection)
    await app.producer.flush()
    await app.topics.commit({job.source})
    marks.end()


@app.agent(source)
async def counting(stream: "faust.StreamT[bytes]") -> None:
    connection = await connect()
    async for key, body in stream.items():
        done = marks.one()
        await count(key.decode(), body)
        if len(changed) >= (2000 if job.tuned else job.batch):
            await write(connection)
        if done:
            await finish(connection)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel", "warn", "--without-web"]
    app.main()
