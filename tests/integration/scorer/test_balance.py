"""Every event that the log took is accounted for, whatever comes how often; what is skipped is missed."""

from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client import REGISTRY

from services.scorer import metrics, observing
from services.scorer.handlers import GROUP, Handlers
from services.scorer.models import versions as models
from services.scorer.observing import balance, show_balance, show_models, show_recomputing
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.observed import server_state
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.json import Json
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.log.embedded import EmbeddedLog
from shared.log.handled import Balance
from shared.log.protocol import ReceivedRecord, Record
from shared.service import Context
from shared.settings import Settings
from tests.support.messages import NOON, an_event, on_the_log

pytestmark = pytest.mark.postgres

TOPIC = ENGAGEMENT_EVENTS.name


@pytest.fixture
async def context(database: Database) -> AsyncIterator[Context]:
    log = EmbeddedLog(database)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    yield Context(settings=Settings(), database=database, log=log, clock=ManualClock(NOON))
    await log.stop()


@pytest.fixture
def handlers(context: Context) -> Handlers:
    scorer = Scorer(context.database, Outbox("scorer"), context.clock)
    return Handlers(scorer, context.log, context.clock, context.database)


async def publish(context: Context, *values: bytes) -> None:
    await context.log.publish(TOPIC, [Record(b"key", value, {}) for value in values])


async def consumed(context: Context, handlers: Handlers, *, times: int = 1) -> Sequence[ReceivedRecord]:
    """What waits, handled `times` over before its offsets are committed."""
    async with context.log.consume([TOPIC], group=GROUP, member="me") as consumer:
        records = await consumer.poll(max_records=100, timeout_seconds=10)
        for _ in range(times):
            await handlers.handle(records)
        await consumer.commit({record.partition: record.offset + 1 for record in records})
    return records


def event(id_: str) -> bytes:
    return on_the_log(an_event(id_))


async def test_events_that_count_repeat_or_die_and_those_that_wait_add_up(
    context: Context, handlers: Handlers
) -> None:
    await publish(context, event("a"), event("b"), event("a"), b"{")
    await consumed(context, handlers)
    await publish(context, event("c"))

    found = await balance(context)

    assert found == Balance(accepted=5, counted=2, repeated=1, dead=1, in_flight=1)
    assert found.difference == 0


async def test_a_batch_that_comes_again_is_in_the_books_once(context: Context, handlers: Handlers) -> None:
    await publish(context, event("a"), b"{", event("b"))

    await consumed(context, handlers, times=3)

    assert await balance(context) == Balance(accepted=3, counted=2, repeated=0, dead=1, in_flight=0)


async def test_a_batch_that_comes_again_with_more_counts_what_is_new(context: Context, handlers: Handlers) -> None:
    await publish(context, event("a"))
    first = await consumed(context, handlers)
    await publish(context, event("b"))

    async with context.log.consume([TOPIC], group=GROUP, member="me") as consumer:
        second = await consumer.poll(max_records=100, timeout_seconds=10)
        await handlers.handle([*first, *second])
        await consumer.commit({record.partition: record.offset + 1 for record in second})

    assert await balance(context) == Balance(accepted=2, counted=2, repeated=0, dead=0, in_flight=0)


async def test_an_event_that_was_committed_and_not_handled_is_missed(context: Context, handlers: Handlers) -> None:
    await publish(context, event("a"), event("lost"), event("b"))

    async with context.log.consume([TOPIC], group=GROUP, member="me") as consumer:
        first, lost, last = await consumer.poll(max_records=100, timeout_seconds=10)
        await handlers.handle([first])
        await consumer.commit({lost.partition: lost.offset + 1})
        skipped = await balance(context)
        await handlers.handle([last])
        await consumer.commit({last.partition: last.offset + 1})

    assert skipped.difference == 1
    assert (await balance(context)).difference == 1


async def test_the_metrics_tell_it(context: Context, handlers: Handlers) -> None:
    await publish(context, event("a"), event("a"))
    await consumed(context, handlers)

    show_balance(await balance(context))
    async with context.database.transaction(ALL_WORKSPACES) as connection:
        await show_recomputing(connection)

    def shown(state: str) -> float | None:
        return REGISTRY.get_sample_value("leadflow_reconciliation_events", {"state": state})

    assert (shown("accepted"), shown("scored"), shown("deduplicated")) == (2, 1, 1)
    assert REGISTRY.get_sample_value("leadflow_reconciliation_difference_events") == 0
    assert REGISTRY.get_sample_value("leadflow_scoring_simulations", {"status": "waiting"}) == 0


async def test_the_metrics_tell_which_models_count_and_never_more_than_thirty(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "_MOST_MODELS", 2)
    for workspace, name, versions in (("a", "b2b", 2), ("b", "b2b", 2), ("c", "shop", 1), ("d", "shop", 3)):
        for number in range(versions):
            rule: Json = {"id": "page", "on": "page_viewed", "points": number + 1}
            document: Json = {"model": name, "scores": {"engagement": {"rules": [rule]}}}
            await models.publish(context.database, context.clock, workspace, document, by="test", reason="test")

    async with context.database.transaction(ALL_WORKSPACES) as connection:
        await show_models(connection)

    shown = {
        (sample.labels["model"], sample.labels["version"]): sample.value
        for family in metrics.MODEL_INFO.collect()
        for sample in family.samples
    }
    assert shown == {("b2b", "2"): 2, ("shop", "3"): 1, ("other", "other"): 1}


async def test_the_server_tells_how_it_does(database: Database) -> None:
    async with database.as_login() as connection:
        state = await server_state(connection)

    assert sum(state.connections.values()) >= 1
    assert state.max_connections >= sum(state.connections.values())
    assert state.database_bytes > 0
    assert state.inactive_replication_slots == 0
