"""All webhook sources, in memory: a webhook costs no query, and is taken while PostgreSQL is away."""

from collections.abc import Mapping
from datetime import datetime

from services.ingest.domain.cloud_events import TypeNames
from services.ingest.kinds.kind import Source
from services.ingest.sources.repository import SourceRepository
from shared.db.engine import Database
from shared.db.snapshot import Snapshot
from shared.observability.metrics import CREDENTIAL_EXPIRY


class SourceBook:
    """Looks sources up. `snapshot.run` must run as a task of the process."""

    def __init__(self, database: Database) -> None:
        self._sources = SourceRepository(database)
        self.snapshot: Snapshot[Mapping[str, Source]] = Snapshot(self._load, name="webhook sources")

    async def _load(self) -> Mapping[str, Source]:
        sources = await self._sources.all()
        ends = [end for source in sources.values() if (end := _end(source)) is not None]
        CREDENTIAL_EXPIRY.labels("source").set(min(ends).timestamp() if ends else 0.0)
        return sources

    async def loaded(self) -> None:
        """Raise NotLoaded (a TransientError) before the sources have been read: for readiness."""
        self.snapshot.current()

    def find(self, source_id: str) -> Source | None:
        """The source of that id. Raises NotLoaded before the first reading."""
        return self.snapshot.current().get(source_id)

    def event_names(self, workspace: str) -> Mapping[str, TypeNames]:
        """By source, the workspace's names for engagement types. Raises NotLoaded before the first reading."""
        sources = self.snapshot.current().values()
        return {source.id: source.event_names for source in sources if source.workspace == workspace}


def _end(source: Source) -> datetime | None:
    """When the last secret of a source ends, or has ended; None while one has no end."""
    ends = [secret.expires_at for secret in source.secrets]
    lasting = [end for end in ends if end is not None]
    return max(lasting) if lasting and len(lasting) == len(ends) else None
