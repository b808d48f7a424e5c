"""A lead through time: what is worth telling, when, and in which order."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.codec import decode_state, encode_state
from services.scorer.domain.counting.tally import HistoryNeeded, tally_of
from services.scorer.domain.lead import ActiveModel, Happening, Lead, Reading, happen, is_outdated, pass_time, rebuilt
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.scores.standing import standing_of
from services.scorer.domain.states.state import EMPTY
from shared.events.accepting import AcceptedEvent
from shared.events.envelope import LeadReference, Message
from shared.events.scores import LeadScoreChanged, ScoreChange
from tests.support.messages import NOON, an_event
from tests.unit.scorer.histories import MODEL, START, histories

ACTIVE = ActiveModel(
    version=3,
    model=parse_model(
        {
            "model": "test",
            "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": 40, "half_life": "1d"}]}},
            "bands": {"total": {"hot": 30, "cold": 0}},
        }
    ),
)
NOBODY = Lead(
    reference=LeadReference(id="7", emails=("ann@acme.example",), external_ids={}),
    workspace="default",
    version=None,
    state=EMPTY,
    told=None,
    sequence=0,
    due_at=None,
)


def a_page_view(name: str = "e1", *, at: datetime = NOON) -> AcceptedEvent:
    return an_event(name, at=at, received=at).data


def an_accepted_event(document: dict[str, Any]) -> AcceptedEvent:
    return an_event(
        document["id"],
        document["type"],
        at=datetime.fromisoformat(document["occurred_at"]),
        source=document["source"],
        properties=document["properties"],
        attributes=document.get("attributes"),
    ).data


def something_unscored(at: datetime) -> AcceptedEvent:
    return an_event("other", "note_added", at=at, received=at).data


def changes(messages: tuple[Message, ...]) -> list[ScoreChange]:
    return [message.data for message in messages if isinstance(message, LeadScoreChanged)]


def test_the_first_event_is_recorded_and_told_with_nothing_before_it() -> None:
    outcome = happen(ACTIVE, NOBODY, Happening(events=(a_page_view(),)), NOON)

    assert [message.type for message in outcome.messages] == ["lead.events_recorded", "lead.score_changed"]
    (change,) = changes(outcome.messages)
    assert (change.previous, change.current.scores, change.model_version) == (None, {"total": 40}, 3)
    assert [event.id for event in change.events] == ["e1"]


def test_points_that_merely_decayed_are_no_news() -> None:
    lead = happen(ACTIVE, NOBODY, Happening(events=(a_page_view(),)), NOON).lead

    later = NOON + timedelta(hours=2)
    outcome = happen(ACTIVE, lead, Happening(events=(something_unscored(later),)), later)

    assert [message.type for message in outcome.messages] == ["lead.events_recorded"]


def test_what_time_did_is_told_before_what_an_event_did() -> None:
    lead = happen(ACTIVE, NOBODY, Happening(events=(a_page_view(),)), NOON).lead
    assert lead.due_at is not None

    later = NOON + timedelta(days=2)
    outcome = happen(ACTIVE, lead, Happening(events=(a_page_view("e2", at=later),)), later)

    assert [(change.cause, change.at) for change in changes(outcome.messages)] == [
        ("time", lead.due_at),
        ("events", later),
    ]
    assert [change.current.bands["total"] for change in changes(outcome.messages)] == ["cold", "hot"]


def test_sequences_have_no_gaps_and_ids_follow_from_them() -> None:
    first = happen(ACTIVE, NOBODY, Happening(events=(a_page_view(),)), NOON)
    again = happen(ACTIVE, NOBODY, Happening(events=(a_page_view(),)), NOON)
    then = pass_time(ACTIVE, first.lead, NOON + timedelta(days=9))

    sequences = [change.sequence for change in changes((*first.messages, *then.messages))]
    assert sequences == [2, 3]
    assert [message.id for message in first.messages] == [message.id for message in again.messages]
    assert then.lead.due_at is None


def test_nothing_is_told_for_a_moment_before_the_last_one_told_though_a_clock_went_back() -> None:
    lead = happen(ACTIVE, NOBODY, Happening(events=(a_page_view(),)), NOON).lead

    outcome = happen(ACTIVE, lead, Happening(events=(a_page_view("e2"),)), NOON - timedelta(minutes=5))

    assert changes(outcome.messages)[0].at == NOON


def test_a_merge_adds_up_what_both_did() -> None:
    lead = happen(ACTIVE, NOBODY, Happening(events=(a_page_view("a"),)), NOON).lead
    other = replace(NOBODY, reference=LeadReference(id="8", emails=(), external_ids={}))
    other = happen(ACTIVE, other, Happening(events=(a_page_view("b"),)), NOON).lead

    outcome = happen(ACTIVE, lead, Happening(absorbed=(other,)), NOON)

    assert [message.type for message in outcome.messages] == ["lead.merged", "lead.score_changed"]
    (change,) = changes(outcome.messages)
    assert (change.cause, change.current.scores) == ("merge", {"total": 80})


def test_a_merge_with_a_lead_of_another_model_version_is_told_from_the_history_of_both() -> None:
    other = replace(
        happen(replace(ACTIVE, version=2), NOBODY, Happening(events=(a_page_view("e2"),)), NOON).lead,
        reference=LeadReference(id="8", emails=(), external_ids={}),
    )
    lead = happen(ACTIVE, NOBODY, Happening(events=(a_page_view(),)), NOON).lead
    with pytest.raises(HistoryNeeded):
        happen(ACTIVE, lead, Happening(absorbed=(other,)), NOON)

    again = rebuilt(ACTIVE, lead, [a_page_view(), a_page_view("e2")])
    outcome = happen(ACTIVE, again, Happening(absorbed=(other,)), NOON, is_rebuilt=True)

    assert changes(outcome.messages)[0].current.scores == {"total": 80}


def test_a_rebuilt_survivor_does_not_count_folded_history_of_the_absorbed_twice() -> None:
    views = [a_page_view(f"e{n}", at=NOON - timedelta(hours=24 + n)) for n in range(300)]
    other = happen(ACTIVE, NOBODY, Happening(events=tuple(views)), NOON).lead
    assert other.state.settled

    again = rebuilt(ACTIVE, NOBODY, views)
    outcome = happen(ACTIVE, again, Happening(absorbed=(other,)), NOON, is_rebuilt=True)

    expected = standing_of(ACTIVE.model, other.state, NOON)
    assert expected.scores["total"] > 0
    assert standing_of(ACTIVE.model, outcome.lead.state, NOON) == expected


def test_a_retraction_by_another_lead_brings_none_of_its_attributes() -> None:
    lead = happen(ACTIVE, NOBODY, Happening(events=(a_page_view(),)), NOON).lead
    retraction = an_event("void", "event_voided", properties={"event_id": "e1"}, attributes={"size": 10}).data

    outcome = happen(ACTIVE, lead, Happening(retractions=(retraction,)), NOON)

    assert outcome.lead.state.facts == {}
    assert changes(outcome.messages)[0].current.scores == {"total": 0}


def test_a_rebuilt_lead_equals_one_that_was_counted_event_by_event() -> None:
    history = [a_page_view(f"e{hour}", at=NOON + timedelta(hours=hour)) for hour in range(5)]
    counted = NOBODY
    for event in history:
        counted = happen(ACTIVE, counted, Happening(events=(event,)), event.occurred_at).lead

    assert rebuilt(ACTIVE, NOBODY, history).state == counted.state


def test_a_state_of_another_model_version_is_outdated() -> None:
    lead = replace(NOBODY, version=2)

    assert is_outdated(ACTIVE, lead)
    assert not is_outdated(ACTIVE, NOBODY)


@given(histories(max_size=40), st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 60 * 24 * 30))
def test_a_lead_that_is_remembered_becomes_what_one_that_is_read_again_does(
    history: list[dict[str, Any]], sizes: list[int], minutes: int
) -> None:
    active = ActiveModel(version=3, model=MODEL)
    now = START + timedelta(minutes=minutes)
    events = [an_accepted_event(event) for event in history]
    lead = NOBODY
    for size in sizes:
        batch, events = events[:size], events[size:]
        happening = Happening(tuple(batch))
        read_again = replace(lead, state=decode_state(encode_state(lead.state)))
        try:
            outcome = happen(active, lead, happening, now)
        except HistoryNeeded:
            with pytest.raises(HistoryNeeded):
                happen(active, read_again, happening, now)
            return
        assert happen(active, read_again, happening, now) == outcome
        lead, now = outcome.lead, now + timedelta(days=1)
        assert pass_time(active, lead, now) == pass_time(active, replace(lead, reading=None), now)
        assert lead.reading is None or lead.reading.tally == tally_of(MODEL, lead.state)


def test_what_was_read_of_another_state_or_with_another_model_is_not_believed() -> None:
    lead = happen(ACTIVE, NOBODY, Happening(events=(a_page_view(),)), NOON).lead
    assert lead.reading is not None
    nothing = Reading(lead.reading.model, EMPTY, tally_of(ACTIVE.model, EMPTY))
    of_others = Reading(replace(ACTIVE.model), lead.state, nothing.tally)

    expected = happen(ACTIVE, lead, Happening(events=(a_page_view("e2"),)), NOON)

    for reading in (nothing, of_others):
        found = happen(ACTIVE, replace(lead, reading=reading), Happening(events=(a_page_view("e2"),)), NOON)
        assert found == expected
