"""Leads that a scorer remembers: not believed once anybody else, or a transaction that failed, has touched them."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.lead import Lead, Outcome
from services.scorer.leads import repository as lead_repository
from services.scorer.leads import stored_leads
from services.scorer.leads.remembered_leads import RememberedLeads, Written
from services.scorer.leads.repository import Mark
from services.scorer.service import Scorer
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.accepting import Accepted
from shared.events.codec import AnyMessage
from shared.events.json import Json
from shared.events.scores import LeadScoreChanged, ScoreChange
from tests.integration.scorer.conftest import ScoresHarness
from tests.support.messages import NOON, an_event
from tests.support.waiting import wait_until

MODEL: Json = {
    "model": "test",
    "scores": {
        "engagement": {
            "max": 200,
            "rules": [
                {"id": "page", "on": "page_viewed", "points": 10, "half_life": "1d"},
                {"id": "form", "on": "form_submitted", "points": 30, "limit": {"count": 2, "per": "day"}},
            ],
        },
        "fit": {"rules": [{"id": "boss", "if": {"attributes.title": "boss"}, "points": 5}]},
        "total": {"combine": {"engagement": 1, "fit": 1}},
    },
    "bands": {"total": {"hot": 30, "cold": 0}},
    "thresholds": {"hot": {"score": "total", "enter": 30, "exit": 15}},
}


@dataclass
class Memory:
    """One process's memory, and what is written with it."""

    database: Database
    remembered: RememberedLeads

    async def write(self, connection: AsyncConnection, lead_id: UUID, change: Callable[[Lead], Lead]) -> Written:
        leads = (await stored_leads.take(connection, [lead_id], self.remembered)).leads
        after = {id_: Outcome(change(lead), ()) for id_, lead in leads.items()}
        mark, sizes = await stored_leads.save(connection, leads, after)
        return Written(mark, {id_: each.lead for id_, each in after.items()}, sizes, self.remembered.forgotten)

    async def commit(self, lead_id: UUID, change: Callable[[Lead], Lead] = lambda lead: lead) -> Lead:
        """Write the lead as `change` makes it, and remember it."""
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            written = await self.write(connection, lead_id, change)
        self.remembered.remember(written)
        return written.leads[lead_id]

    async def taken(self, lead_id: UUID) -> Lead:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return (await stored_leads.take(connection, [lead_id], self.remembered)).leads[lead_id]


@pytest.fixture
def here(database: Database) -> Memory:
    return Memory(database, RememberedLeads())


@pytest.fixture
def elsewhere(database: Database) -> Memory:
    return Memory(database, RememberedLeads())


def one_more(lead: Lead) -> Lead:
    return Lead(
        reference=lead.reference,
        workspace=lead.workspace,
        version=lead.version,
        state=lead.state,
        told=lead.told,
        sequence=lead.sequence + 1,
        due_at=lead.due_at,
    )


async def a_lead(scores: ScoresHarness) -> UUID:
    await scores.publish(MODEL)
    await scores.count(an_event("first"))
    return await scores.lead()


async def test_a_lead_that_was_written_here_is_not_read_again(scores: ScoresHarness, here: Memory) -> None:
    ann = await a_lead(scores)

    written = await here.commit(ann)

    assert await here.taken(ann) is written


async def test_what_is_remembered_equals_what_would_be_read(scores: ScoresHarness, here: Memory) -> None:
    ann = await a_lead(scores)
    await scores.count(
        an_event("form", "form_submitted", attributes={"title": "boss", "n": 1, "x": 1.0, "deep": [{}]})
    )
    written = await here.commit(ann, one_more)

    async with scores.database.transaction(ALL_WORKSPACES) as connection:
        assert (await stored_leads.read(connection, [ann]))[ann] == written


async def test_what_another_process_wrote_since_is_read(
    scores: ScoresHarness, here: Memory, elsewhere: Memory
) -> None:
    ann = await a_lead(scores)
    before = await here.commit(ann)

    await elsewhere.commit(ann, one_more)

    assert (await here.taken(ann)).sequence == before.sequence + 1


async def test_what_another_process_writes_while_the_lock_is_waited_for_is_read(
    scores: ScoresHarness, here: Memory, elsewhere: Memory
) -> None:
    ann = await a_lead(scores)
    before = await here.commit(ann)

    async with scores.database.transaction(ALL_WORKSPACES) as connection:
        await elsewhere.write(connection, ann, one_more)
        waiting = asyncio.create_task(here.taken(ann))
        await wait_until(lambda: somebody_waits(scores.database), "the lock is waited for")

    assert (await waiting).sequence == before.sequence + 1


async def test_what_a_failed_transaction_wrote_is_as_if_it_had_never_been(scores: ScoresHarness) -> None:
    await a_lead(scores)
    await scores.told()

    async def fail(_connection: AsyncConnection, _were_new: Sequence[bool]) -> None:
        raise ConnectionError("the batch comes again")

    for _ in range(2):
        with pytest.raises(Exception, match="ConnectionError"):
            await scores.scorer.count([an_event("second")], reach=ALL_WORKSPACES, note=fail)
    await scores.count(an_event("second"))

    assert [change.sequence for change in about_scores(await scores.told())] == [4]
    assert (await scores.get(str(await scores.lead())))["scores"]["engagement"] == pytest.approx(20, abs=0.1)


async def test_names_that_another_scorer_learnt_are_told(scores: ScoresHarness, database: Database) -> None:
    await a_lead(scores)
    other = Scorer(database, Outbox("scorer"), scores.clock)
    await other.count([an_event("named", email="ann@acme.example", external_ids={"crm": "7"})], reach=ALL_WORKSPACES)
    await scores.told()

    await scores.count(an_event("second"))

    assert [change.lead.external_ids for change in about_scores(await scores.told())] == [{"crm": ("7",)}]


async def test_a_lead_that_another_scorer_merged_is_remembered_no_more(
    scores: ScoresHarness, database: Database
) -> None:
    ann = await a_lead(scores)
    scores.clock.advance(timedelta(seconds=1))
    await scores.count(an_event("by bo", email="bo@acme.example"))
    bo = await scores.lead("bo@acme.example")
    await Scorer(database, Outbox("scorer"), scores.clock).merge(
        "default", ann, bo, actor="test", reason="one person"
    )

    await scores.count(an_event("again", email="bo@acme.example"))

    last = about_scores(await scores.told())[-1]
    assert last.lead.id == str(ann)
    assert last.current.scores["engagement"] == pytest.approx(30, abs=0.1)


async def test_an_erased_lead_leaves_memory_at_once_and_begins_anew(
    scores: ScoresHarness, database: Database
) -> None:
    remembered = RememberedLeads()
    scores.scorer = Scorer(database, Outbox("scorer"), scores.clock, remembered=remembered)
    ann = await a_lead(scores)
    mark = await mark_of(database, ann)
    assert remembered.find(ann, mark) is not None

    await scores.scorer.erase("default", ann, actor="test")

    assert remembered.find(ann, mark) is None
    scores.clock.advance(timedelta(seconds=1))
    await scores.count(an_event("later", at=NOON + timedelta(seconds=5), received=scores.clock.now()))
    assert await scores.lead() != ann


@pytest.mark.parametrize("seed", range(3))
async def test_scorers_that_take_turns_on_the_same_leads_end_with_the_scores_of_one(
    scores: ScoresHarness, database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    events = [some_event(chance, number) for number in range(60)]
    batches = [events[first : first + 5] for first in range(0, len(events), 5)]
    for workspace in ("one", "turns"):
        await scores.publish(MODEL, workspace)
    scorers = [scores.scorer, Scorer(database, Outbox("scorer"), scores.clock)]

    told: dict[str, list[list[object]]] = {"one": [], "turns": []}
    for batch in batches:
        scores.clock.advance(timedelta(hours=chance.randrange(30)))
        for workspace, scorer in (("one", scorers[0]), ("turns", chance.choice(scorers))):
            await scorer.tell_what_time_did(100)
            await scorer.count([event(workspace) for event in batch], reach=ALL_WORKSPACES)
        for message in await scores.told():
            told[message.workspace].append(what_it_says(message))

    assert sorted(map(repr, told["turns"])) == sorted(map(repr, told["one"]))


def some_event(chance: random.Random, number: int) -> Callable[[str], Accepted]:
    """An event of one of four people, who go by several names; the same in any workspace."""
    person = chance.choice("abcd")
    email = f"{person}@acme.example" if chance.random() < 0.7 else None
    device = f"device {person}" if email is None or chance.random() < 0.3 else None
    kind = chance.choice(["page_viewed", "page_viewed", "form_submitted"])
    at = NOON + timedelta(hours=chance.randrange(48), seconds=number)
    attributes = {"title": chance.choice(["boss", "clerk"])} if chance.random() < 0.3 else {}

    def made(workspace: str) -> Accepted:
        return an_event(
            f"e{number}",
            kind,
            at=at,
            received=at,
            workspace=workspace,
            email=email,
            anonymous_id=device,
            attributes=attributes,
        )

    return made


def what_it_says(message: AnyMessage) -> list[object]:
    """A message without the ids that differ between workspaces."""
    data = message.model_dump(mode="json")["data"]
    data.get("lead", {}).pop("id", None)
    for name in ("absorbed_id", "absorbed", "survivor"):
        data.pop(name, None)
    return [message.type, sorted(data.items())]


def about_scores(messages: Sequence[AnyMessage]) -> list[ScoreChange]:
    return [message.data for message in messages if isinstance(message, LeadScoreChanged)]


async def mark_of(database: Database, lead_id: UUID) -> Mark:
    async with database.transaction(ALL_WORKSPACES) as connection:
        (row,) = await lead_repository.lock_leads(connection, [lead_id])
        return row.mark


async def somebody_waits(database: Database) -> bool:
    async with database.as_login() as connection:
        waiting = await connection.scalar(
            text("""
                SELECT count(*) FROM pg_stat_activity
                WHERE wait_event_type = 'Lock' AND datname = current_database()
            """)
        )
    return bool(waiting)
