"""What is observed of a lead, and that nothing of it comes from after the moment."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.scorer.domain.events.event import Event
from services.scorer.domain.scores.standing import standing_of
from services.scorer.domain.what_if.backtest.observing import (
    EventMatch,
    LeftOut,
    Observed,
    Question,
    Scorer,
    default_score,
    observe,
    read_match,
)
from shared.documents.durations import DAY_US
from shared.errors import InvalidInput
from shared.events.curve import microseconds, moment
from shared.events.json import Json
from tests.support.builders import a_model, a_retraction, a_rule, a_state, an_adjustment, an_event, at

MODEL = a_model(
    a_rule("page_viewed", 10, half_life="1d"),
    a_rule("form_submitted", 5),
    a_rule("meeting_booked", 1),
    a_rule("deal_won", 1000),
    a_rule("deal_lost", -1000),
    score={"min": "none"},
    scores={
        "fit": {"rules": [{"id": "quality", "if": {"attributes.quality": "high"}, "points": 500}]},
        "total": {"combine": {"engagement": 1, "fit": 1}},
    },
)
HANDOVER = an_event("2026-03-10T12:00", "meeting_booked")
WIN = an_event("2026-03-20T12:00", "deal_won")
LOSS = an_event("2026-03-20T12:00", "deal_lost")
END_US = microseconds(at("2026-06-01T00:00"))


def observing(*events: Event, **changes: Any) -> Observed:
    question = replace(Question(until_us=END_US), **changes)
    return observe(question, [Scorer(MODEL, "total")], [events])


def score_of(*events: Event, **changes: Any) -> float:
    """The score at the handover of a lead that is won later."""
    (score,) = observing(HANDOVER, WIN, *events, **changes).scores[0]
    return score


def test_a_lead_is_observed_once_at_its_handover_with_what_it_had_by_then() -> None:
    observed = observing(an_event("2026-03-09T12:00"), HANDOVER, an_event("2026-03-10T12:00"), WIN)

    assert observed.at_us == [HANDOVER.at_us]
    assert observed.won == [True]
    assert observed.scores == [[10 / 2 + 10 + 1]]


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(an_event("2026-03-10T12:01"), id="something that happened later"),
        pytest.param(an_event("2026-03-09T12:00", received="2026-03-11T12:00"), id="received later, backdated"),
        pytest.param(an_event("2026-03-11T12:00", "note", attributes={"quality": "high"}), id="a later fact"),
        pytest.param(
            an_event("2026-03-01T12:00", "note", received="2026-03-11T12:00", attributes={"quality": "high"}),
            id="a fact filled in afterwards and dated before",
        ),
        pytest.param(an_adjustment("2026-03-10T12:01", points=100), id="points given later by hand"),
        pytest.param(an_event("2026-03-10T12:01", "score_reset", score="engagement"), id="a later reset"),
        pytest.param(a_retraction("the form", "2026-03-19T12:00"), id="a later retraction"),
        pytest.param(an_event("2026-03-20T11:00", "deal_won", event_id="twice"), id="the outcome itself"),
    ],
)
def test_nothing_leaks_from_after_the_handover(leak: Event) -> None:
    before = an_event("2026-03-08T12:00", "form_submitted", event_id="the form")

    assert score_of(before, leak) == score_of(before) == 6


def test_history_that_was_imported_counts_from_when_it_happened() -> None:
    late = an_event("2026-03-08T12:00", "form_submitted", source="crm", received="2026-05-01T00:00")

    assert score_of(late) == 1
    assert score_of(late, imported=("crm",)) == 6
    assert score_of(late, imported=("other",)) == 1


def test_what_was_received_too_late_is_counted_by_source() -> None:
    late = an_event("2026-03-08T12:00", "form_submitted", source="crm", received="2026-05-01T00:00")

    observed = observing(HANDOVER, WIN, late)

    assert observed.unknown_events == {"crm": 1}
    assert observed.events == 2


EVENTS = st.lists(
    st.builds(
        lambda kind, hour, delay, number: structs.replace(
            an_event("2026-03-01T00:00", kind, event_id=str(number)),
            occurred_at=at("2026-03-01T00:00") + timedelta(hours=hour),
            received_at=at("2026-03-01T00:00") + timedelta(hours=hour + delay),
            properties={"score": "engagement", "points": 7, "event_id": str(number % 5)},
            attributes={"quality": "high" if number % 2 else "low"},
        ),
        st.sampled_from(["page_viewed", "form_submitted", "score_adjusted", "score_reset", "event_voided"]),
        st.integers(0, 600),
        st.sampled_from([0, 0, 1, 48]),
        st.integers(0, 20),
    ),
    max_size=14,
    unique_by=lambda event: event.id,
)


@given(events=EVENTS)
def test_the_score_is_the_one_that_was_published_then(events: Sequence[Event]) -> None:
    known = [event for event in events if (event.received_at or event.occurred_at) <= HANDOVER.occurred_at]

    expected = standing_of(MODEL, a_state(MODEL, HANDOVER, *known), HANDOVER.occurred_at).scores["total"]
    assert score_of(*events) == expected


@given(events=EVENTS)
def test_regular_moments_see_what_was_known_at_each_of_them(events: Sequence[Event]) -> None:
    first = an_event("2026-03-01T00:00", "meeting_booked")

    observed = observing(first, WIN, *events, every_us=DAY_US, within_us=7 * DAY_US)

    assert [moment(at_us) for at_us in observed.at_us] == [at(f"2026-03-{day:02}T00:00") for day in range(1, 21)]
    for at_us, score in zip(observed.at_us, observed.scores[0], strict=True):
        known = [event for event in events if (event.received_at or event.occurred_at) <= moment(at_us)]
        state = a_state(MODEL, first, *known)
        assert score == pytest.approx(standing_of(MODEL, state, moment(at_us)).scores["total"], abs=0.011)


def test_a_regular_moment_asks_for_a_win_within_its_time() -> None:
    observed = observing(an_event("2026-03-10T12:00"), WIN, every_us=DAY_US, within_us=7 * DAY_US)

    won = [moment(at_us).day for at_us, won in zip(observed.at_us, observed.won, strict=True) if won]
    assert [moment(at_us).day for at_us in observed.at_us] == list(range(11, 21))
    assert won == list(range(14, 21))


def test_moments_of_a_week_are_mondays_for_every_lead() -> None:
    observed = observing(an_event("2026-03-04T12:00"), WIN, every_us=7 * DAY_US, within_us=7 * DAY_US)

    assert [moment(at_us) for at_us in observed.at_us] == [at("2026-03-09T00:00"), at("2026-03-16T00:00")]


def test_regular_moments_end_where_the_sequel_is_not_known() -> None:
    until_us = microseconds(at("2026-03-10T00:00"))

    observed = observing(an_event("2026-03-01T12:00"), every_us=DAY_US, within_us=7 * DAY_US, until_us=until_us)

    assert [moment(at_us) for at_us in observed.at_us] == [at("2026-03-02T00:00")]
    assert observed.won == [False]


def test_a_lead_of_whom_nothing_was_known_is_not_observed_yet() -> None:
    late = an_event("2026-03-01T12:00", received="2026-03-18T12:00")

    observed = observing(late, WIN, every_us=DAY_US, within_us=7 * DAY_US)

    assert [moment(at_us).day for at_us in observed.at_us] == [19, 20]


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([an_event(), WIN], LeftOut.NEVER_HANDED_OVER),
        ([HANDOVER], LeftOut.UNDECIDED),
        ([HANDOVER, an_event("2026-03-10T12:00", "deal_won")], LeftOut.DECIDED_BEFORE),
        ([HANDOVER, an_event("2026-02-10T12:00", "deal_lost"), WIN], LeftOut.DECIDED_BEFORE),
        ([an_event("2026-06-10T12:00", "meeting_booked"), WIN], LeftOut.OUTSIDE_PERIOD),
        ([an_event("2026-02-10T12:00", "meeting_booked"), WIN], LeftOut.OUTSIDE_PERIOD),
        ([], LeftOut.NEVER_HANDED_OVER),
    ],
)
def test_why_a_lead_is_left_out(events: Sequence[Event], why: LeftOut) -> None:
    observed = observing(*events, from_us=microseconds(at("2026-03-01T00:00")))

    assert observed.left_out == {why: 1}
    assert not observed.leads


def test_with_a_time_to_win_in_those_not_followed_for_so_long_are_left_out() -> None:
    observed = observing(HANDOVER, WIN, within_us=90 * DAY_US)

    assert observed.left_out == {LeftOut.TOO_RECENT: 1}


def test_with_a_time_to_win_in_undecided_leads_count_as_not_won() -> None:
    within, beyond = observing(HANDOVER, WIN, within_us=10 * DAY_US), observing(HANDOVER, WIN, within_us=9 * DAY_US)
    undecided = observing(HANDOVER, within_us=9 * DAY_US)

    assert (within.won, beyond.won, undecided.won) == ([True], [False], [False])


def test_an_outcome_may_be_a_stage_of_the_crm() -> None:
    lost = an_event("2026-03-20T12:00", "stage_changed", stage="lost")

    assert observing(HANDOVER, lost).won == [False]
    assert observing(HANDOVER, an_event("2026-03-20T12:00", "stage_changed", stage="demo")).won == []


def test_the_first_outcome_is_the_one_that_counts() -> None:
    later = an_event("2026-03-21T12:00", "deal_lost")

    assert observing(HANDOVER, WIN, later).won == [True]
    assert observing(HANDOVER, LOSS, WIN).won == [True]


def test_an_outcome_after_the_end_of_the_period_is_not_known() -> None:
    assert observing(HANDOVER, WIN, until_us=WIN.at_us).left_out == {LeftOut.UNDECIDED: 1}


def test_leads_of_two_parts_are_told_apart_when_joined() -> None:
    both = observing(HANDOVER, WIN)
    both.extend(observing(an_event(), LOSS))
    both.extend(observing(HANDOVER, LOSS))

    assert (both.leads, both.won, both.seen) == ([0, 2], [True, False], 3)
    assert both.left_out == {LeftOut.NEVER_HANDED_OVER: 1}


def test_regular_moments_need_a_time_to_win_in() -> None:
    with pytest.raises(ValueError, match="time to win in"):
        Question(until_us=END_US, every_us=DAY_US)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("deal_won", EventMatch("deal_won")),
        ("stage_changed:stage=won", EventMatch("stage_changed", "stage", "won")),
    ],
)
def test_events_are_named_by_type_and_perhaps_a_property(text: str, match: EventMatch) -> None:
    assert read_match(text) == match
    assert str(match) == text


@pytest.mark.parametrize("text", ["", ":a=b", "deal:", "deal:stage", "deal:stage=", "deal:=won"])
def test_half_a_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_match(text)


def test_a_property_must_be_the_very_text() -> None:
    match = EventMatch("stage_changed", "stage", "1")
    values: list[Json] = [1, None, ["1"], True]

    assert not any(
        match.matches(structs.replace(HANDOVER, type="stage_changed", properties={"stage": v})) for v in values
    )


def test_the_score_meant_is_the_only_one_or_the_only_combined_one() -> None:
    assert default_score(a_model()) == "engagement"
    assert default_score(MODEL) == "total"
    with pytest.raises(InvalidInput, match="say which: engagement, second"):
        default_score(a_model(scores={"second": {"rules": [a_rule()]}}))
