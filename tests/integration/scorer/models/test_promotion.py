"""What the world hears when a version in the shadow is promoted: the thresholds that really change, and no more."""

from typing import Any

import pytest

from services.pipeline.handlers import read
from services.pipeline.service import PipelineService
from services.scorer.models import versions
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.codec import decode, encode
from shared.events.thresholds import LeadThresholdEntered, LeadThresholdLeft
from shared.events.topics import LEAD_SCORES
from shared.log.protocol import Partition, ReceivedRecord
from tests.support import outbox
from tests.support.messages import NOON, an_event

pytestmark = pytest.mark.postgres


def a_model(points: float) -> dict[str, Any]:
    return {
        "model": "test",
        "scores": {
            "total": {
                "rules": [
                    {"id": "page", "on": "page_viewed", "points": points, "half_life": "none"},
                    {"id": "form", "on": "form_submitted", "points": 20, "half_life": "none"},
                ]
            }
        },
        "thresholds": {"warm": {"score": "total", "enter": 10}, "hot": {"score": "total", "enter": 30}},
    }


class Bench:
    """A scorer and a pipeline with a log between them that the test moves."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(NOON)
        self.scorer = Scorer(database, Outbox("scorer"), self.clock)
        self.pipeline = PipelineService(database, self.clock, Outbox("pipeline"), on_told=lambda: None)

    async def publish(self, points: float, *, activate: bool) -> None:
        await versions.publish(
            self.database, self.clock, "default", a_model(points), by="test", reason="test", activate=activate
        )

    async def tell(self) -> None:
        """Bring what the scorer has told to the pipeline."""
        records = [
            ReceivedRecord(Partition(LEAD_SCORES.name, 0), offset, b"", body, {}, NOON)
            for offset, body in enumerate(await self._taken("scorer"))
        ]
        await self.pipeline.take_in([read(record) for record in records])

    async def emitted(self) -> list[tuple[str, str, str]]:
        """What the world was told since the last look: what, of which threshold, of whom."""
        return sorted(
            (message.type, message.data.threshold, message.data.lead.emails[0])
            for message in map(decode, await self._taken("pipeline"))
            if isinstance(message, LeadThresholdEntered | LeadThresholdLeft)
        )

    async def follow(self) -> None:
        while await self.scorer.follow_active_models(10) + await self.scorer.follow_shadows(10):
            pass
        await self.tell()

    async def _taken(self, service: str) -> list[bytes]:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return [encode(message) for message in await outbox.taken(connection, service)]


@pytest.fixture
async def bench(database: Database) -> Bench:
    bench = Bench(database)
    await bench.publish(10, activate=True)
    await bench.publish(15, activate=False)
    return bench


async def test_a_promotion_emits_one_event_per_threshold_that_really_changes(bench: Bench) -> None:
    await bench.scorer.count([an_event("one0", email="one@acme.example")], reach=ALL_WORKSPACES)
    await bench.scorer.count([an_event(f"two{n}", email="two@acme.example") for n in range(2)], reach=ALL_WORKSPACES)
    await bench.scorer.count(
        [an_event(f"three{n}", email="three@acme.example") for n in range(3)], reach=ALL_WORKSPACES
    )
    await bench.scorer.count([an_event("form", "form_submitted", email="form@acme.example")], reach=ALL_WORKSPACES)
    await versions.start_shadow(bench.database, bench.clock, "default", 2, by="test", reason="test")
    await bench.follow()
    await bench.emitted()

    await versions.activate(bench.database, bench.clock, "default", 2, by="test", reason="better")
    await bench.follow()

    # Of three leads the score is another one now; only one of them is over another threshold.
    assert await bench.emitted() == [("lead.threshold_entered", "hot", "two@acme.example")]

    await versions.rollback(bench.database, bench.clock, "default", by="test", reason="no")
    await bench.follow()
    assert await bench.emitted() == [("lead.threshold_left", "hot", "two@acme.example")]


async def test_nobody_is_told_of_a_version_while_it_is_in_the_shadow(bench: Bench) -> None:
    await versions.start_shadow(bench.database, bench.clock, "default", 2, by="test", reason="test")
    await bench.scorer.count([an_event(f"two{n}", email="two@acme.example") for n in range(2)], reach=ALL_WORKSPACES)
    await bench.follow()

    assert await bench.emitted() == [("lead.threshold_entered", "warm", "two@acme.example")]
