"""Bytewax: state in the worker's memory, snapshots of changed keys into SQLite at the end of each epoch.

Each lead's state holds the ids of its events: a duplicate has the key of the first. Reading ends at the end of the
topics, because the flow is told not to wait for more; the last snapshot is of that end, and the answer of class A.
"""

# What is not in leadflow's environment, mypy cannot see.
# mypy: disable-error-code="import-not-found"

import pickle
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic, StatefulLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir

from benchmarks.peers.engines.job import Job, Marks, Sink
from benchmarks.peers.rules import NOBODY, Event, Lead, crosses, fold, read

# A lead as it stands, and whether what came now brought it over the threshold.
Counted = tuple[Lead, bool]
State = tuple[Lead, frozenset[str]]

job = Job.read()
marks = Marks(job)


class Counting:
    """What a key does, one event at a time or many."""

    def __init__(self, state: State | None) -> None:
        self._lead, seen = state or (NOBODY, frozenset())
        self._seen = set(seen)

    def count(self, events: Iterable[Event]) -> list[Counted]:
        """The lead after those of them that are new, if any is."""
        before = self._lead
        for event in events:
            if event.id not in self._seen:
                self._seen.add(event.id)
                self._lead = fold(self._lead, event, job.as_of_us)
        return [] if self._lead is before else [(self._lead, crosses(before, self._lead))]

    def snapshot(self) -> State:
        return self._lead, frozenset(self._seen)


class OneByOne(Counting, StatefulLogic):  # type: ignore[misc]
    """The default: `stateful`."""

    def on_item(self, value: Event) -> tuple[Iterable[Counted], bool]:
        return self.count((value,)), self.RETAIN


class Many(Counting, StatefulBatchLogic):  # type: ignore[misc]
    """Tuned: `stateful_batch` crosses into Python once for all that waits for a key."""

    def on_batch(self, values: list[Event]) -> tuple[Iterable[Counted], bool]:
        return self.count(values), self.RETAIN


class Into(StatelessSinkPartition):  # type: ignore[misc]
    """Class B writes each batch; class A has nowhere to."""

    def __init__(self) -> None:
        self._sink = Sink(job.postgres) if job.postgres else None

    def write_batch(self, items: list[tuple[str, Counted]]) -> None:
        if self._sink is not None:
            self._sink.write((key, lead) for key, (lead, _) in items)


class Table(DynamicSink):  # type: ignore[misc]
    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> Into:
        return Into()


def keyed(messages: list[KafkaSourceMessage]) -> list[tuple[str, Event]]:
    """All that was fetched at once, without what is invalid."""
    marks.some(len(messages))
    events = ((message.key, read(message.value)) for message in messages)
    return [(key.decode(), event) for key, event in events if event is not None]


def flow() -> Dataflow:
    made = Dataflow("peers")
    size = 10_000 if job.tuned else 1000
    records = op.input("records", made, KafkaSource([job.bootstrap], [job.source], tail=job.follow, batch_size=size))
    events = op.flat_map_batch("events", records, keyed)
    counted = op.stateful_batch("leads", events, Many) if job.tuned else op.stateful("leads", events, OneByOne)
    crossed = op.filter("crossed", counted, lambda item: item[1][1])
    messages = op.map("messages", crossed, lambda item: KafkaSinkMessage(item[0].encode(), b"crossed"))
    op.output("crossings", messages, KafkaSink([job.bootstrap], job.crossings))
    op.output("table", counted, Table())
    return made


def main() -> None:
    directory = Path(job.state_dir)
    if not directory.exists():
        directory.mkdir(parents=True)
        init_db_dir(directory, 1)
    # Epochs of ten seconds are the default; tuned, half a minute, as Kafka Streams' commits.
    epoch = timedelta(seconds=30 if job.tuned else 10)
    cli_main(flow(), recovery_config=RecoveryConfig(str(directory)), epoch_interval=epoch)
    marks.end(None if job.postgres else snapshots(directory))


def snapshots(directory: Path) -> dict[str, Lead]:
    """The last snapshot of each key."""
    latest = "SELECT state_key, ser_change, max(snap_epoch) FROM snaps WHERE step_id LIKE ? GROUP BY state_key"
    found: dict[str, Lead] = {}
    for file in directory.glob("*.sqlite3"):
        with closing(sqlite3.connect(file)) as connection:
            rows = connection.execute(latest, ("peers.leads%",))
            found |= {key: pickle.loads(change)[0] for key, change, _ in rows if change}  # noqa: S301 - its own
    return found


if __name__ == "__main__":
    main()
