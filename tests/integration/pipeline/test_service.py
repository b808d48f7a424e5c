"""Messages of the scorer in, messages of the pipeline out, on real PostgreSQL."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.pipeline.domain.stages import Move
from services.pipeline.sealed import history_data
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput, Refused, TransientError
from shared.events.codec import encode
from shared.events.envelope import Message
from shared.events.stages import LeadQualificationReopened, LeadStageChanged, LeadStalled
from shared.events.thresholds import LeadThresholdEntered
from shared.log.dead_letter import stored_letter
from shared.log.letter_sealing import opened_letter
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.pipeline import (
    LEAD,
    NOON,
    OTHER,
    QUALIFYING,
    a_document,
    a_position,
    a_recorded_event,
    a_score_change,
    merged,
    recorded,
    unmerged,
)

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)


async def history(pipeline: PipelineHarness, table: str, lead: str = LEAD) -> list[str]:
    """The kinds of a lead's timeline, or the stages that it came to, in order."""
    async with pipeline.database.transaction(ALL_WORKSPACES) as connection:
        rows = await connection.execute(
            text(
                f"""SELECT *, data::text AS stored FROM pipeline.{table}
                    WHERE lead_id = CAST(:lead AS uuid) ORDER BY at, id"""
            ),
            {"lead": lead},
        )
        if table == "timeline":
            return [row.kind for row in rows]
        opened = await history_data.opened(connection, [row.stored for row in rows])
        return [str(data["to_stage"]) for data in opened]


async def test_a_lead_that_enters_a_threshold_is_told_and_moved(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(a_score_change(1, thresholds={"mql": a_position("reached")}))

    begun, entered, moved = await pipeline.emitted()
    assert isinstance(begun, LeadStageChanged)
    assert isinstance(entered, LeadThresholdEntered)
    assert isinstance(moved, LeadStageChanged)
    assert (begun.data.from_stage, begun.data.to_stage, begun.data.sequence) == (None, "new", 1)
    assert (moved.data.from_stage, moved.data.to_stage, moved.data.sequence) == ("new", "mql", 2)
    assert moved.data.why == "inside the threshold mql"
    assert (entered.data.threshold, entered.data.score, entered.data.level) == ("mql", 72.5, 60.0)
    assert entered.data.sequence == 1


async def test_a_message_that_comes_again_changes_nothing(pipeline: PipelineHarness) -> None:
    change = a_score_change(1, thresholds={"mql": a_position("reached")})
    await pipeline.take_in(change)
    before = [encode(message) for message in await pipeline.emitted()]

    await pipeline.take_in(change, change)

    assert [encode(message) for message in await pipeline.emitted()] == before
    assert await history(pipeline, "stay") == ["new", "mql"]


async def test_batching_makes_no_difference(pipeline: PipelineHarness, database_url: str) -> None:
    messages = [
        recorded(1, a_recorded_event("page_viewed")),
        a_score_change(2, NOON + HOUR, thresholds={"warm": a_position("reached")}),
        a_score_change(3, NOON + 2 * HOUR, thresholds={"warm": a_position("below")}, cause="time"),
        recorded(4, a_recorded_event("demo_requested", NOON + 3 * HOUR), attributes=QUALIFYING),
    ]

    await pipeline.take_in(*messages)

    assert await pipeline.emitted_types() == [
        "stage_changed",
        "threshold_entered",
        "stage_changed",
        "threshold_left",
        "qualified",
        "stage_changed",
        "stage_changed",
    ]
    assert await history(pipeline, "stay") == ["new", "engaged", "mql", "sql"]


async def test_without_a_pipeline_thresholds_work_and_stages_wait(unpublished: PipelineHarness) -> None:
    await unpublished.take_in(a_score_change(1, thresholds={"mql": a_position("reached")}))
    assert await unpublished.emitted_types() == ["threshold_entered"]

    await unpublished.publish()
    await unpublished.take_in(a_score_change(2, NOON + HOUR, thresholds={"mql": a_position("reached")}))

    assert await unpublished.emitted_types() == ["threshold_entered", "stage_changed"]


async def test_a_second_entering_within_the_cooldown_is_kept_quiet(pipeline: PipelineHarness) -> None:
    reached = a_position("reached", cooldown=timedelta(days=7))
    below = a_position("below", cooldown=timedelta(days=7))

    for number, position in enumerate((reached, below, reached, below), start=1):
        await pipeline.take_in(a_score_change(number, NOON + number * HOUR, thresholds={"hot": position}))

    crossings = [kind for kind in await pipeline.emitted_types() if kind.startswith("threshold")]
    assert crossings == ["threshold_entered", "threshold_left"]
    assert (await history(pipeline, "timeline")).count("threshold") == 4


async def test_a_crm_moves_a_lead_and_its_refused_moves_are_recorded(pipeline: PipelineHarness) -> None:
    to_proposal = a_recorded_event("stage_changed", NOON, source="hubspot", stage="proposal", actor="bo")
    with_deal = a_recorded_event(
        "stage_changed", NOON + HOUR, source="hubspot", stage="proposal", amount=5_000, close_date="2026-06-01"
    )

    await pipeline.take_in(recorded(1, to_proposal), recorded(2, with_deal))

    *_, last = await pipeline.emitted()
    assert isinstance(last, LeadStageChanged)
    assert (last.data.to_stage, last.data.by, last.data.actor) == ("proposal", "crm", "hubspot")
    assert "refusal" in await history(pipeline, "timeline")


async def test_a_person_passes_the_same_guard(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed")))

    with pytest.raises(Refused) as refused:
        await pipeline.service.move("default", LEAD, Move("lost", "person", actor="ada"))
    assert refused.value.code == "requirement_missing"
    await pipeline.service.move("default", LEAD, Move("lost", "person", actor="ada", reason="no budget"))

    assert await history(pipeline, "stay") == ["new", "lost"]
    assert (await history(pipeline, "timeline")).count("refusal") == 1


async def test_a_lead_of_another_workspace_is_not_found(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed")))

    with pytest.raises(InvalidInput) as missing:
        await pipeline.service.move("elsewhere", LEAD, Move("lost", "person", actor="ada", reason="x"))

    assert missing.value.code == "not_found"


async def test_a_stalled_lead_is_told_once_at_its_moment(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed", NOON)))
    due = NOON + timedelta(days=1)
    pipeline.clock.move_to(due - timedelta(seconds=1))
    assert await pipeline.service.tell_what_time_did(10) == 0

    pipeline.clock.move_to(due + timedelta(seconds=1))
    assert await pipeline.service.tell_what_time_did(10) == 1
    assert await pipeline.service.tell_what_time_did(10) == 0

    *_, stalled = await pipeline.emitted()
    assert isinstance(stalled, LeadStalled)
    assert (stalled.data.stage, stalled.data.since, stalled.data.due_at) == ("new", NOON, due)
    assert stalled.time == due


async def test_leaving_the_stage_settles_what_was_due(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed", NOON)))
    await pipeline.take_in(a_score_change(2, NOON + HOUR, thresholds={"warm": a_position("reached")}))

    pipeline.clock.move_to(NOON + timedelta(days=30))

    assert await pipeline.service.tell_what_time_did(10) == 0


async def test_the_survivor_of_a_merge_has_both_histories_and_the_further_stage(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(
        recorded(1, a_recorded_event("page_viewed")),
        recorded(1, a_recorded_event("demo_requested"), lead=OTHER),
        recorded(2, a_recorded_event("deal_updated", owner="bo"), lead=OTHER),
    )

    await pipeline.take_in(merged(2, at=NOON + HOUR))

    *_, moved = await pipeline.emitted()
    assert isinstance(moved, LeadStageChanged)
    assert (moved.data.lead.id, moved.data.from_stage, moved.data.to_stage) == (LEAD, "new", "mql")
    assert await history(pipeline, "timeline", OTHER) == []
    assert (await history(pipeline, "timeline")).count("event") == 3
    async with pipeline.database.transaction(ALL_WORKSPACES) as connection:
        owner = await connection.scalar(text("SELECT owner FROM pipeline.hot_row WHERE stage = 'mql'"))
    assert owner == "bo"


async def test_what_comes_later_about_an_absorbed_lead_is_the_survivors(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(merged(1))

    await pipeline.take_in(recorded(1, a_recorded_event("demo_requested"), lead=OTHER), a_score_change(2, lead=OTHER))

    assert await history(pipeline, "timeline", OTHER) == []
    assert await history(pipeline, "stay") == ["new", "mql"]


async def test_a_chain_of_merges_ends_at_the_last_survivor(pipeline: PipelineHarness) -> None:
    third = "33333333-3333-4333-8333-333333333333"
    await pipeline.take_in(recorded(1, a_recorded_event("demo_requested"), lead=OTHER))

    await pipeline.take_in(merged(1), merged(1, survivor=third, absorbed=LEAD))
    await pipeline.take_in(recorded(2, a_recorded_event("page_viewed"), lead=OTHER))

    assert (await history(pipeline, "timeline", third)).count("event") == 2


async def test_history_and_due_moments_of_one_batch_survive_its_merge(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("demo_requested"), lead=OTHER), merged(1, at=NOON + HOUR))

    assert (await history(pipeline, "timeline")).count("event") == 1
    async with pipeline.database.transaction(ALL_WORKSPACES) as connection:
        due = await connection.scalar(text("SELECT lead_id FROM pipeline.due"))
    assert str(due) == LEAD


async def test_a_lead_that_comes_back_from_a_merge_stands_where_it_stood(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed")))
    await pipeline.take_in(recorded(1, a_recorded_event("demo_requested"), lead=OTHER))
    await pipeline.take_in(merged(2, at=NOON + HOUR))

    await pipeline.take_in(unmerged(2, at=NOON + 2 * HOUR))
    await pipeline.take_in(unmerged(3, lead=LEAD, other=OTHER, survivor=True, at=NOON + 2 * HOUR))
    reached = {"mql": a_position("reached")}
    await pipeline.take_in(a_score_change(3, NOON + 2 * HOUR, lead=OTHER, thresholds=reached, cause="unmerge"))

    async with await pipeline.client() as client:
        back, stayed = [(await client.get(f"/v1/leads/{lead}")).json() for lead in (OTHER, LEAD)]
    assert (back["id"], back["stage"]["stage"], back["scores"]["total"]) == (OTHER, "mql", 72.5)
    assert (stayed["id"], stayed["stage"]["stage"]) == (LEAD, "mql")
    assert await history(pipeline, "timeline", OTHER) == ["unmerge", "score", "threshold"]
    (entered,) = [message for message in await pipeline.emitted() if isinstance(message, LeadThresholdEntered)]
    assert (entered.data.lead.id, entered.data.cause) == (OTHER, "unmerge")
    assert (await history(pipeline, "timeline"))[-1] == "unmerge"


async def test_a_merge_heard_of_after_it_was_taken_back_does_not_take_the_lead_again(
    pipeline: PipelineHarness,
) -> None:
    await pipeline.take_in(unmerged(2, at=NOON + HOUR))

    await pipeline.take_in(merged(2, at=NOON))

    async with await pipeline.client() as client:
        assert (await client.get(f"/v1/leads/{OTHER}")).json()["id"] == OTHER


async def test_transactions_that_meet_at_a_merge_lose_nothing(pipeline: PipelineHarness) -> None:
    """Two consumers hold the survivor's and the absorbed lead's partitions; trouble that may pass is retried."""

    async def take_in(*messages: Message) -> None:
        for message in messages:
            while True:
                try:
                    await pipeline.take_in(message)
                    break
                except TransientError:
                    continue

    mine = [recorded(number, a_recorded_event("page_viewed")) for number in range(1, 10)]
    others = [recorded(number, a_recorded_event("page_viewed"), lead=OTHER) for number in range(1, 10)]

    await asyncio.gather(take_in(*mine[:4], merged(5), *mine[5:]), take_in(*others))

    assert (await history(pipeline, "timeline")).count("event") == 17
    assert await history(pipeline, "timeline", OTHER) == []


async def test_a_new_version_moves_nobody_by_itself(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(a_score_change(1, thresholds={"warm": a_position("reached")}))
    before = len(await pipeline.emitted())

    await pipeline.publish(
        a_document(stages=[{"id": "start", "initial": True}, {"id": "end", "enter_when": {"threshold": "warm"}}])
    )
    await pipeline.take_in(a_score_change(2, NOON + HOUR, thresholds={"warm": a_position("reached")}))

    assert len(await pipeline.emitted()) == before


async def test_sequences_per_topic_have_no_gaps(pipeline: PipelineHarness) -> None:
    for number in range(1, 9):
        position = a_position("reached" if number % 2 else "below")
        await pipeline.take_in(a_score_change(number, NOON + number * HOUR, thresholds={"mql": position}))

    sequences: dict[bool, list[int]] = {True: [], False: []}
    for message in await pipeline.emitted():
        sequences[message.type.startswith("lead.threshold")].append(message.data.sequence)  # type: ignore[union-attr] # engagement events have none
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in sequences.values())
    assert len(sequences[True]) == 8


@pytest.mark.parametrize(
    "poison",
    [
        b"\xff",
        b"{}",
        b'{"type":"lead.unheard_of"}',
        encode(a_score_change(1)).replace(LEAD.encode(), b"no uuid"),
        encode(a_score_change(1, email="MARK")).replace(b"MARK", b"\\u0000"),
        encode(a_score_change(1, email="MARK")).replace(b"MARK", b"\\ud800"),
        encode(a_score_change(1, attributes={"x": "MARK"})).replace(b'"MARK"', b"NaN"),
        encode(a_score_change(1, attributes={"x": "MARK"})).replace(b'"MARK"', b"1e400"),
        encode(a_score_change(1, attributes={"x": "MARK"})).replace(b'"MARK"', b"9" * 30),
    ],
    ids=[
        "no JSON",
        "no type",
        "unknown type",
        "lead without UUID",
        "NUL",
        "surrogate",
        "NaN",
        "infinity",
        "beyond 64 bits",
    ],
)
async def test_poison_is_kept_aside_and_its_neighbours_count(pipeline: PipelineHarness, poison: bytes) -> None:
    await pipeline.take_in_bytes([poison, encode(a_score_change(1, thresholds={"mql": a_position("reached")}))])

    assert "threshold_entered" in await pipeline.emitted_types()
    async with pipeline.log.consume(["lead-scores-dlq"], group="people", member="a person") as reader:
        kept = await reader.poll(max_records=10, timeout_seconds=5)
    letters = [await opened_letter(pipeline.database, stored_letter(record)) for record in kept]
    assert [letter.record.value for letter in letters] == [poison]


async def test_a_verdict_that_lapses_is_told_at_its_moment_even_after_downtime(pipeline: PipelineHarness) -> None:
    known = {**QUALIFYING, "job_title": "clerk", "timeline_months": 3}
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed", NOON), attributes=known))
    moment = NOON + timedelta(days=90)
    pipeline.clock.move_to(moment - timedelta(seconds=1))
    await pipeline.service.tell_what_time_did(10)
    assert "qualification_reopened" not in await pipeline.emitted_types()

    pipeline.clock.move_to(moment + timedelta(days=3))
    assert await pipeline.service.tell_what_time_did(10) == 1
    assert await pipeline.service.tell_what_time_did(10) == 0

    *_, reopened = await pipeline.emitted()
    assert isinstance(reopened, LeadQualificationReopened)
    assert (reopened.time, reopened.data.at, reopened.data.state) == (moment, moment, "open")
    assert (reopened.data.previous, reopened.data.reason) == ("qualified", "evidence expired: timeline")
    assert {item.criterion: item.state for item in reopened.data.evidence}["timeline"] == "unknown"


async def test_a_stall_that_is_told_late_carries_its_true_moment(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed", NOON)))

    pipeline.clock.move_to(NOON + timedelta(days=40))
    await pipeline.service.tell_what_time_did(10)

    stalls = [message for message in await pipeline.emitted() if isinstance(message, LeadStalled)]
    assert [message.time for message in stalls] == [NOON + timedelta(days=1)]


async def test_an_override_is_told_as_one_with_its_actor_and_reason(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed")))
    override = Move("proposal", "person", actor="ada", reason="the CEO called", override=True)

    await pipeline.service.move("default", LEAD, override)

    *_, moved = await pipeline.emitted()
    assert isinstance(moved, LeadStageChanged)
    assert (moved.data.override, moved.data.actor, moved.data.why) == (True, "ada", "the CEO called")


async def test_suppressed_crossings_are_counted(pipeline: PipelineHarness) -> None:
    def counted(outcome: str) -> float:
        labels = {"threshold": "counted", "direction": "entered", "outcome": outcome}
        return REGISTRY.get_sample_value("leadflow_pipeline_threshold_crossings_total", labels) or 0.0

    cooldown = timedelta(days=7)
    for number, position in enumerate(("reached", "below", "reached", "below", "reached"), start=1):
        crossing = {"counted": a_position(position, cooldown=cooldown)}  # type: ignore[arg-type] # a position
        await pipeline.take_in(a_score_change(number, NOON + number * HOUR, thresholds=crossing))

    assert (counted("emitted"), counted("suppressed")) == (1.0, 2.0)


async def test_a_stay_stalls_once_however_often_versions_change(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed", NOON)))
    pipeline.clock.move_to(NOON + timedelta(days=2))
    await pipeline.service.tell_what_time_did(10)

    await pipeline.publish(a_document(stages=[{"id": "new", "initial": True, "due": "1h"}], qualification=None))
    await pipeline.take_in(recorded(2, a_recorded_event("page_viewed", NOON + HOUR)))
    pipeline.clock.move_to(NOON + timedelta(days=9))
    await pipeline.service.tell_what_time_did(10)

    assert (await pipeline.emitted_types()).count("stalled") == 1
