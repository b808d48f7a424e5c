"""Taking a merge back, on real PostgreSQL: both leads are as if they had never been one."""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from services.scorer.leads.stored_leads import Contended
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.errors import DatabaseUnavailable, Refused
from shared.events.accepting import Accepted
from shared.events.json import Json
from shared.events.scores import LeadScoreChanged, LeadUnmerged
from tests.integration.scorer.conftest import ScoresHarness
from tests.support.messages import NOON, an_event
from tests.unit.scorer.histories import MODEL_DOCUMENT

pytestmark = pytest.mark.postgres

ANN: dict[str, Any] = {"email": "ann@acme.example"}
BO: dict[str, Any] = {"email": "bo@acme.example"}
VISITOR: dict[str, Any] = {"anonymous_id": "visitor"}
BOTH = {**BO, **VISITOR}
SIMPLE: dict[str, Any] = {
    "model": "simple",
    "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": 1}]}},
    "bands": {"total": {"hot": 3, "cold": 0}},
}


@pytest.fixture
async def bench(scores: ScoresHarness) -> ScoresHarness:
    await scores.publish(SIMPLE)
    return scores


async def separate(bench: ScoresHarness, survivor: UUID, absorbed: UUID, workspace: str = "default") -> None:
    await bench.scorer.unmerge(workspace, survivor, absorbed, actor="anna", reason="two people")


async def total(bench: ScoresHarness, lead: UUID) -> float:
    score: float = (await bench.get(f"{lead}"))["scores"]["total"]
    return score


async def a_merge(bench: ScoresHarness) -> tuple[UUID, UUID]:
    """A visitor, known first, and Bo, each with two views, who turn out to be one; returns (visitor, Bo)."""
    await bench.count(an_event("v1", **VISITOR), an_event("v2", **VISITOR))
    bench.clock.advance(timedelta(seconds=1))
    await bench.count(an_event("b1", **BO), an_event("b2", **BO))
    visitor, bo = await bench.lead("visitor", "anonymous"), await bench.lead("bo@acme.example")
    bench.clock.advance(timedelta(seconds=1))
    await bench.count(an_event("both", "form_submitted", **BOTH))
    return visitor, bo


async def test_both_leads_have_their_names_their_events_and_their_scores_again(bench: ScoresHarness) -> None:
    visitor, bo = await a_merge(bench)
    assert await total(bench, visitor) == 4

    await separate(bench, visitor, bo)

    assert (await total(bench, visitor), await total(bench, bo)) == (2, 2)
    assert await bench.lead("visitor", "anonymous") == visitor
    assert await bench.lead("bo@acme.example") == bo
    theirs = {lead: (await bench.get(f"{lead}/events"))["events"] for lead in (visitor, bo)}
    assert {event["id"] for event in theirs[visitor]} == {"v1", "v2"}
    assert {event["id"] for event in theirs[bo]} == {"b1", "b2", "both"}


async def test_both_are_told_in_their_own_order_without_a_gap(bench: ScoresHarness) -> None:
    visitor, bo = await a_merge(bench)
    before = {message.subject: message.data.sequence for message in await bench.told()}  # type: ignore[union-attr]

    await separate(bench, visitor, bo)

    told = await bench.told()
    for lead, role, other in ((visitor, "survivor", bo), (bo, "restored", visitor)):
        parted, change = [message for message in told if message.subject == str(lead)]
        assert isinstance(parted, LeadUnmerged)
        assert isinstance(change, LeadScoreChanged)
        assert (parted.data.role, parted.data.other, parted.data.actor) == (role, str(other), "anna")
        assert (change.data.cause, change.data.current.scores) == ("unmerge", {"total": 2})
        assert [parted.data.sequence, change.data.sequence] == [before[str(lead)] + 1, before[str(lead)] + 2]


async def test_what_names_both_later_is_of_the_lead_with_its_strongest_name(bench: ScoresHarness) -> None:
    visitor, bo = await a_merge(bench)
    await separate(bench, visitor, bo)

    await bench.count(an_event("again", **BOTH), an_event("mere", **VISITOR))
    await bench.count(an_event("new name", email="new@acme.example", anonymous_id="visitor"))
    await bench.count(an_event("by then", email="new@acme.example", external_ids={"crm": "1"}))

    assert (await total(bench, visitor), await total(bench, bo)) == (5, 3)
    assert await bench.lead("1", "external:crm") == visitor


async def test_what_both_did_while_they_were_one_is_divided_by_names(bench: ScoresHarness) -> None:
    visitor, bo = await a_merge(bench)
    await bench.count(an_event("b3", **BO), an_event("v3", **VISITOR))
    await bench.count(an_event("b4", email="bo@acme.example", external_ids={"crm": "7"}))
    await bench.count(an_event("b5", external_ids={"crm": "7"}))

    await separate(bench, visitor, bo)

    assert (await total(bench, visitor), await total(bench, bo)) == (3, 5)
    assert await bench.lead("7", "external:crm") == bo


async def test_leads_set_apart_do_not_meet_through_a_third_one(bench: ScoresHarness) -> None:
    visitor, bo = await a_merge(bench)
    await separate(bench, visitor, bo)
    bench.clock.advance(timedelta(seconds=1))
    await bench.count(an_event("a1", **ANN))

    await bench.count(an_event("ann is bo", email="ann@acme.example", external_ids={"crm": "1"}))
    await bench.count(an_event("bo too", email="bo@acme.example", external_ids={"crm": "1"}))
    await bench.count(an_event("ann visits", email="ann@acme.example", anonymous_id="visitor"))

    assert await bench.lead("ann@acme.example") == bo
    assert await bench.lead("visitor", "anonymous") == visitor


async def test_what_the_absorbed_lead_had_absorbed_itself_goes_with_it(bench: ScoresHarness) -> None:
    await bench.count(an_event("a1", **ANN))
    bench.clock.advance(timedelta(seconds=1))
    visitor, bo = await a_merge(bench)
    ann = await bench.lead("ann@acme.example")
    await bench.count(an_event("all", email="ann@acme.example", anonymous_id="visitor"))
    assert await total(bench, ann) == 6

    await separate(bench, ann, visitor)
    assert (await total(bench, ann), await total(bench, visitor)) == (2, 4)
    assert (await bench.get(f"{bo}"))["id"] == str(visitor)

    await separate(bench, visitor, bo)
    assert [await total(bench, lead) for lead in (ann, visitor, bo)] == [2, 2, 2]


async def test_a_model_that_comes_later_finds_two_leads(bench: ScoresHarness) -> None:
    visitor, bo = await a_merge(bench)
    await separate(bench, visitor, bo)

    doubled: Json = {"rules": [{"id": "page", "on": "page_viewed", "points": 2}]}
    await bench.publish({"model": "other", "scores": {"total": doubled}})

    assert (await total(bench, visitor), await total(bench, bo)) == (4, 4)


async def test_a_person_may_make_them_one_again_and_take_that_back_too(bench: ScoresHarness) -> None:
    visitor, bo = await a_merge(bench)
    await separate(bench, visitor, bo)
    await bench.told()
    client, body = await bench.client(), {"absorbed": str(visitor), "actor": "anna", "reason": "one after all"}

    merged = await client.post(f"/v1/scores/{bo}/merge", json=body)
    again = await client.post(f"/v1/scores/{bo}/merge", json=body)
    await bench.count(an_event("both", "page_viewed", source="other", **BOTH))

    assert merged.status_code == 200, merged.text
    assert merged.json()["scores"] == {"total": 4}
    assert (again.status_code, again.json()["code"]) == (409, "same_lead")
    assert [message.type for message in await bench.told()][:2] == ["lead.merged", "lead.score_changed"]
    assert (await bench.get(f"{visitor}"))["id"] == str(bo)
    assert await total(bench, bo) == 5

    await separate(bench, bo, visitor)
    assert (await total(bench, visitor), await total(bench, bo)) == (2, 3)


async def test_what_was_never_merged_cannot_be_taken_back(bench: ScoresHarness) -> None:
    visitor, bo = await a_merge(bench)
    await separate(bench, visitor, bo)

    with pytest.raises(Refused, match="no part"):
        await separate(bench, visitor, bo)
    body = {"absorbed": str(bo), "actor": "anna", "reason": "why not"}
    stranger = await bench.client(workspace="other")
    assert (await stranger.post(f"/v1/scores/{visitor}/unmerge", json=body)).status_code == 404
    again = await (await bench.client()).post(f"/v1/scores/{visitor}/unmerge", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "not_merged")


async def test_events_that_are_counted_meanwhile_end_at_the_lead_they_name(bench: ScoresHarness) -> None:
    visitor, bo = await a_merge(bench)
    other = type(bench.scorer)(bench.database, Outbox("scorer"), bench.clock)

    async def count(number: int) -> None:
        while True:
            try:
                return await other.count([an_event(f"late{number}", **BO)], reach=ALL_WORKSPACES)
            except (Contended, DatabaseUnavailable):
                continue

    await asyncio.gather(*(count(number) for number in range(12)), separate(bench, visitor, bo))

    assert (await total(bench, visitor), await total(bench, bo)) == (2, 14)
    async with bench.database.transaction(ALL_WORKSPACES) as connection:
        owners = await connection.scalars(
            text("SELECT DISTINCT lead_id FROM scorer.event WHERE event_id LIKE 'late%'")
        )
        assert [UUID(str(owner)) for owner in owners] == [bo]


@pytest.mark.parametrize("seed", range(4))
async def test_merged_and_unmerged_is_as_never_merged(scores: ScoresHarness, seed: int) -> None:
    """Whatever happened before, to either, in whatever order: retractions of each other's events included."""
    chance = random.Random(seed)
    before = [_an_event(chance, number) for number in range(30 if seed else 160)]
    leads: dict[str, list[UUID]] = {}
    for workspace in ("merged", "control"):
        await scores.publish(MODEL_DOCUMENT, workspace)
        events = [replace(message, workspace=workspace) for message in before]
        await _count_in_batches(scores, chance, events)
        names = (("visitor", "anonymous"), ("bo@acme.example", "email"))
        leads[workspace] = [await scores.lead(value, kind, workspace) for value, kind in names]

    await scores.count(an_event("bridge", "nothing_scored", workspace="merged", at=NOON, **BOTH))
    survivor = (await _explained(scores, "merged", leads["merged"][0], NOON))["id"]
    (absorbed,) = [lead for lead in leads["merged"] if str(lead) != survivor]
    await separate(scores, UUID(survivor), absorbed, "merged")

    for at in (NOON - timedelta(days=40), NOON - timedelta(days=9), NOON, NOON + timedelta(days=5)):
        for merged, control in zip(leads["merged"], leads["control"], strict=True):
            one = await _explained(scores, "merged", merged, at)
            other = await _explained(scores, "control", control, at)
            for part in ("scores", "bands", "grade", "attributes", "thresholds"):
                assert one[part] == other[part]


def _an_event(chance: random.Random, number: int) -> Accepted:
    kinds = (
        ["page_viewed"] * 6
        + ["email_clicked"] * 4
        + ["unsubscribed", "score_adjusted", "score_reset", "event_voided"]
    )
    kind = chance.choice(kinds)
    special: dict[str, dict[str, Any]] = {
        "score_adjusted": {"score": "engagement", "points": chance.randint(-9, 9), "half_life": "2d"},
        "score_reset": {"score": "engagement"},
        "event_voided": {"event_id": f"e{chance.randrange(40)}"},
    }
    properties = special.get(kind, {"path": chance.choice(["/pricing", "/blog"])})
    at = NOON - timedelta(minutes=chance.randrange(60 * 24 * 30))
    attributes: dict[str, Any] = chance.choice([{}, {"size": 50}, {"size": 10}, {"country": "US"}])
    who = chance.choice([VISITOR, BO])
    return an_event(f"e{number}", kind, at=at, properties=properties, attributes=attributes, **who)


async def _count_in_batches(scores: ScoresHarness, chance: random.Random, events: Sequence[Accepted]) -> None:
    rest = list(events)
    while rest:
        size = chance.randint(1, 12)
        await scores.count(*rest[:size])
        rest = rest[size:]


async def _explained(scores: ScoresHarness, workspace: str, lead: UUID, at: datetime) -> Any:
    client = await scores.client(workspace=workspace)
    answer = await client.get(f"/v1/scores/{lead}", params={"at": at.isoformat()})
    assert answer.status_code == 200, answer.text
    return answer.json()
