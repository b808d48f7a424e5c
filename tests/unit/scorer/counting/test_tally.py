"""A state read as terms of time agrees with the history scored from scratch."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.counting.folding import fold
from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.counting.tally import (
    HistoryNeeded,
    attributes_at,
    curve_from,
    curve_of,
    needs_history,
    retaken,
    tally_of,
    values_from,
)
from services.scorer.domain.events.event import Event
from services.scorer.domain.states.state import combine
from shared.events.curve import microseconds, scores_at
from tests.support.builders import a_model, a_retraction, a_rule, a_state, an_event, an_event_on_the_wire, at
from tests.support.oracle import scores_from_scratch
from tests.unit.scorer.histories import MODEL, MODEL_DOCUMENT, histories, moments


@given(histories(), moments())
def test_scores_equal_those_computed_from_scratch(history: list[dict[str, Any]], moment: datetime) -> None:
    state = a_state(MODEL, *(an_event_on_the_wire(event) for event in history))

    scores = scores_at(curve_of(MODEL, state, moment), moment)

    assert scores == pytest.approx(scores_from_scratch(MODEL_DOCUMENT, history, moment), abs=1e-9)


@given(histories(), moments(), moments())
def test_a_curve_gives_every_later_score_of_a_silent_lead(
    history: list[dict[str, Any]], one: datetime, other: datetime
) -> None:
    begins, moment = sorted((one, other))
    state = a_state(MODEL, *(an_event_on_the_wire(event) for event in history))

    scores = scores_at(curve_of(MODEL, state, begins), moment)

    assert scores == pytest.approx(scores_from_scratch(MODEL_DOCUMENT, history, moment), abs=1e-9)


def test_attributes_stand_as_last_written_up_to_the_moment() -> None:
    state = a_state(
        a_model(),
        an_event("2026-03-03T10:00", attributes={"country": "NO"}),
        an_event("2026-03-02T10:00", attributes={"country": "SE", "size": 5}),
        an_event("2026-03-04T10:00", attributes={"country": "DK"}),
    )

    assert attributes_at(state, at("2026-03-03T12:00")) == {"country": "NO", "size": 5}


def test_attributes_of_a_retracted_event_were_never_written() -> None:
    state = a_state(
        a_model(),
        an_event("2026-03-02T10:00", attributes={"country": "SE"}),
        an_event("2026-03-03T10:00", event_id="wrong", attributes={"country": "NO"}),
        a_retraction("wrong"),
    )

    assert attributes_at(state, at("2026-03-06T10:00")) == {"country": "SE"}


HORIZON = microseconds(at("2026-03-10T00:00"))
LIMITED = a_model(a_rule(limit={"count": 2, "per": "ever"}), a_rule("email_clicked", 5))


@pytest.mark.parametrize(
    ("late", "is_lost"),
    [
        pytest.param(an_event("2026-03-09T10:00"), True, id="an old event under a limit"),
        pytest.param(an_event("2026-03-09T10:00", "email_clicked"), False, id="an old event without a limit"),
        pytest.param(an_event("2026-03-11T10:00"), False, id="a new event under a limit"),
        pytest.param(a_retraction("folded"), True, id="a retraction of what is folded"),
        pytest.param(a_retraction("recent"), False, id="a retraction of what is not folded"),
        pytest.param(an_event("2026-03-09T10:00", "score_reset", score="engagement"), True, id="an old reset"),
        pytest.param(an_event("2026-03-11T10:00", "score_reset", score="engagement"), False, id="a new reset"),
        pytest.param(an_event("2026-03-01T10:00", "x", attributes={"a": 1}), False, id="an old attribute"),
    ],
)
def test_folded_history_is_needed_again_only_by_what_reaches_into_it(late: Event, is_lost: bool) -> None:
    history = a_state(
        LIMITED, an_event("2026-03-02T10:00", event_id="folded"), an_event("2026-03-12T10:00", event_id="recent")
    )

    state = combine(fold(LIMITED, history, HORIZON), state_of(LIMITED, late))

    assert needs_history(LIMITED, state) is is_lost


def test_two_folded_histories_can_only_be_joined_from_their_events() -> None:
    one = fold(LIMITED, a_state(LIMITED, an_event("2026-03-02T10:00")), HORIZON)
    other = fold(LIMITED, a_state(LIMITED, an_event("2026-03-03T10:00")), HORIZON)

    with pytest.raises(HistoryNeeded):
        curve_of(LIMITED, combine(one, other), at("2026-03-11T00:00"))


def test_a_folded_state_does_not_answer_for_moments_before_its_horizon() -> None:
    folded = fold(LIMITED, a_state(LIMITED, an_event("2026-03-02T10:00")), HORIZON)

    with pytest.raises(HistoryNeeded):
        curve_of(LIMITED, folded, at("2026-03-09T00:00"))


@given(histories(), st.integers(0, 24), st.none() | moments())
def test_a_tally_is_followed_through_what_happens_and_back(
    history: list[dict[str, Any]], number: int, folded_at: datetime | None
) -> None:
    events = [an_event_on_the_wire(event) for event in history]
    before, added = a_state(MODEL, *events[:number]), a_state(MODEL, *events[number:])
    before = before if folded_at is None else fold(MODEL, before, microseconds(folded_at))
    after = combine(before, added)
    if needs_history(MODEL, before) or needs_history(MODEL, after):
        return

    there = retaken(MODEL, after, tally_of(MODEL, before), changed_by=added)
    back = retaken(MODEL, before, tally_of(MODEL, after), changed_by=added)

    assert there == tally_of(MODEL, after)
    assert back == tally_of(MODEL, before)


def test_following_a_tally_into_folded_history_is_refused() -> None:
    folded = fold(LIMITED, a_state(LIMITED, an_event("2026-03-02T10:00")), HORIZON)
    late = a_state(LIMITED, an_event("2026-03-01T10:00"))

    with pytest.raises(HistoryNeeded):
        retaken(LIMITED, combine(folded, late), tally_of(LIMITED, folded), changed_by=late)


@given(histories(), moments())
def test_a_tally_has_at_one_moment_the_values_of_its_curve(history: list[dict[str, Any]], moment: datetime) -> None:
    tally = tally_of(MODEL, a_state(MODEL, *(an_event_on_the_wire(event) for event in history)))

    values = values_from(MODEL, tally, microseconds(moment))

    assert values == pytest.approx(scores_at(curve_from(MODEL, tally, microseconds(moment)), moment), abs=1e-9)


@given(histories(), moments())
def test_values_that_are_known_are_not_looked_for_again(history: list[dict[str, Any]], moment: datetime) -> None:
    tally = tally_of(MODEL, a_state(MODEL, *(an_event_on_the_wire(event) for event in history)))
    values = values_from(MODEL, tally, microseconds(moment))
    known = {name: value for name, value in values.items() if name in tally}

    again = values_from(MODEL, {}, microseconds(moment), known=known)

    assert again == values
