"""Facts become messages with a sequence, and lines of the timeline."""

from datetime import timedelta

from services.pipeline.documents import ActivePipeline
from services.pipeline.domain import lead as domain
from services.pipeline.domain.facts import Fact
from services.pipeline.domain.lead import Lead
from services.pipeline.telling import Sequences, tell
from shared.events.codec import decode, encode
from shared.events.envelope import message_id
from shared.events.topics import LEAD_STAGES, LEAD_THRESHOLDS
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
