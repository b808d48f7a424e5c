"""The scorer, exactly once: from the bytes of records to the commit, beside one upsert of as many small rows.

Both are timed by the clock, because both wait for PostgreSQL on the other core. The probe does what no scorer can
do with less: as many rows of leads as a batch has events, a number and two counters each, by one statement in one
transaction.

The floors were measured for 25 rules over one decaying score and one threshold: the plain model has those. The rich
one has three scores, groups, limits, bands, a grade and two thresholds, and stands beside it without a floor.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import text

from benchmarks import workload
from benchmarks.bench.figures import Figure, Measured, Rounds
from benchmarks.bench.processes import Installation
from services.scorer.handlers import Handlers
from services.scorer.models import versions
from services.scorer.service import Scorer
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.codec import encode
from shared.events.engagement import EngagementAccepted, EngagementEvent, identity_digest
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import Partition, ReceivedRecord, Record

PROBE = "one unnest upsert"
UNIFORM = Figure("scorer, exactly once, uniform leads", "events/s", floor=0.30, aim=0.50, probe=PROBE)
SKEWED = Figure("scorer, exactly once, skewed leads", "events/s", floor=0.55, aim=0.90, probe=PROBE)
RICH_UNIFORM = Figure("the same with a rich model, uniform leads", "events/s", probe=PROBE)
RICH_SKEWED = Figure("the same with a rich model, skewed leads", "events/s", probe=PROBE)

_NAMESPACE = UUID("0d6c1e6e-6a83-4a0b-9d4e-5a9b0c7f6d11")
_ZIPF = 1.1
# One event in twenty is late, as those of a platform that batches what it sends.
_LATE, _LATEST = 0.05, timedelta(days=7)

_UPSERT = text("""
    INSERT INTO bench.lead AS lead (id, score, events, last_at)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:scores AS float8[]), CAST(:events AS int[]),
                         CAST(:times AS timestamptz[]))
    ON CONFLICT (id) DO UPDATE SET score = lead.score + excluded.score, events = lead.events + excluded.events,
                                   last_at = greatest(lead.last_at, excluded.last_at)
    RETURNING score
""")
_TABLE = """
    CREATE TABLE bench.lead (id uuid PRIMARY KEY, score float8, events int, last_at timestamptz)
    WITH (fillfactor = 90)
"""
# Ids as evenly spread as random ones, but in the order of the index: nobody has to wait for ten million places in it.
_KNOW = text("""
    INSERT INTO scorer.event (workspace, source, event_id, voided)
    SELECT 'plain', 'web',
           lpad(to_hex(number * (4294967295 / :missing)), 8, '0') || substr(gen_random_uuid()::text, 9), true
    FROM generate_series(1, CAST(:missing AS bigint)) AS number
""")
_IS_TELLING = text("SELECT EXISTS (SELECT FROM scorer.outbox)")
# A minute on a free core; on a busy machine better late than never.
_KNOW_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Known:
    """How many events are in the table already when a batch comes."""

    few: int
    many: int

    @property
    def figure(self) -> Figure:
        """How fast many are told from new events, beside how fast few are."""
        many, few = f"scorer, {self.many:,} known events", f"{self.few:,} known events"
        return Figure(many, "events/s", floor=0.6, aim=0.9, probe=few)


class Bench:
    """A scorer with a past: leads of one workspace that have been scored before anything is measured."""

    def __init__(self, database: Database, workspace: str, model: Mapping[str, Any], leads: int, batch: int) -> None:
        self._database = database
        self._workspace = workspace
        self._model = dict(model)
        self._leads = leads
        self._batch = batch
        self._clock = SystemClock()
        self._random = Random(41)  # noqa: S311 - a workload, not a secret
        self._weights = [1 / (number + 1) ** _ZIPF for number in range(leads)]
        self._records = 0
        scorer = Scorer(database, Outbox("scorer"), self._clock)
        self._handlers = Handlers(scorer, EmbeddedLog(database), self._clock, database)

    async def prepare(self) -> None:
        """The model, the probe's table, and some events of each lead."""
        await versions.publish(
            self._database, self._clock, self._workspace, self._model, by="benchmark", reason="benchmark"
        )
        for first in range(0, self._leads, self._batch):
            numbers = range(first, min(first + self._batch, self._leads))
            await self._handlers.handle(self._received(numbers))
            await self._upsert(_ids(numbers))

    async def rate(self, *, skewed: bool) -> float:
        """Events a second of one batch, from the bytes of its records to the commit."""
        records = self._received(self._choose(skewed=skewed))
        return await _per_second(self._handlers.handle(records), len(records))

    async def probe_rate(self) -> float:
        """Rows a second of one upsert of as many rows as a batch has events."""
        ids = _ids(self._random.sample(range(self._leads), self._batch))
        return await _per_second(self._upsert(ids), self._batch)

    async def _upsert(self, ids: Sequence[UUID]) -> None:
        """What the probe writes, as the owner of its table."""
        async with self._database.engine.begin() as connection:
            await connection.execute(
                _UPSERT,
                {
                    "ids": ids,
                    "scores": [1.5] * len(ids),
                    "events": [1] * len(ids),
                    "times": [workload.START] * len(ids),
                },
            )

    def _choose(self, *, skewed: bool) -> list[int]:
        return self._random.choices(range(self._leads), self._weights if skewed else None, k=self._batch)

    def _received(self, numbers: Sequence[int]) -> list[ReceivedRecord]:
        now, partition = self._clock.now(), Partition(ENGAGEMENT_EVENTS.name, _PARTITIONS[self._workspace])
        records: list[ReceivedRecord] = []
        for number in numbers:
            is_late = self._random.random() < _LATE
            happened_at = now - (_LATEST if is_late else timedelta(minutes=1)) * self._random.random()
            made = workload.an_accepted_event(self._random, number)
            event = made.model_copy(update={"occurred_at": happened_at, "received_at": now})
            record = as_record(event, self._workspace)
            records.append(ReceivedRecord(partition, self._records, record.key, record.value, {}, now))
            self._records += 1
        return records


def _ids(numbers: Iterable[int]) -> Sequence[UUID]:
    """Of rows of the probe, in the order of its index."""
    return sorted(uuid5(_NAMESPACE, str(number)) for number in numbers)


_PARTITIONS = {"plain": 0, "rich": 1}


def as_record(event: EngagementEvent, workspace: str) -> Record:
    """The record that ingest would have written."""
    subject = identity_digest(workspace, event.lead)
    message = EngagementAccepted(
        id=event.id, source=event.source, subject=subject, time=event.occurred_at, workspace=workspace, data=event
    )
    return Record(subject.encode(), encode(message))


async def measure_scorer(
    installation: Installation, *, leads: int, batch: int, rounds: int, known: Known
) -> list[Measured]:
    """Uniform and skewed leads with both models, and many known events."""
    database = installation.database
    await make_probe(database)
    plain = Bench(database, "plain", workload.PLAIN_MODEL, leads, batch)
    rich = Bench(database, "rich", workload.MODEL, leads, batch)
    figures = {figure: Rounds(figure) for figure in (UNIFORM, SKEWED, RICH_UNIFORM, RICH_SKEWED)}
    await plain.prepare()
    await rich.prepare()
    for _ in range(rounds):
        for uniform, skewed, bench in ((UNIFORM, SKEWED, plain), (RICH_UNIFORM, RICH_SKEWED, rich)):
            figures[uniform].add(await bench.rate(skewed=False), await bench.probe_rate())
            figures[skewed].add(await bench.rate(skewed=True), await bench.probe_rate())
        await forget_what_was_told(database)
    figures[UNIFORM].note = f"{leads:,} leads, batches of {batch}, 25 rules, one score, one threshold"
    figures[RICH_UNIFORM].note = "the same rules with groups and limits, three scores, bands, a grade, two thresholds"
    repeated = await _measure_known(plain, installation, rounds=rounds, known=known)
    return [*(each.measured() for each in figures.values()), repeated]


async def make_probe(database: Database) -> None:
    """The table that the probe writes."""
    await _as_owner(database, "CREATE SCHEMA bench", _TABLE)


async def _measure_known(bench: Bench, installation: Installation, *, rounds: int, known: Known) -> Measured:
    measured, with_few = Rounds(known.figure), []
    await _know(installation.url, known.few)
    for _ in range(rounds):
        with_few.append(await bench.rate(skewed=False))
        await forget_what_was_told(installation.database)
    await _know(installation.url, known.many)
    for rate in with_few:
        measured.add(await bench.rate(skewed=False), rate)
        await forget_what_was_told(installation.database)
    measured.note = "not interleaved: a table cannot shrink between rounds"
    return measured.measured()


async def is_telling(database: Database) -> bool:
    """Whether a scorer has messages that are not on the log yet."""
    async with database.transaction(ALL_WORKSPACES) as connection:
        return bool(await connection.scalar(_IS_TELLING))


async def forget_what_was_told(database: Database) -> None:
    """Empty the outbox: its relay is not what is measured, and its table must not grow by the round."""
    await _as_owner(database, "TRUNCATE scorer.outbox")


async def _know(url: str, known: int) -> None:
    """Have that many events in the table already, of which none comes again."""
    patient = Database(url, pool_size=1, timeout_seconds=_KNOW_SECONDS)
    try:
        async with patient.engine.begin() as connection:
            found = (await connection.execute(text("SELECT count(*) FROM scorer.event"))).scalar_one()
            await connection.execute(_KNOW, {"missing": max(1, known - found)})
        await _as_owner(patient, "CHECKPOINT")
    finally:
        await patient.close()


async def _as_owner(database: Database, *statements: str) -> None:
    """Run these as the login, which owns the tables here, rather than in a role of leadflow's."""
    async with database.engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def _per_second(work: object, count: int) -> float:
    began = time.perf_counter()
    await work  # type: ignore[misc]
    return count / (time.perf_counter() - began)
