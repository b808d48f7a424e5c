"""Facts become messages with a sequence, and lines of the timeline."""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from services.pipeline.documents.versions import ActivePipeline
from services.pipeline.domain import lead as domain
from services.pipeline.domain.facts import Fact
from services.pipeline.domain.lead import Lead
from services.pipeline.leads.telling import Sequences, tell
from shared.events.codec import decode, encode
from shared.events.engagement import EngagementAccepted
from shared.events.envelope import LeadReference, message_id
from shared.events.topics import ENGAGEMENT_EVENTS, LEAD_STAGES, LEAD_THRESHOLDS
from tests.support.pipeline import (
    LEAD,
    NOON,
    QUALIFYING,
    a_pipeline,
    a_position,
    a_recorded_event,
    a_score_change,
    recorded,
)

ACTIVE = ActivePipeline(3, a_pipeline())


def a_full_life() -> tuple[Lead, tuple[Fact, ...]]:
    """A lead that is scored, told, qualified, moved, refused and late."""
    change = a_score_change(1, thresholds={"mql": a_position("reached")}, attributes=QUALIFYING).data
    lead, scored = domain.after_score(Lead("default", LEAD), change, ACTIVE.pipeline)
    refused = recorded(2, a_recorded_event("stage_changed", stage="proposal"), attributes=QUALIFYING).data
    lead, acted = domain.after_events(lead, refused, ACTIVE.pipeline)
    lead, late = domain.after_moments(lead, ACTIVE.pipeline, NOON + timedelta(days=30))
    return lead, (*scored, *acted, *late)


def test_every_fact_has_its_line_in_order() -> None:
    lead, facts = a_full_life()

    told = tell(lead, facts, ACTIVE, Sequences(0, 0), now=NOON)

    assert [line.kind for line in told.lines] == [
        "score",
        "stage",
        "threshold",
        "qualification",
        "stage",
        "stage",
        "event",
        "refusal",
        "stall",
    ]
    assert [stay.data["to_stage"] for stay in told.stays] == ["new", "mql", "sql"]


def test_messages_count_on_per_topic_and_have_computed_ids() -> None:
    lead, facts = a_full_life()

    told = tell(lead, facts, ACTIVE, Sequences(thresholds=7, stages=40), now=NOON)

    assert [(outgoing.topic, outgoing.message.id) for outgoing in told.outgoing] == [
        (LEAD_STAGES, message_id(LEAD_STAGES, LEAD, 41)),
        (LEAD_THRESHOLDS, message_id(LEAD_THRESHOLDS, LEAD, 8)),
        (LEAD_STAGES, message_id(LEAD_STAGES, LEAD, 42)),
        (LEAD_STAGES, message_id(LEAD_STAGES, LEAD, 43)),
        (LEAD_STAGES, message_id(LEAD_STAGES, LEAD, 44)),
        (LEAD_STAGES, message_id(LEAD_STAGES, LEAD, 45)),
    ]


def test_what_is_told_can_be_read_back_and_names_its_origin() -> None:
    lead, facts = a_full_life()

    for outgoing in tell(lead, facts, ACTIVE, Sequences(0, 0), now=NOON).outgoing:
        message = decode(encode(outgoing.message))
        assert message == outgoing.message
        assert (message.source, message.subject, message.workspace) == ("/leadflow/pipeline", LEAD, "default")
        assert outgoing.key == LEAD


def test_the_same_facts_are_told_in_the_same_bytes() -> None:
    lead, facts = a_full_life()

    once, again = (tell(lead, facts, ACTIVE, Sequences(0, 0), now=NOON).outgoing for _ in range(2))

    assert [encode(item.message) for item in once] == [encode(item.message) for item in again]


RESETTING = ActivePipeline(
    4,
    a_pipeline(
        qualification=None,
        stages=[
            {"id": "new", "initial": True},
            {"id": "lost", "terminal": "lost", "on_enter": {"reset_scores": ["engagement", "product"]}},
        ],
    ),
)


def a_lost_lead(**names: Any) -> tuple[Lead, tuple[Fact, ...]]:
    """A lead that a CRM has given up, by whatever names it is known."""
    events = recorded(1, a_recorded_event("deal_lost", source="crm", reason="too dear"))
    reference = LeadReference(**{"id": LEAD, "emails": (), "external_ids": {}, **names})
    return domain.after_events(Lead("default", LEAD), replace(events.data, lead=reference), RESETTING.pipeline)


def resets_of(lead: Lead, facts: tuple[Fact, ...], now: datetime = NOON) -> list[EngagementAccepted]:
    told = tell(lead, facts, RESETTING, Sequences(0, 6), now=now).outgoing
    return [item.message for item in told if isinstance(item.message, EngagementAccepted)]


def test_a_stage_that_resets_scores_asks_for_it_by_events_that_follow_from_the_move() -> None:
    lead, facts = a_lost_lead(emails=("ada@example.com",), external_ids={"crm": ("7",)})

    told = tell(lead, facts, RESETTING, Sequences(0, 6), now=NOON + timedelta(hours=1))

    events = [item for item in told.outgoing if item.topic is ENGAGEMENT_EVENTS]
    messages = [item.message for item in events]
    assert [message.id for message in messages] == [f"{LEAD}/8/engagement", f"{LEAD}/8/product"]
    assert {item.key for item in events} == {messages[0].subject}
    assert resets_of(lead, facts)[0].data.lead.email == "ada@example.com"
    assert resets_of(lead, facts, NOON + timedelta(hours=1))[0].data.received_at == NOON + timedelta(hours=1)
    assert resets_of(lead, facts)[0].data.occurred_at == NOON


def test_a_lead_without_address_is_reset_by_an_external_id_and_one_without_names_is_not() -> None:
    by_id = resets_of(*a_lost_lead(external_ids={"crm": ("7", "8"), "app": ("x",)}))
    nameless = resets_of(*a_lost_lead())

    assert [message.data.lead.external_ids for message in by_id] == [{"app": "x"}, {"app": "x"}]
    assert nameless == []
