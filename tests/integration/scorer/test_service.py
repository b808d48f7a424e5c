"""The scorer on real PostgreSQL: every event counts once, whoever brings it how often and in which order."""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from services.scorer.models import versions
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.accepting import Accepted
from shared.events.codec import AnyMessage
from shared.events.json import Json
from shared.events.scores import LeadEventsRecorded, LeadMerged, LeadScoreChanged
from tests.support import outbox
from tests.support.messages import NOON, an_event

MODEL: Json = {
    "model": "test",
    "scores": {
        "engagement": {
            "max": 100,
            "rules": [
                {"id": "page", "on": "page_viewed", "points": 10, "half_life": "1d"},
                {"id": "form", "on": "form_submitted", "points": 30, "limit": {"count": 1, "per": "day"}},
            ],
        },
        "fit": {"rules": [{"id": "boss", "if": {"attributes.title": "boss"}, "points": 5}]},
        "total": {"combine": {"engagement": 1, "fit": 1}},
    },
    "bands": {"total": {"hot": 30, "cold": 0}},
    "thresholds": {"hot": {"score": "total", "enter": 30, "exit": 15}},
}


class Bench:
    """A scorer on a clock of its own, and everything it has told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(NOON + timedelta(minutes=1))
        self.scorer = Scorer(database, Outbox("scorer"), self.clock)

    async def publish(self, document: Json = MODEL) -> None:
        await versions.publish(self.database, self.clock, "default", document, by="test", reason="test")

    async def count(self, *messages: Accepted) -> list[AnyMessage]:
        await self.scorer.count(messages, reach=ALL_WORKSPACES)
        return await self.told()

    async def receipts(self) -> set[datetime | None]:
        """When the events were received from which what was told since the last look follows."""
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            found = await connection.execute(text("DELETE FROM scorer.outbox RETURNING received_at"))
            return set(found.scalars())

    async def told(self) -> list[AnyMessage]:
        """What was told since the last look, in order."""
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return await outbox.taken(connection, "scorer")

    async def rows(self, query: str) -> Sequence[tuple[object, ...]]:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return [tuple(row) for row in await connection.execute(text(query))]


@pytest.fixture
async def bench(database: Database) -> Bench:
    bench = Bench(database)
    await bench.publish()
    return bench


def changes(messages: Sequence[AnyMessage]) -> list[LeadScoreChanged]:
    return [message for message in messages if isinstance(message, LeadScoreChanged)]


async def test_an_event_becomes_a_score_with_its_ledger(bench: Bench) -> None:
    told = await bench.count(an_event(type="form_submitted", attributes={"title": "boss"}))

    assert [message.type for message in told] == ["lead.events_recorded", "lead.score_changed"]
    change = changes(told)[0].data
    assert change.current.scores == {"engagement": 30, "fit": 5, "total": 35}
    assert change.current.bands == {"total": "hot"}
    assert change.thresholds["hot"].position == "reached"
    assert [(entry.name, entry.worth) for entry in change.ledger["engagement"]] == [("form", 30)]
    assert change.lead.emails == ("ann@acme.example",)
    about_leads = [message for message in told if isinstance(message, LeadEventsRecorded | LeadScoreChanged)]
    assert [message.data.sequence for message in about_leads] == [1, 2]


async def test_a_duplicate_tells_nothing_and_counts_nothing(bench: Bench) -> None:
    await bench.count(an_event("e1"))

    told = await bench.count(an_event("e1"), an_event("e1"))

    assert told == []
    assert await bench.rows("SELECT count(*) FROM scorer.event") == [(1,)]


async def test_what_is_told_says_when_the_first_of_its_events_was_received(bench: Bench) -> None:
    await bench.publish()
    first, second = NOON + timedelta(seconds=3), NOON + timedelta(seconds=9)
    events = [an_event("late", received=second), an_event("early", received=first)]
    await bench.scorer.count(events, reach=ALL_WORKSPACES)
    by_events = await bench.receipts()
    bench.clock.advance(timedelta(days=9))
    await bench.scorer.tell_what_time_did(10)

    assert by_events == {first}
    assert await bench.receipts() == {None}


async def test_order_and_batching_do_not_matter(bench: Bench) -> None:
    events = [
        an_event(f"e{n}", "form_submitted" if n % 3 == 0 else "page_viewed", at=NOON - timedelta(hours=7 * n))
        for n in range(12)
    ]
    scores = set()
    for seed in range(4):
        email = f"lead{seed}@acme.example"
        mine = [an_event(f"{seed}-{e.data.id}", e.data.type, at=e.data.occurred_at, email=email) for e in events]
        random.Random(seed).shuffle(mine)
        cut = 1 + seed * 3
        await bench.count(*mine[:cut])
        told = await bench.count(*mine[cut:])
        scores.add(changes(told)[-1].data.current.scores["total"])

    assert len(scores) == 1


async def test_an_anonymous_visitor_who_gives_an_address_is_merged_into_one_lead(bench: Bench) -> None:
    await bench.count(an_event("a", anonymous_id="visitor"), an_event("b", email="bo@acme.example"))
    told = await bench.count(an_event("c", anonymous_id="visitor", email="bo@acme.example"))

    assert isinstance(told[0], LeadMerged)
    assert changes(told)[0].data.current.scores["engagement"] == pytest.approx(29.98, abs=0.01)
    later = await bench.count(an_event("d", anonymous_id="visitor"))
    assert {message.data.lead.id for message in changes(later)} == {told[0].data.lead.id}
    assert await bench.rows("SELECT count(*) FROM scorer.lead WHERE merged_into IS NULL") == [(1,)]


async def test_names_are_joined_within_one_batch_too(bench: Bench) -> None:
    told = await bench.count(
        an_event("a", anonymous_id="v"),
        an_event("b", email="bo@acme.example"),
        an_event("c", external_ids={"hubspot": "1"}, anonymous_id="v"),
        an_event("d", external_ids={"hubspot": "1"}, email="bo@acme.example"),
    )

    assert len(changes(told)) == 1
    assert changes(told)[0].data.lead.external_ids == {"hubspot": ("1",)}


@pytest.mark.parametrize("void_first", [True, False], ids=["before the event", "after the event"])
async def test_a_retracted_event_counts_as_never_accepted(bench: Bench, void_first: bool) -> None:
    event = an_event("click", "form_submitted")
    void = an_event("void", "event_voided", properties={"event_id": "click"})
    for message in (void, event) if void_first else (event, void):
        await bench.scorer.count([message], reach=ALL_WORKSPACES)

    scores = [change.data.current.scores["total"] for change in changes(await bench.told())]
    assert scores[-1] == 0


async def test_time_alone_is_told_at_its_own_moment(bench: Bench) -> None:
    told = await bench.count(*(an_event(f"e{n}") for n in range(4)))
    due = changes(told)[0].data.forecast.changes_at
    assert due is not None

    bench.clock.move_to(due + timedelta(hours=3))
    assert await bench.scorer.tell_what_time_did(10) == 1
    change = changes(await bench.told())[0].data

    assert (change.cause, change.at) == ("time", due)
    assert change.current.bands == {"total": "cold"}
    assert await bench.scorer.tell_what_time_did(10) == 0


async def test_a_late_look_tells_every_change_that_time_made(bench: Bench) -> None:
    await bench.count(*(an_event(f"e{n}") for n in range(4)))

    bench.clock.advance(timedelta(days=3))
    told = await bench.count(an_event("new", at=bench.clock.now()))

    assert [change.data.cause for change in changes(told)] == ["time", "time", "events"]
    positions = [change.data.thresholds["hot"].position for change in changes(told)]
    assert positions == ["between", "below", "between"]


async def test_another_model_is_followed_from_history(bench: Bench) -> None:
    await bench.count(an_event())
    await bench.publish(
        {"model": "other", "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": 20}]}}}
    )

    assert await bench.scorer.follow_active_models(10) == 1
    change = changes(await bench.told())[0].data
    assert (change.cause, change.model_version, change.current.scores) == ("model", 2, {"total": 20})
    assert await bench.scorer.follow_active_models(10) == 0


async def test_another_model_is_told_though_a_moment_of_the_old_one_comes_first(bench: Bench) -> None:
    told = await bench.count(*(an_event(f"e{n}") for n in range(4)))
    due = changes(told)[0].data.forecast.changes_at
    assert due is not None
    await bench.publish(
        {"model": "other", "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": 20}]}}}
    )

    bench.clock.move_to(due + timedelta(hours=3))
    assert await bench.scorer.tell_what_time_did(10) == 1

    change = changes(await bench.told())[0].data
    assert (change.cause, change.at, change.current.scores) == ("model", bench.clock.now(), {"total": 80})
    assert await bench.scorer.follow_active_models(10) == 0


async def test_without_a_model_events_are_kept_and_scored_when_one_comes(database: Database) -> None:
    bench = Bench(database)
    told = await bench.count(an_event(attributes={"title": "boss"}))
    assert [message.type for message in told] == ["lead.events_recorded"]
    assert isinstance(told[0], LeadEventsRecorded)
    assert told[0].data.attributes == {"title": "boss"}

    await bench.publish()
    await bench.scorer.follow_active_models(10)
    assert changes(await bench.told())[0].data.current.scores["fit"] == 5


async def test_scorers_side_by_side_count_each_event_once(bench: Bench) -> None:
    events = [an_event(f"e{n}", email=f"p{n % 5}@acme.example", anonymous_id=f"v{n % 7}") for n in range(60)]
    other = Scorer(bench.database, Outbox("scorer"), bench.clock)

    async def work(scorer: Scorer, mine: Sequence[Accepted]) -> None:
        for start in range(0, len(mine), 10):
            while True:
                try:
                    await scorer.count(mine[start : start + 10], reach=ALL_WORKSPACES)
                    break
                except Exception as error:
                    if type(error).__name__ not in {"Contended", "DatabaseUnavailable"}:
                        raise

    await asyncio.gather(work(bench.scorer, events), work(other, events[::-1]))

    assert await bench.rows("SELECT count(*) FROM scorer.event") == [(60,)]
    assert await bench.rows("SELECT count(*) FROM scorer.lead WHERE merged_into IS NULL") == [(1,)]
    last = changes(await bench.told())[-1].data
    assert last.current.scores["engagement"] == 100
