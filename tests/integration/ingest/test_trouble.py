"""What each platform is told while the log is away: a status after which it comes again, and in its time."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.ingest.kinds.kind import traits_of
from services.ingest.kinds.registry import KINDS
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from shared.db.migrations import migrate
from tests.support.ingesting import NOON, Ingesting, ingesting
from tests.support.webhooks import Signed, examples

EXAMPLES = examples(NOON)
ENDED_BY_ANY_ANSWER = {"mautic"}
# The shortest patience is Customer.io's, whose next calls wait behind; the log itself gives up before.
LONGEST_SECONDS = 5.0


@pytest.fixture
async def troubled(tmp_path: Path) -> AsyncIterator[Ingesting]:
    """Ingest with a source of each kind, whose log has gone."""
    server = EmbeddedPostgres(tmp_path)
    database = Database(await server.start(), timeout_seconds=2.0)
    await migrate(database)
    async with ingesting(database) as running:
        for kind, example in EXAMPLES.items():
            await running.add_source(kind, [example.secret], **example.source_options())
        await server.stop()
        yield running
    await database.close()


async def send(ingest: Ingesting, signed: Signed) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    answer = await ingest.client.post(signed.path, content=signed.body, headers=dict(signed.headers))
    return answer, time.monotonic() - started


async def test_no_platform_is_told_to_drop_what_it_sent(troubled: Ingesting) -> None:
    sent = await asyncio.gather(*(send(troubled, signed) for signed in EXAMPLES.values()))

    answers = dict(zip(EXAMPLES, sent, strict=True))
    assert {kind: answer.status_code for kind, (answer, _) in answers.items()} == dict.fromkeys(EXAMPLES, 503)
    assert all("Retry-After" in answer.headers for answer, _ in sent)
    assert max(seconds for _, seconds in sent) < LONGEST_SECONDS


async def test_where_any_answer_ends_a_delivery_none_is_given_in_full(troubled: Ingesting) -> None:
    sent = [(kind, (await send(troubled, EXAMPLES[kind]))[0]) for kind in ("postmark", *ENDED_BY_ANY_ANSWER)]

    missing = {kind: int(answer.headers["Content-Length"]) - len(answer.content) for kind, answer in sent}
    assert missing == {"postmark": 0, "mautic": 1}


def test_the_kinds_that_any_answer_ends_are_these() -> None:
    assert {name for name, kind in KINDS.items() if traits_of(kind).any_answer_ends_it} == ENDED_BY_ANY_ANSWER
