"""A scorer on real PostgreSQL with its API of leads, on a clock of the test's own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from services.scorer.api.leads import scores_router
from services.scorer.domain.identities.identity import IdentityKey
from services.scorer.leads import records
from services.scorer.models import versions
from services.scorer.service import Scorer
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.accepting import Accepted
from shared.events.codec import AnyMessage
from shared.events.json import Json
from shared.log.connect import open_log
from shared.process import create_app
from shared.service import Context, Service
from shared.settings import Settings
from tests.support import outbox
from tests.support.messages import NOON


@dataclass
class ScoresHarness:
    """Events in, questions over HTTP, messages out of the outbox."""

    database: Database
    stack: AsyncExitStack
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))

    def __post_init__(self) -> None:
        self.scorer = Scorer(self.database, Outbox("scorer"), self.clock)

    async def publish(self, document: Json, workspace: str = "default") -> None:
        await versions.publish(self.database, self.clock, workspace, document, by="test", reason="test")
        while await self.scorer.follow_active_models(100):
            pass

    async def count(self, *messages: Accepted) -> None:
        await self.scorer.count(messages, reach=ALL_WORKSPACES)

    async def told(self) -> list[AnyMessage]:
        """What was told since the last look, in order."""
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return await outbox.taken(connection, "scorer")

    async def lead(self, value: str = "ann@acme.example", kind: str = "email", workspace: str = "default") -> UUID:
        """The lead that goes by a name."""
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            found = await records.lead_named(connection, IdentityKey(workspace, kind, value))
            assert found is not None
            return found

    async def rows(self, query: str) -> Sequence[tuple[object, ...]]:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return [tuple(row) for row in await connection.execute(text(query))]

    async def client(self, *scopes: Scope, workspace: str = "default") -> httpx.AsyncClient:
        """A caller whose key has `scopes`, all of them by default."""
        settings = Settings()
        context = Context(settings, self.database, open_log(settings, self.database), self.clock)
        keys = KeyRing(self.database, self.clock)
        key = await KeyRepository(self.database).create(
            workspace, name=str(uuid4()), scopes=scopes or (Scope.ADMIN,), now=self.clock.now()
        )
        await keys.snapshot.refresh()
        app = create_app([Service("scorer", (scores_router(context, keys, self.scorer),))])
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://leadflow",
            headers={"authorization": f"Bearer {key.text}"},
        )
        return await self.stack.enter_async_context(client)

    async def get(self, path: str, **query: Any) -> Any:
        """The answer to a question of somebody who may ask."""
        answer = await (await self.client()).get(f"/v1/scores/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def scores(database: Database) -> AsyncIterator[ScoresHarness]:
    async with AsyncExitStack() as stack:
        yield ScoresHarness(database, stack)
