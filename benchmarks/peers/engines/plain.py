"""No engine at all: confluent-kafka, a loop and a dictionary. What an engine adds must be held against this.

Class A keeps leads and known events in memory and loses them when it ends: it is a floor, and nothing to run.
Class B is what one would write instead of leadflow: known events, sums and offsets in one transaction per batch, so
that a crash loses and doubles nothing. Its crossings are published after the commit, and so at most once.
"""

# What is not in leadflow's environment, mypy cannot see.
# mypy: disable-error-code="import-not-found"

from collections.abc import Iterable

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from benchmarks.peers.engines.job import Job, Marks
from benchmarks.peers.rules import CROSSED_AT, NOBODY, Event, Lead, crosses, fold, read

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS peers.seen (id text PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS peers.position (partition int PRIMARY KEY, next bigint NOT NULL)
"""
# The sums of one batch are added to those of the table: class B needs no state in the process.
_ADD = """
    INSERT INTO peers.lead AS lead (key, score, events, last_us)
    SELECT * FROM unnest(%s::text[], %s::float8[], %s::int[], %s::bigint[])
    ON CONFLICT (key) DO UPDATE SET score = lead.score + excluded.score, events = lead.events + excluded.events,
                                    last_us = greatest(lead.last_us, excluded.last_us)
    RETURNING key, score
"""
_SEE = "INSERT INTO peers.seen SELECT DISTINCT unnest(%s::text[]) ON CONFLICT DO NOTHING RETURNING id"
_MOVE = """
    INSERT INTO peers.position SELECT * FROM unnest(%s::int[], %s::bigint[])
    ON CONFLICT (partition) DO UPDATE SET next = excluded.next
"""


def main() -> None:
    job = Job.read()
    marks, producer = Marks(job), Producer({"bootstrap.servers": job.bootstrap, "linger.ms": 5})
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": job.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **job.session_ms,
        }
    )
    consumer.subscribe([job.source])
    work = InPostgres(job, producer) if job.postgres else InMemory(job, producer)
    done = False
    while not done:
        batch = [message for message in consumer.consume(job.batch, 1.0) if message.error() is None]
        if batch:
            done = marks.some(len(batch))
            work.handle(batch)
            offsets = {(found.topic(), found.partition()): found.offset() + 1 for found in batch}
            consumer.commit(offsets=[TopicPartition(*place, offset) for place, offset in offsets.items()])
    producer.flush()
    marks.end(work.leads if isinstance(work, InMemory) else None)
    consumer.close()


class InMemory:
    """Class A."""

    def __init__(self, job: Job, producer: Producer) -> None:
        self._job, self._producer = job, producer
        self._seen: set[str] = set()
        self.leads: dict[str, Lead] = {}

    def handle(self, batch: list[Message]) -> None:
        for message in batch:
            event, key = read(message.value()), message.key().decode()
            if event is None or event.id in self._seen:
                continue
            self._seen.add(event.id)
            before = self.leads.get(key, NOBODY)
            self.leads[key] = after = fold(before, event, self._job.as_of_us)
            if crosses(before, after):
                self._producer.produce(self._job.crossings, key=key, value=event.id)


class InPostgres:
    """Class B."""

    def __init__(self, job: Job, producer: Producer) -> None:
        import psycopg

        self._job, self._producer = job, producer
        self._connection = psycopg.connect(job.postgres or "")
        self._connection.execute(_SCHEMA)
        self._connection.commit()

    def handle(self, batch: list[Message]) -> None:
        events = {event.id: (found.key().decode(), event) for found in batch if (event := read(found.value()))}
        offsets = {found.partition(): found.offset() + 1 for found in batch}
        with self._connection.transaction():
            new = [row[0] for row in self._connection.execute(_SEE, (sorted(events),))]
            added = self._summed(events[name] for name in new)
            keys = sorted(added)
            columns = [[added[key][place] for key in keys] for place in range(3)]
            rows = self._connection.execute(_ADD, (keys, *columns)).fetchall() if keys else []
            self._connection.execute(_MOVE, (list(offsets), list(offsets.values())))
        for key, score in rows:
            if score - added[key].score < CROSSED_AT <= score:
                self._producer.produce(self._job.crossings, key=key)

    def _summed(self, found: Iterable[tuple[str, Event]]) -> dict[str, Lead]:
        sums: dict[str, Lead] = {}
        for key, event in found:
            sums[key] = fold(sums.get(key, NOBODY), event, self._job.as_of_us)
        return sums


if __name__ == "__main__":
    main()
