"""A stage that resets scores, with the pipeline and the scorer talking as they do: by messages alone."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from services.pipeline.domain.stages import Move
from services.pipeline.leads import repository as lead_repository
from services.scorer.handlers import Handlers as ScorerHandlers
from services.scorer.models import versions
from services.scorer.service import Scorer
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.accepting import Accepted, as_accepted
from shared.events.codec import AnyMessage, encode
from shared.events.engagement import EngagementAccepted
from shared.events.json import Json
from shared.events.scores import LeadScoreChanged
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log.protocol import Partition, ReceivedRecord
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support import outbox
from tests.support.messages import an_event, on_the_log
from tests.support.pipeline import NOON, a_document

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)
MODEL: Json = {
    "model": "test",
    "scores": {
        "engagement": {"rules": [{"id": "page", "on": "page_viewed", "points": 10}]},
        "fit": {"rules": [{"id": "boss", "if": {"attributes.title": "boss"}, "points": 5}]},
        "total": {"combine": {"engagement": 1, "fit": 1}},
    },
}
STAGES: list[Json] = [
    {"id": "new", "initial": True},
    {"id": "won", "terminal": "won"},
    {"id": "lost", "terminal": "lost", "requires": ["reason"], "on_enter": {"reset_scores": ["engagement"]}},
]


class Company:
    """Both services on one database; `settle` carries their messages until nobody has anything to say."""

    def __init__(self, pipeline: PipelineHarness) -> None:
        self.pipeline = pipeline
        scorer = Scorer(pipeline.database, Outbox("scorer"), pipeline.clock)
        self.scorer = ScorerHandlers(scorer, pipeline.log, pipeline.clock, pipeline.database)
        self.resets: list[EngagementAccepted] = []
        self.scores: list[dict[str, float]] = []

    async def open(self) -> None:
        await versions.publish(
            self.pipeline.database, self.pipeline.clock, "default", MODEL, by="test", reason="for the test"
        )
        await self.pipeline.publish(a_document(stages=STAGES, qualification=None))

    async def happens(self, *accepted: Accepted) -> None:
        await self._count([on_the_log(one) for one in accepted])
        await self.settle()

    async def settle(self) -> None:
        while (scored := await self._said("scorer")) or (moved := await self._said("pipeline")):
            if scored:
                self.scores += [item.data.current.scores for item in scored if isinstance(item, LeadScoreChanged)]
                await self.pipeline.take_in(*scored)
                continue
            resets = [item for item in moved if isinstance(item, EngagementAccepted)]
            self.resets += resets
            await self._count([encode(item) for item in resets])

    async def _count(self, bodies: list[bytes]) -> None:
        partition = Partition(ENGAGEMENT_EVENTS.name, 0)
        await self.scorer.handle(
            [ReceivedRecord(partition, offset, b"", body, {}, NOON) for offset, body in enumerate(bodies)]
        )

    async def _said(self, service: str) -> list[AnyMessage]:
        async with self.pipeline.database.transaction(ALL_WORKSPACES) as connection:
            return await outbox.taken(connection, service)


@pytest.fixture
async def company(unpublished: PipelineHarness) -> Company:
    company = Company(unpublished)
    await company.open()
    unpublished.clock.move_to(NOON + 100 * 24 * HOUR)
    return company


def viewed(hour: int) -> Accepted:
    return an_event(f"view {hour}", at=NOON + hour * HOUR, attributes={"title": "boss"})


def lost(hour: int, **properties: Json) -> Accepted:
    return an_event(
        f"lost {hour}",
        "deal_lost",
        at=NOON + hour * HOUR,
        source="crm",
        properties={"reason": "too dear", **properties},
    )


async def test_a_lost_deal_resets_the_score_and_what_comes_after_counts_again(company: Company) -> None:
    await company.happens(viewed(1), viewed(2))
    assert company.scores[-1] == {"engagement": 20, "fit": 5, "total": 25}

    await company.happens(lost(3))
    assert company.scores[-1] == {"engagement": 0, "fit": 5, "total": 5}

    await company.happens(viewed(4))
    assert company.scores[-1] == {"engagement": 10, "fit": 5, "total": 15}


async def test_what_happened_before_and_comes_after_stays_reset(company: Company) -> None:
    await company.happens(viewed(1), lost(3))

    await company.happens(viewed(2))

    assert company.scores[-1]["engagement"] == 0


async def test_the_reset_says_who_asked_for_it_and_counts_once_however_often_it_comes(company: Company) -> None:
    await company.happens(viewed(1), lost(3), viewed(4))
    (reset,) = company.resets
    before = list(company.scores)

    await company.happens(as_accepted(reset), as_accepted(reset))

    assert company.scores == before
    assert (reset.data.type, reset.source, reset.time) == ("score_reset", "leadflow-pipeline", NOON + 3 * HOUR)
    assert reset.data.properties == {"score": "engagement", "actor": "pipeline", "reason": "entered the stage lost"}


async def test_a_deal_that_cannot_be_lost_for_want_of_a_reason_resets_nothing(company: Company) -> None:
    await company.happens(viewed(1), lost(3, reason=""))

    assert company.resets == []
    assert company.scores[-1]["engagement"] == 10


async def test_a_deal_that_is_won_resets_nothing(company: Company) -> None:
    await company.happens(viewed(1), an_event("won", "deal_won", at=NOON + 3 * HOUR, source="crm"))

    assert company.resets == []


async def test_a_person_who_gives_a_lead_up_resets_it_too(company: Company) -> None:
    await company.happens(viewed(1))
    async with company.pipeline.database.transaction(ALL_WORKSPACES) as connection:
        lead = str(await connection.scalar(text("SELECT id FROM pipeline.lead")))

    await company.pipeline.service.move("default", lead, Move("lost", "person", actor="ada", reason="gone quiet"))
    await company.settle()

    assert company.scores[-1]["engagement"] == 0


async def test_a_reset_is_no_news_to_subscribers_nor_to_the_feed(company: Company) -> None:
    await company.happens(viewed(1), lost(3))

    async with company.pipeline.database.transaction(ALL_WORKSPACES) as connection:
        rows = await connection.execute(text("SELECT DISTINCT type FROM pipeline.webhook_message"))
        types = {row.type for row in rows}
    assert "lead.stage_changed" in types
    assert "engagement.accepted" not in types


async def test_the_deal_is_found_by_external_id_and_by_address_alike(company: Company) -> None:
    known = an_event("hello", at=NOON, email="ann@acme.example", external_ids={"crm": "7"})

    await company.happens(known, viewed(1))
    await company.happens(
        an_event(
            "by id",
            "deal_updated",
            at=NOON + HOUR,
            source="crm",
            external_ids={"crm": "7"},
            properties={"owner": "bo", "amount": 9_000, "close_date": "2026-09-01"},
        ),
        lost(3),
    )

    async with company.pipeline.database.transaction(ALL_WORKSPACES) as connection:
        (lead,) = await lead_repository.leads_after(connection, "default", None, 10)
    assert lead.stay is not None
    assert lead.stay.stage == "lost"
    assert {name: fact.value for name, fact in lead.deal.items()} == {
        "owner": "bo",
        "amount": 9_000,
        "close_date": "2026-09-01",
    }
