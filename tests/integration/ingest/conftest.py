"""A running ingest for each test."""

from collections.abc import AsyncIterator

import pytest

from shared.access import Scope
from shared.db.engine import Database
from tests.support.ingesting import Ingesting, ingesting


@pytest.fixture
async def ingest(database: Database) -> AsyncIterator[Ingesting]:
    """Ingest, and a client whose key may send events."""
    async with ingesting(database) as running:
        await running.allow(Scope.EVENTS_WRITE)
        yield running
