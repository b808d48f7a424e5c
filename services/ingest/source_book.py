"""All webhook sources, in memory: a webhook costs no query, and is taken while PostgreSQL is away."""

from collections.abc import Mapping

from services.ingest.domain.cloud_events import TypeNames
from services.ingest.repository import SourceRepository
from services.ingest.sources.kind import Source
from shared.db.engine import Database
from shared.db.snapshot import Snapshot


class SourceBook:
    """Looks sources up. `snapshot.run` must run as a task of the process."""

    def __init__(self, database: Database) -> None:
        self.snapshot: Snapshot[Mapping[str, Source]] = Snapshot(
            SourceRepository(database).all, name="webhook sources"
        )

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
