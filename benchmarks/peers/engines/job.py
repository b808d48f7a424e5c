"""What every Python engine is told, and what it tells back: when its work began and ended, by its processor's clock.

Between the marks lies everything from the first record handed over by the engine to the last commit; starting up and
joining a group are not counted, for anybody.
"""

# What is not in leadflow's environment, mypy cannot see.
# mypy: disable-error-code="import-not-found"

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from benchmarks.peers.rules import Lead

# The one statement of class B: absolute values, so that writing a lead twice is harmless.
UPSERT = """
    INSERT INTO peers.lead (key, score, events, last_us)
    SELECT * FROM unnest(%s::text[], %s::float8[], %s::int[], %s::bigint[])
    ON CONFLICT (key) DO UPDATE SET score = excluded.score, events = excluded.events, last_us = excluded.last_us
"""


@dataclass(frozen=True, slots=True)
class Job:
    """One run. `postgres` is given in class B alone; `events` is how many records there are, of any kind.

    Where the engine is to be killed, `progress` is the directory in which it marks how far it is; `session_seconds`
    is how long its group waits for it when it is dead; with `follow` there are more records to come than are there.
    `first` is where it reads each partition from, if not from 0.
    """

    bootstrap: str
    source: str
    crossings: str
    group: str
    events: int
    as_of_us: int
    tuned: bool
    state_dir: str
    result: str
    postgres: str | None
    batch: int
    progress: str | None
    session_seconds: float | None
    follow: bool
    first: dict[str, int]

    @property
    def session_ms(self) -> dict[str, int]:
        """The session timeout as librdkafka has it, if it is not to be the engine's."""
        return {} if self.session_seconds is None else {"session.timeout.ms": int(self.session_seconds * 1000)}

    @classmethod
    def read(cls) -> "Job":
        """The job in the file that the command line names."""
        given: dict[str, Any] = msgspec.json.decode(Path(sys.argv[1]).read_bytes())
        return cls(**given)


class Marks:
    """Processor seconds and clock, at the beginning and at the end of the work."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._began: tuple[float, float] | None = None
        self._half = job.events // 2 if job.progress else sys.maxsize
        self._next = {int(partition): offset for partition, offset in job.first.items()}
        self.seen = 0

    def one(self) -> bool:
        """Count one record; whether it was the last."""
        return self.some(1)

    def at(self, partition: int, offset: int) -> bool:
        """Count the records up to this one, for an engine that may read some of them twice or not at all."""
        passed = offset + 1 - self._next.get(partition, 0)
        self._next[partition] = max(offset + 1, self._next.get(partition, 0))
        return self.some(max(0, passed))

    def some(self, count: int) -> bool:
        """Count records; whether the last is among them."""
        if self._began is None:
            self._began = time.process_time(), time.monotonic()
            self._mark("first")
        self.seen += count
        if self.seen >= self._half:
            self._half = sys.maxsize
            self._mark("half")
        return self.seen >= self._job.events

    def _mark(self, name: str) -> None:
        if self._job.progress:
            Path(self._job.progress, name).touch()

    def end(self, leads: dict[str, Lead] | None = None) -> None:
        """Write what was used; and the state, where it can be had only from inside (not counted)."""
        began_cpu, began = self._began or (0.0, 0.0)
        seconds = time.monotonic() - began
        told = {"cpu_seconds": time.process_time() - began_cpu, "began": began, "seconds": seconds}
        if leads is not None:
            told["leads"] = leads  # type: ignore[assignment]
        partial = Path(self._job.result + ".partial")
        partial.write_text(json.dumps(told))
        partial.rename(self._job.result)


class Sink:
    """The table of class B."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)

    def write(self, leads: Iterable[tuple[str, Lead]]) -> None:
        """Leads as they stand now, each once, in one transaction."""
        arguments = columns(leads)
        if arguments[0]:
            self.connection.execute(UPSERT, arguments)
            self.connection.commit()


def columns(leads: Iterable[tuple[str, Lead]]) -> tuple[list[str], list[float], list[int], list[int]]:
    """The arguments of the statement: the last word on each lead, in the order of keys, against deadlocks."""
    latest = sorted(dict(leads).items())
    return (
        [key for key, _ in latest],
        [lead[0] for _, lead in latest],
        [lead[1] for _, lead in latest],
        [lead[2] for _, lead in latest],
    )
