"""A file on its way through everything: imported, scored, taken in by the pipeline, and asked about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from services.ingest.importing.files import digest_of
from services.ingest.importing.mapping import parse_mapping
from services.ingest.importing.position import Position, PositionFile
from services.ingest.importing.runner import Importer
from services.ingest.publisher import Publisher, PublisherLimits
from services.ingest.service import Ingest
from services.pipeline.documents import versions
from services.pipeline.handlers import Handlers as PipelineHandlers
from services.pipeline.reports.reading import Reports
from services.pipeline.service import PipelineService
from services.scorer.handlers import Handlers as ScorerHandlers
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.events.json import Json, JsonLimits
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS, LEAD_SCORES
from shared.log.embedded import EmbeddedLog
from shared.retry import RetryPolicy

_BATCH = 2_000


@dataclass(frozen=True)
class Imported:
    """A database, a log and every service, without their tasks: `run` is the one step there is."""

    database: Database
    log: EmbeddedLog
    clock: ManualClock
    directory: Path

    @property
    def reports(self) -> Reports:
        return Reports(self.database, self.clock)

    async def publish(self, pipeline: Json) -> None:
        await versions.publish(self.database, self.clock, "default", pipeline, by="test", reason="imported")

    async def run(self, path: Path, mapping: Json) -> Position:
        """Import the file, and let everything follow from it."""
        publisher = Publisher(self.log, ENGAGEMENT_EVENTS.name, PublisherLimits(20_000, 2**26))
        ingest = Ingest(publisher, JsonLimits(), 512 * 1024)
        importer = Importer(ingest, self.clock, batch_events=_BATCH, patience=RetryPolicy(first_seconds=0.001))
        done = await importer.run(
            path,
            parse_mapping(mapping),
            positions=PositionFile.of(self.directory, digest_of(path)),
            refused_path=self.directory / f"{path.name}.refused.ndjson",
            on_progress=lambda _: None,
        )
        await self._scored()
        await self._taken_in()
        return done

    async def _scored(self) -> None:
        outbox = Outbox("scorer")
        handlers = ScorerHandlers(Scorer(self.database, outbox, self.clock), self.log, self.clock, self.database)
        await self._drain(ENGAGEMENT_EVENTS.name, "scorer", handlers)
        while await outbox.relay_once(self.database, self.log):
            pass

    async def _taken_in(self) -> None:
        service = PipelineService(self.database, self.clock, Outbox("pipeline"), on_told=lambda: None)
        await self._drain(
            LEAD_SCORES.name, "pipeline", PipelineHandlers(service, self.log, self.clock, self.database)
        )
        while await service.tell_what_time_did(_BATCH):
            pass

    async def _drain(self, topic: str, group: str, handlers: ScorerHandlers | PipelineHandlers) -> None:
        async with self.log.consume([topic], group=group, member="test") as consumer:
            idle = 0
            while idle < 2:
                records = await consumer.poll(max_records=_BATCH, timeout_seconds=0.2)
                idle = 0 if records else idle + bool(consumer.assignment())
                if records:
                    await handlers.handle(records)
                    await consumer.commit({record.partition: record.offset + 1 for record in records})


@asynccontextmanager
async def imported(url: str, at: datetime, directory: Path) -> AsyncIterator[Imported]:
    """Everything on the migrated database at `url`, at the moment `at`."""
    database = Database(url)
    log = EmbeddedLog(database, publish_timeout_seconds=20)
    await log.start()
    try:
        await log.ensure_topics(ALL_TOPICS)
        yield Imported(database, log, ManualClock(at), directory)
    finally:
        await log.stop()
        await database.close()
