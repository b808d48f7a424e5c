"""Quix Streams: RocksDB with a changelog topic, at least once.

A record's key is the lead, and state is the key's own: one entry for the lead, one per event that is known.
"""

# What is not in leadflow's environment, mypy cannot see.
# mypy: disable-error-code="import-not-found"

from typing import Any

from quixstreams import Application, State
from quixstreams.sinks import BatchingSink, SinkBatch
from quixstreams.state.rocksdb import RocksDBOptions

from benchmarks.peers.engines.job import Job, Marks, Sink
from benchmarks.peers.rules import NOBODY, Lead, crosses, fold, read

# Checkpoints by count instead of every five seconds; no fsync at a checkpoint, because the changelog is what
# recovery trusts; larger fetches, and acknowledged writes in larger batches.
_TUNED: dict[str, Any] = {
    "commit_interval": 30.0,
    "commit_every": 10_000,
    "rocksdb_options": RocksDBOptions(use_fsync=False, compression_type="none"),
    "consumer_extra_config": {"fetch.min.bytes": 65_536},
    "producer_extra_config": {"linger.ms": 50, "batch.size": 1_000_000},
}


class PostgresSink(BatchingSink):  # type: ignore[misc]
    """Class B: written at each checkpoint, before its offsets are committed."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._sink = Sink(url)

    def write(self, batch: SinkBatch) -> None:
        self._sink.write((item.key, Lead(*item.value["lead"])) for item in batch)


def main() -> None:
    job = Job.read()
    marks = Marks(job)
    settings = _TUNED if job.tuned else {}
    settings["consumer_extra_config"] = {**settings.get("consumer_extra_config", {}), **job.session_ms}
    application = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        state_dir=job.state_dir,
        loglevel="WARNING",
        **settings,
    )
    source = application.topic(job.source, key_deserializer="str", value_deserializer="bytes")
    crossings = application.topic(job.crossings, key_serializer="str", value_serializer="json")

    def count(body: bytes, state: State) -> dict[str, Any] | None:
        if marks.one():
            # The record in hand is finished, then a last checkpoint taken.
            application.stop()
        event = read(body)
        if event is None or state.exists(event.id):
            return None
        state.set(event.id, 1)
        before = Lead(*state.get("lead", NOBODY))
        after = fold(before, event, job.as_of_us)
        state.set("lead", list(after))
        return {"lead": list(after), "crossed": crosses(before, after)}

    counted = application.dataframe(source).apply(count, stateful=True).filter(lambda made: made is not None)
    counted.filter(lambda made: made["crossed"]).to_topic(crossings)
    if job.postgres:
        counted.sink(PostgresSink(job.postgres))
    # `run` ends with a checkpoint: state, changelog, sink and offsets are safe when it returns.
    application.run()
    marks.end()


if __name__ == "__main__":
    main()
