"""What 1, 2 and 4 scorers make of a topic, or of a few of its partitions, on one machine, and who is busy meanwhile.

    python -m benchmarks.scale [--events 12000] [--scorers 1 2 4] [--partitions 8] [--log kafka] [--log embedded]
                               [--rounds 1]

Real scorer processes empty a topic that was filled before they start: processor seconds a million records of the
scorers, of PostgreSQL and of the broker, and records a second by the clock. The topic has eight partitions always;
of fewer the others are empty, which for those who read is the same. docs/adr/0031 reads the result.
"""

import argparse
import asyncio
import json
import logging
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from benchmarks.bench.machine import machine_card
from benchmarks.peers.arena import Arena, arena, load
from benchmarks.peers.contestants import start_leadflow
from benchmarks.peers.data import pinned, record
from benchmarks.peers.draining import drained, ended, free_port
from services.scorer.models import versions
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.documents.yaml_text import read_yaml
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.log.embedded import EmbeddedLog
from shared.log.partitioner import partition_of
from shared.log.protocol import Record
from tests.support.kafka_broker import LocalBroker, broker_on_this_machine

_LONGEST_SECONDS = 400.0
_CHUNK = 500
_MODEL = Path(__file__).with_name("peers") / "model.yaml"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be measured: how many scorers, and in how many partitions there are records."""

    log: str
    partitions: int
    scorers: int


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement. Seconds are of processors, per million records; `wal` and `disk` are bytes a record."""

    log: str
    partitions: int
    scorers: int
    scorer: float
    postgres: float
    broker: float
    rate: float
    wal: float
    disk: float

    def row(self) -> str:
        """A line of the table."""
        numbers = f"{self.scorer:,.0f} | {self.postgres:,.0f} | {self.broker:,.0f} | {self.rate:,.0f}"
        return f"| {self.log} | {self.partitions} | {self.scorers} | {numbers} | {self.wal:,.0f} | {self.disk:,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=12_000, help="records in the topic")
    parser.add_argument("--rounds", type=int, default=1, help="times that each is measured")
    parser.add_argument("--scorers", type=int, nargs="+", default=[1, 2, 4], help="how many scorers")
    parser.add_argument(
        "--partitions",
        type=int,
        nargs="+",
        choices=range(1, ENGAGEMENT_EVENTS.partitions + 1),
        default=[ENGAGEMENT_EVENTS.partitions],
        help="how many partitions have records",
    )
    parser.add_argument("--batch", type=int, default=500, help="LEADFLOW_SCORER_BATCH_SIZE")
    parser.add_argument("--log", choices=("kafka", "embedded"), action="append", help="which log; may be given again")
    parser.add_argument("--json", type=Path, default=Path(".cache/scale.json"), help="where every figure is written")
    options = parser.parse_args()
    # Broker, PostgreSQL and scorers end with this program, however it is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        broker = stack.enter_context(broker_on_this_machine())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        logs: Sequence[str] = options.log or ("kafka", "embedded")
        wanted = [
            Wanted(log, partitions, scorers)
            for _ in range(options.rounds)
            for log in logs
            for partitions in options.partitions
            for scorers in options.scorers
        ]
        points = asyncio.run(measure(directory, broker, wanted, events=options.events, batch=options.batch))
    options.json.parent.mkdir(exist_ok=True)
    told = {"machine": machine_card(), "records": options.events, "points": [asdict(point) for point in points]}
    options.json.write_text(json.dumps(told, indent=2))


async def measure(
    directory: Path, broker: LocalBroker, wanted: Sequence[Wanted], *, events: int, batch: int
) -> list[Point]:
    """One point for each of `wanted`, told as it comes."""
    say("| log | partitions | scorers | scorer s/M | PostgreSQL s/M | broker s/M | records/s | WAL bytes | stored |")
    say("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    points: list[Point] = []
    async with arena(directory, broker) as held:
        for number, next_one in enumerate(wanted):
            points.append(await one(held, next_one, f"scale{number}-", events=events, batch=batch))
            say(points[-1].row())
    return points


async def one(held: Arena, wanted: Wanted, prefix: str, *, events: int, batch: int) -> Point:
    """A topic filled, then emptied by that many scorers."""
    log, scorers = wanted.log, wanted.scorers
    records = records_of(wanted.partitions, events)
    events = len(records)
    async with held.postgres.fresh_url() as url:
        await prepare(url)
        if log == "kafka":
            await load(held.broker.bootstrap, prefix, records)
        else:
            await load_embedded(url, records)
        before, wal, stored = held.used(), await written(url), await size(url)
        bootstrap = held.broker.bootstrap if log == "kafka" else None
        async with running(held, url, bootstrap, prefix, scorers=scorers, batch=batch) as processes:
            used = await drained(url, processes, events, _LONGEST_SECONDS)
            after = held.used()
        millions = events / 1e6
        return Point(
            log=log,
            partitions=wanted.partitions,
            scorers=scorers,
            scorer=used.cpu_seconds / millions,
            postgres=(after[0] - before[0]) / millions,
            broker=(after[1] - before[1]) / millions,
            rate=events / used.seconds,
            wal=(await written(url) - wal) / events,
            disk=(await size(url) - stored) / events,
        )


def records_of(partitions: int, events: int) -> list[tuple[bytes, bytes]]:
    """About as many records as `events`, about as many leads whatever the number of partitions."""
    as_of, of_all = datetime.now(UTC).replace(microsecond=0), ENGAGEMENT_EVENTS.partitions
    records = [record(made, as_of) for made in pinned(events * of_all // partitions, "uniform")]
    return [one for one in records if partition_of(one[0], of_all) < partitions]


async def prepare(url: str) -> None:
    """The model that counts."""
    database = Database(url)
    await versions.publish(
        database, SystemClock(), "default", read_yaml(_MODEL.read_text()), by="benchmark", reason="benchmark"
    )
    await database.close()


async def load_embedded(url: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    """The records in PostgreSQL's own log."""
    database = Database(url)
    log = EmbeddedLog(database)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    made = [Record(key, value, {"workspace": b"default"}) for key, value in records]
    for first in range(0, len(made), _CHUNK):
        await log.publish(ENGAGEMENT_EVENTS.name, made[first : first + _CHUNK])
    await log.stop()
    await database.close()


@asynccontextmanager
async def running(
    held: Arena, url: str, bootstrap: str | None, prefix: str, *, scorers: int, batch: int
) -> AsyncIterator[dict[int, subprocess.Popen[bytes]]]:
    """That many scorers, by the port that each listens on."""
    processes: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for number in range(scorers):
            port, directory = free_port(), held.directory / f"{prefix}{number}"
            directory.mkdir()
            processes[port] = start_leadflow(
                url=url, bootstrap=bootstrap, prefix=prefix, port=port, batch=batch, directory=directory
            )
        yield processes
    finally:
        await asyncio.gather(*(ended(process, ask=True) for process in processes.values()))


async def written(url: str) -> int:
    """Bytes of WAL that the server has written so far."""
    return int(await _one_value(url, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"))


async def size(url: str) -> int:
    """Bytes that the scorer's tables and indexes take."""
    return int(
        await _one_value(
            url,
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
            " WHERE relnamespace = 'scorer'::regnamespace AND relkind = 'r'",
        )
    )


async def _one_value(url: str, statement: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        value: int = await connection.fetchval(statement)
        return value
    finally:
        await connection.close()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
