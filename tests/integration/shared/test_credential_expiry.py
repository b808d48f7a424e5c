"""The first credential to end is shown, so that somebody exchanges it before; what is meant to end is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from services.ingest.kinds.kind import Secret
from services.ingest.sources.book import SourceBook
from services.ingest.sources.repository import SourceRepository
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import ManualClock
from shared.db.engine import Database
from tests.support.deliveries import a_source

pytestmark = pytest.mark.postgres
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def shown(kind: str) -> float | None:
    return REGISTRY.get_sample_value("leadflow_credential_expiry_timestamp_seconds", {"kind": kind})


async def test_the_first_key_that_ends_is_shown_unless_it_is_revoked_or_was_made_for_days(database: Database) -> None:
    keys, clock = KeyRepository(database), ManualClock(NOON)
    ring = KeyRing(database, clock)

    async def create(days: int | None) -> str:
        ends = None if days is None else NOON + timedelta(days=days)
        made = await keys.create("default", name=str(days), scopes=(Scope.LEADS_READ,), now=NOON, expires_at=ends)
        return made.key_id

    async def looked() -> float | None:
        await ring.snapshot.refresh()
        return shown("api_key")

    await create(None)
    await create(7)
    no_end = await looked()
    first = await create(90)
    await create(365)
    with_ends = await looked()
    await keys.revoke(first, workspace="default", now=NOON)
    revoked = await looked()
    clock.advance(timedelta(days=366))
    all_over = await looked()

    assert no_end == 0
    assert with_ends == (NOON + timedelta(days=90)).timestamp()
    assert revoked == (NOON + timedelta(days=365)).timestamp()
    assert all_over == 0


async def test_a_source_ends_with_the_last_of_its_secrets(database: Database) -> None:
    await KeyRepository(database).create("default", name="", scopes=(Scope.ADMIN,), now=NOON)
    sources, book = SourceRepository(database), SourceBook(database)

    async def create(source_id: str, *ends: timedelta | None) -> None:
        secrets = tuple(Secret(str(end), "secret", NOON, None if end is None else NOON + end) for end in ends)
        await sources.create(replace(a_source("standardwebhooks", source_id=source_id), secrets=secrets), now=NOON)

    await create("rotating", timedelta(hours=1), None)
    await book.snapshot.refresh()
    rotating = shown("source")
    await create("ending", timedelta(days=1), timedelta(days=30))
    await create("ending-later", timedelta(days=60))
    await book.snapshot.refresh()

    assert rotating == 0
    assert shown("source") == (NOON + timedelta(days=30)).timestamp()
