"""What is stored of a lead beside what its events say."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from msgspec import structs

from services.scorer.domain.assessment import Told
from services.scorer.domain.counting.folding import fold
from services.scorer.domain.lead import ActiveModel, Happening, Lead, happen, rebuilt
from services.scorer.domain.states.state import EMPTY
from services.scorer.domain.verification import differences, repaired
from shared.events.accepting import AcceptedEvent, AcceptedNames
from shared.events.curve import microseconds
from shared.events.envelope import LeadReference
from shared.events.scores import LeadScoreChanged
from tests.unit.scorer.histories import MODEL, START, histories, moments

ACTIVE = ActiveModel(3, MODEL)
NEW = Lead(
    reference=LeadReference(id="0b0e2c5e-6f5b-4b0e-8f4e-1d6f2f6b7a11", emails=(), external_ids={}),
    workspace="default",
    version=None,
    state=EMPTY,
    told=None,
    sequence=0,
    due_at=None,
)


def accepted(document: dict[str, Any]) -> AcceptedEvent:
    return AcceptedEvent(
        id=document["id"],
        source=document["source"],
        type=document["type"],
        native_type=None,
        occurred_at=datetime.fromisoformat(document["occurred_at"]),
        received_at=datetime.fromisoformat(document["occurred_at"]),
        lead=AcceptedNames(email="ann@acme.example", external_ids={}, anonymous_id=None),
        properties=document["properties"],
        attributes=document.get("attributes", {}),
    )


def visits(number: int) -> list[AcceptedEvent]:
    times = (START + timedelta(hours=5 * each) for each in range(number))
    return [
        accepted(
            {"id": f"e{n}", "source": "web", "type": "page_viewed", "occurred_at": at.isoformat(), "properties": {}}
        )
        for n, at in enumerate(times)
    ]


def known(events: list[AcceptedEvent], now: datetime) -> Lead:
    return happen(ACTIVE, NEW, Happening(tuple(events)), now).lead


@settings(max_examples=60)
@given(histories(), moments(), moments())
def test_a_lead_that_the_scorer_keeps_differs_in_nothing_however_it_was_folded(
    history: list[dict[str, Any]], one: datetime, other: datetime
) -> None:
    retracted = {event["properties"].get("event_id") for event in history if event["type"] == "event_voided"}
    events = [accepted(event) for event in history if event["id"] not in retracted]
    now = max([one, *(event.occurred_at for event in events)])
    lead = known(events, now)
    assert lead.told is not None
    folded = replace(lead, state=fold(MODEL, lead.state, microseconds(min(other, now))))

    assert differences(ACTIVE, folded, rebuilt(ACTIVE, lead, events).state, at=now, now=now) == ()


NOW = START + timedelta(days=2)
EVENTS = visits(6)
RIGHT = known(EVENTS, NOW)
assert RIGHT.told is not None


@pytest.mark.parametrize(
    ("lead", "fields"),
    [
        (
            replace(RIGHT, state=known(EVENTS[:2], NOW).state),
            {"scores.engagement", "scores.total", "bands.engagement", "bands.total", "grade"},
        ),
        (
            replace(RIGHT, told=structs.replace(RIGHT.told, positions={"hot": "reached", "top": "below"})),
            {"published.thresholds.hot"},
        ),
        (replace(RIGHT, told=None), {"published"}),
        (replace(RIGHT, due_at=None), {"due_at"}),
        (replace(RIGHT, due_at=NOW + timedelta(days=1, hours=3)), {"due_at"}),
        (replace(RIGHT, version=2), {"model_version"}),
    ],
    ids=["state", "position told", "nothing told", "no due moment", "another due moment", "another version"],
)
def test_each_thing_that_is_wrong_is_named_and_mended(lead: Lead, fields: set[str]) -> None:
    repair = repaired(ACTIVE, lead, EVENTS, NOW)

    assert {difference.field for difference in repair.differences} == fields
    assert differences(ACTIVE, repair.lead, rebuilt(ACTIVE, lead, EVENTS).state, at=NOW, now=NOW) == ()
    assert repair.lead.due_at == RIGHT.due_at


def test_what_is_right_is_told_to_nobody_and_what_is_wrong_once() -> None:
    later = NOW + timedelta(hours=1)
    right = repaired(ACTIVE, RIGHT, EVENTS, later)
    wrong = repaired(ACTIVE, replace(RIGHT, state=EMPTY), EVENTS, later)

    assert (right.messages, right.differences, right.lead.told) == ((), (), RIGHT.told)
    (message,) = wrong.messages
    assert isinstance(message, LeadScoreChanged)
    assert (message.data.cause, message.data.sequence, message.data.at) == ("model", RIGHT.sequence + 1, later)


def test_what_time_is_about_to_tell_is_no_difference_and_left_to_it() -> None:
    assert RIGHT.due_at is not None
    overdue = RIGHT.due_at + timedelta(minutes=3)

    repair = repaired(ACTIVE, RIGHT, EVENTS, overdue)

    assert (repair.differences, repair.messages, repair.lead.due_at) == ((), (), RIGHT.due_at)


def test_what_was_told_later_than_now_is_compared_as_of_then() -> None:
    told = RIGHT.told
    assert isinstance(told, Told)

    assert differences(ACTIVE, RIGHT, RIGHT.state, at=START, now=told.at - timedelta(hours=4)) == ()
