"""A version in the shadow on real PostgreSQL: exact whatever happens, and heard of by nobody."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from services.scorer import metrics
from services.scorer.domain.codec import decode_state
from services.scorer.domain.lead import ActiveModel, rebuilt
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.scores.standing import standing_of
from services.scorer.domain.what_if.shadow import Seen, compare
from services.scorer.leads import stored_leads
from services.scorer.models import versions
from services.scorer.models.versions import ModelBook
from services.scorer.service import Scorer
from services.scorer.shadows import repository as shadow_repository
from services.scorer.shadows.report import report
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput, Refused, TransientError
from shared.events.accepting import Accepted
from shared.events.codec import AnyMessage
from shared.events.json import Json
from shared.events.scores import LeadScoreChanged
from tests.support import outbox
from tests.support.messages import NOON, an_event
from tests.unit.scorer.histories import MODEL_DOCUMENT

pytestmark = pytest.mark.postgres


def changed_model(document: dict[str, Any] = MODEL_DOCUMENT, *, points: float = 9) -> Json:
    """The model of everything, with other points for a page view, another half-life and another threshold."""
    engagement = document["scores"]["engagement"]
    rules = [{**rule, "points": points} if rule["id"] == "free" else rule for rule in engagement["rules"]]
    return {
        **document,
        "scores": {**document["scores"], "engagement": {**engagement, "half_life": "3d", "rules": rules}},
        "thresholds": {**document["thresholds"], "hot": {"score": "total", "enter": 20, "exit": 15}},
    }


class Bench:
    """A scorer with an active model and a second published one, on a clock of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(NOON)
        self.scorer = Scorer(database, Outbox("scorer"), self.clock)

    async def publish(self, document: Json, *, activate: bool) -> None:
        await versions.publish(
            self.database, self.clock, "default", document, by="test", reason="test", activate=activate
        )

    async def start(self, version: int = 2) -> None:
        await versions.start_shadow(self.database, self.clock, "default", version, by="test", reason="test")

    async def activate(self, version: int) -> None:
        await versions.activate(self.database, self.clock, "default", version, by="test", reason="test")

    async def work(self) -> None:
        """Everything behind the events, until nothing is left to do."""
        while await self.scorer.follow_active_models(7) + await self.scorer.follow_shadows(7):
            pass

    async def take_a_merge_back(self, dice: random.Random) -> None:
        merges = await self.rows("SELECT survivor, absorbed FROM scorer.merge WHERE undone_at IS NULL ORDER BY id")
        if merges and dice.random() < 0.3:
            survivor, absorbed = dice.choice(merges)
            with suppress(Refused):
                await self.scorer.unmerge("default", survivor, absorbed, actor="test", reason="test")

    async def told(self) -> list[AnyMessage]:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return await outbox.taken(connection, "scorer")

    async def rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return [tuple(row) for row in await connection.execute(text(query))]

    async def check_against_history(self, document: Json) -> int:
        """Each surviving lead's shadow equals one from all its stored events, in every respect; returns how many."""
        shadow = ActiveModel(2, parse_model(document))
        active = ActiveModel(1, parse_model(MODEL_DOCUMENT))
        stored = {row[0]: row for row in await self.rows("SELECT * FROM scorer.shadow_lead")}
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            ids = [
                row.id
                for row in await connection.execute(text("SELECT id FROM scorer.lead WHERE merged_into IS NULL"))
            ]
            leads = await stored_leads.lock(connection, ids)
            histories = await stored_leads.histories(connection, ids)
            states = await shadow_repository.states(connection, [row[1] for row in stored.values()], ids)
        assert stored.keys() == set(ids) == states.keys()
        for id_ in ids:
            at = await self._compared_at(id_)
            fresh = rebuilt(shadow, leads[id_], histories[id_]).state
            kept = decode_state(states[id_])
            assert standing_of(shadow.model, kept, at) == standing_of(shadow.model, fresh, at)
            expected = compare(
                Seen(active.model, rebuilt(active, leads[id_], histories[id_]).state),
                Seen(shadow.model, fresh),
                at,
                due_at=at,
            )
            found = (
                await self.rows(f"SELECT bands, thresholds, due_at FROM scorer.shadow_lead WHERE lead_id = '{id_}'")
            )[0]
            assert found[0] == {name: list(pair) for name, pair in expected.bands.items()}
            assert found[1] == {name: list(pair) for name, pair in expected.thresholds.items()}
            assert found[2] == expected.changes_at
        return len(ids)

    async def _compared_at(self, id_: UUID) -> Any:
        return (await self.rows(f"SELECT compared_at FROM scorer.shadow_lead WHERE lead_id = '{id_}'"))[0][0]


@pytest.fixture
async def bench(database: Database) -> Bench:
    bench = Bench(database)
    await bench.publish(MODEL_DOCUMENT, activate=True)
    await bench.publish(changed_model(), activate=False)
    return bench


def traffic(seed: int, count: int) -> list[Accepted]:
    """Mixed events of a dozen people known by several names: merges, late ones, limits, resets, retractions."""
    dice = random.Random(seed)
    found = []
    for number in range(count):
        type_ = dice.choice(
            ["page_viewed"] * 8
            + ["email_clicked"] * 4
            + ["unsubscribed", "score_adjusted", "score_reset", "event_voided"]
        )
        choices: dict[str, dict[str, Json]] = {
            "page_viewed": {"path": dice.choice(["/pricing", "/blog"])},
            "score_adjusted": {"score": "engagement", "points": dice.randint(-9, 9), "reason": "r", "actor": "a"},
            "score_reset": {"score": "engagement"},
            "event_voided": {"event_id": f"{seed}-{dice.randrange(count)}"},
        }
        person = dice.randrange(12)
        names: dict[str, Any] = {"email": f"p{person}@acme.example"}
        if dice.random() < 0.4:
            names = {"anonymous_id": f"v{dice.randrange(30)}"}
        elif dice.random() < 0.1:
            names["anonymous_id"] = f"v{dice.randrange(30)}"
        found.append(
            an_event(
                f"{seed}-{number}",
                type_,
                at=NOON - timedelta(minutes=dice.randrange(60 * 24 * 20)),
                properties=choices.get(type_),
                attributes={"size": dice.choice([10, 50])} if dice.random() < 0.2 else None,
                **names,
            )
        )
    return found


def changes(messages: Sequence[AnyMessage]) -> list[LeadScoreChanged]:
    return [message for message in messages if isinstance(message, LeadScoreChanged)]


@pytest.mark.parametrize("seed", range(2))
async def test_the_shadow_equals_scoring_from_scratch_after_any_traffic(bench: Bench, seed: int) -> None:
    dice = random.Random(seed)
    events = traffic(seed, 300)
    await bench.scorer.count(events[:100], reach=ALL_WORKSPACES)

    await bench.start()
    position = 100
    while position < len(events):
        size = dice.randrange(1, 60)
        await bench.scorer.count(events[position : position + size], reach=ALL_WORKSPACES)
        position += size
        bench.clock.advance(timedelta(minutes=dice.randrange(600)))
        if dice.random() < 0.5:
            await bench.scorer.follow_shadows(3)
            await bench.scorer.tell_what_time_did(10)
        await bench.take_a_merge_back(dice)
    await bench.work()

    assert await bench.check_against_history(changed_model()) > 5
    assert await bench.scorer.follow_shadows(7) == 0


async def test_a_lead_of_many_events_is_folded_in_the_shadow_and_late_ones_are_answered_from_history(
    bench: Bench,
) -> None:
    await bench.start()
    await bench.scorer.count(
        [an_event(f"e{n}", at=NOON - timedelta(hours=n)) for n in range(200)], reach=ALL_WORKSPACES
    )

    await bench.scorer.count(
        [an_event("late", "email_clicked", at=NOON - timedelta(hours=150))], reach=ALL_WORKSPACES
    )

    assert await bench.check_against_history(changed_model()) == 1


async def test_nothing_of_the_shadow_is_told(bench: Bench) -> None:
    events = traffic(5, 60)
    await bench.start()
    await bench.scorer.count(events, reach=ALL_WORKSPACES)
    await bench.work()

    assert {change.data.model_version for change in changes(await bench.told())} == {1}


async def test_without_a_shadow_nothing_is_kept(bench: Bench) -> None:
    await bench.scorer.count(traffic(5, 30), reach=ALL_WORKSPACES)

    assert await bench.scorer.follow_shadows(7) == 0
    assert await bench.rows("SELECT * FROM scorer.shadow_lead") == []


async def test_time_that_changes_only_the_shadow_is_seen_when_it_comes(bench: Bench) -> None:
    await bench.start()
    await bench.scorer.count([an_event(f"e{n}", at=NOON) for n in range(3)], reach=ALL_WORKSPACES)
    ((due,),) = await bench.rows("SELECT due_at FROM scorer.shadow_lead")

    bench.clock.move_to(due)
    assert await bench.scorer.follow_shadows(7) == 1

    assert await bench.check_against_history(changed_model()) == 1
    assert await bench.scorer.follow_shadows(7) == 0


async def test_a_state_that_cannot_be_read_any_more_is_computed_again_when_it_is_needed(bench: Bench) -> None:
    await bench.start()
    await bench.scorer.count([an_event("e1")], reach=ALL_WORKSPACES)
    async with bench.database.transaction(ALL_WORKSPACES) as connection:
        await connection.execute(text("UPDATE scorer.shadow_lead SET state = '[0]', sealed_state = NULL"))
    clock, book = bench.clock, ModelBook()
    without = await report(bench.database, clock, book, "default", 2, movers=10)

    await bench.scorer.count([an_event("e2")], reach=ALL_WORKSPACES)

    found = await report(bench.database, clock, book, "default", 2, movers=10)
    assert (without.compared, len(without.movers), len(found.movers)) == (1, 0, 1)
    assert await bench.check_against_history(changed_model()) == 1


async def test_comparisons_follow_when_another_version_becomes_active(bench: Bench) -> None:
    await bench.start()
    await bench.scorer.count([an_event(), an_event("e2", anonymous_id="v")], reach=ALL_WORKSPACES)
    await bench.publish(changed_model(points=9), activate=False)
    await bench.publish(changed_model(points=1), activate=True)
    await bench.work()

    assert await bench.rows("SELECT DISTINCT active_version, shadow_id FROM scorer.shadow_lead") == [(3, 1)]


async def test_an_activated_shadow_hands_its_states_over_and_ends(bench: Bench) -> None:
    events = traffic(6, 120)
    await bench.scorer.count(events[:80], reach=ALL_WORKSPACES)
    await bench.start()
    await bench.work()
    await bench.scorer.count(events[80:], reach=ALL_WORKSPACES)
    await bench.told()
    recomputed = metrics.RECOMPUTES.labels("model")._value.get()

    await bench.activate(2)
    # One of them happens between the activation and its following.
    await bench.scorer.count([an_event("after", email="p1@acme.example")], reach=ALL_WORKSPACES)
    await bench.work()

    assert metrics.RECOMPUTES.labels("model")._value.get() == recomputed
    assert {change.data.model_version for change in changes(await bench.told())} == {2}
    await same_as_from_scratch(bench, changed_model())
    assert await bench.rows("SELECT * FROM scorer.shadow_lead") == []
    assert await bench.rows("SELECT version, activation_id FROM scorer.shadow") == [(2, 2)]


async def test_a_merge_taken_back_after_the_promotion_takes_over_no_state_of_both(bench: Bench) -> None:
    await bench.start()
    await bench.scorer.count(
        [an_event("a", anonymous_id="v"), an_event("b", email="bo@acme.example")], reach=ALL_WORKSPACES
    )
    await bench.scorer.count([an_event("c", anonymous_id="v", email="bo@acme.example")], reach=ALL_WORKSPACES)
    ((survivor, absorbed),) = await bench.rows("SELECT survivor, absorbed FROM scorer.merge")

    await bench.activate(2)
    await bench.scorer.unmerge("default", survivor, absorbed, actor="test", reason="test")
    await bench.work()

    await same_as_from_scratch(bench, changed_model())


async def test_states_of_a_shadow_that_ended_are_not_taken_over_later(bench: Bench) -> None:
    await bench.scorer.count([an_event("e1")], reach=ALL_WORKSPACES)
    await bench.start()
    await bench.work()
    await bench.activate(2)
    await bench.activate(1)
    await bench.scorer.count([an_event("e2")], reach=ALL_WORKSPACES)

    await bench.activate(2)
    await bench.work()

    await same_as_from_scratch(bench, changed_model())


async def test_a_shadow_that_starts_again_knows_nothing_of_its_first_time(bench: Bench) -> None:
    await bench.start()
    await bench.scorer.count([an_event("e1")], reach=ALL_WORKSPACES)
    await versions.stop_shadow(bench.database, bench.clock, "default", 2, by="test")
    await bench.scorer.count([an_event("e2")], reach=ALL_WORKSPACES)

    await bench.start()
    await bench.scorer.count([an_event("e3")], reach=ALL_WORKSPACES)
    await bench.work()

    assert await bench.check_against_history(changed_model()) == 1


async def test_a_shadow_is_refused_where_there_is_nothing_to_compare(bench: Bench, database: Database) -> None:
    with pytest.raises(Refused, match="version 1 is active itself"):
        await bench.start(1)
    with pytest.raises(InvalidInput, match="no version 7"):
        await bench.start(7)
    await bench.start(2)
    await bench.start(2)
    await bench.publish(changed_model(points=1), activate=False)
    with pytest.raises(Refused, match="version 2 is in the shadow"):
        await bench.start(3)


async def test_a_shadow_that_starts_in_the_middle_of_traffic_misses_nothing(bench: Bench) -> None:
    events = [event for event in traffic(8, 150) if event.data.lead.email]

    async def count(mine: Sequence[Accepted]) -> None:
        for start in range(0, len(mine), 5):
            await counted(bench.scorer, mine[start : start + 5])

    async def decide() -> None:
        for _ in range(3):
            await bench.start()
            await bench.scorer.follow_shadows(3)
            await versions.stop_shadow(bench.database, bench.clock, "default", 2, by="test")
        await bench.start()

    await asyncio.gather(count(events[::2]), count(events[1::2]), decide())
    await bench.work()

    assert await bench.check_against_history(changed_model()) > 5


async def counted(scorer: Scorer, events: Sequence[Accepted]) -> None:
    while True:
        try:
            await scorer.count(events, reach=ALL_WORKSPACES)
            return
        except TransientError:
            await asyncio.sleep(0)


async def same_as_from_scratch(bench: Bench, document: Json) -> None:
    model = parse_model(document)
    active = ActiveModel(2, model)
    now = bench.clock.now()
    async with bench.database.transaction(ALL_WORKSPACES) as connection:
        rows = await connection.execute(text("SELECT id FROM scorer.lead WHERE merged_into IS NULL"))
        ids = [row.id for row in rows]
        leads = await stored_leads.lock(connection, ids)
        histories = await stored_leads.histories(connection, ids)
    for id_ in ids:
        fresh = rebuilt(active, leads[id_], histories[id_])
        assert leads[id_].version == 2
        assert standing_of(model, leads[id_].state, now) == standing_of(model, fresh.state, now)
