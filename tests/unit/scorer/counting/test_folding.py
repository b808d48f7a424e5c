"""Folding changes no score from its horizon on, and keeps states small."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import assume, given

from services.scorer.domain.codec import encode_state
from services.scorer.domain.counting.folding import GRACE_US, KEPT_COUNTS, KEPT_ENTRIES, MOST_ENTRIES, compact, fold
from services.scorer.domain.counting.tally import curve_of, needs_history
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.ledger import ledger_of
from services.scorer.domain.states.state import EMPTY, LeadState, combine, entries
from shared.events.curve import microseconds, scores_at
from tests.support.builders import (
    a_model,
    a_retraction,
    a_rule,
    a_state,
    an_adjustment,
    an_event,
    an_event_on_the_wire,
    at,
)
from tests.support.oracle import scores_from_scratch
from tests.unit.scorer.histories import MODEL, MODEL_DOCUMENT, histories, moments


@given(histories(), moments(), moments(), moments())
def test_a_folded_state_scores_as_from_scratch(
    history: list[dict[str, Any]], one: datetime, two: datetime, three: datetime
) -> None:
    first, second, moment = sorted((one, two, three))
    state = a_state(MODEL, *(an_event_on_the_wire(event) for event in history))

    folded = fold(MODEL, fold(MODEL, state, microseconds(first)), microseconds(second))

    scores = scores_at(curve_of(MODEL, folded, moment), moment)
    assert scores == pytest.approx(scores_from_scratch(MODEL_DOCUMENT, history, moment), abs=1e-9)


@given(histories(), histories(), moments(), moments())
def test_what_comes_after_folding_counts_as_ever_or_asks_for_history(
    history: list[dict[str, Any]], later: list[dict[str, Any]], one: datetime, other: datetime
) -> None:
    horizon, moment = sorted((one, other))
    later = [{**event, "id": f"later-{event['id']}"} for event in later]
    before, after = (
        a_state(MODEL, *(an_event_on_the_wire(event) for event in events)) for events in (history, later)
    )

    state = combine(fold(MODEL, before, microseconds(horizon)), after)

    assume(not needs_history(MODEL, state))
    scores = scores_at(curve_of(MODEL, state, moment), moment)
    assert scores == pytest.approx(scores_from_scratch(MODEL_DOCUMENT, [*history, *later], moment), abs=1e-9)


def test_a_small_state_is_left_as_it_is() -> None:
    model = a_model()
    state = a_state(model, an_event("2025-03-02T10:00"), an_event("2026-03-02T10:00"))

    assert compact(model, state) is state


def test_events_within_the_grace_stay_unfolded() -> None:
    model = a_model()
    events = [
        an_event(f"2026-03-0{1 + number % 9}T10:00", event_id=str(number)) for number in range(KEPT_ENTRIES + 1)
    ]

    state = compact(model, a_state(model, *events))

    assert state.settled[0].until_us == microseconds(at("2026-03-09T10:00")) - GRACE_US


def test_folding_to_an_earlier_horizon_changes_nothing() -> None:
    model = a_model()
    folded = fold(model, a_state(model, an_event()), microseconds(at("2026-03-10T00:00")))

    assert fold(model, folded, microseconds(at("2026-03-09T00:00"))) is folded


def test_a_lead_that_does_all_its_deeds_in_one_day_is_folded_within_that_day() -> None:
    model = a_model(a_rule(limit={"count": 3, "per": "hour"}))

    state = streamed(model, (an_event(second(number), event_id=str(number)) for number in range(3000)))

    assert len(list(entries(state))) <= MOST_ENTRIES
    assert size_of(state) < 64_000
    now = at("2026-03-02T10:00")
    assert scores_at(curve_of(model, state, now), now)["engagement"] == pytest.approx(30)


def test_late_events_are_folded_though_the_newest_stays_the_newest() -> None:
    model = a_model()
    late = (an_event(second(number), event_id=str(number)) for number in range(1000))

    state = streamed(model, (event for event in [an_event("2026-04-01T00:00"), *late]))

    assert len(list(entries(state))) <= KEPT_ENTRIES * 2


def test_limits_by_a_field_of_many_values_keep_some_counts_and_know_when_one_is_missing() -> None:
    model = a_model(a_rule(points=1, limit={"count": 1, "per": "ever", "by": "properties.n"}))
    days = (at("2020-01-01T00:00") + timedelta(hours=number) for number in range(2000))
    state = streamed(model, (an_event(f"{day:%Y-%m-%dT%H:%M}", n=number) for number, day in enumerate(days)))

    again, new = (
        combine(state, a_state(model, an_event("2026-01-01T00:00", n=number))) for number in (0, "never seen")
    )

    assert len(state.settled[0].limits) == KEPT_COUNTS
    assert size_of(state) < 64_000
    assert needs_history(model, again)
    now = at("2026-01-02T00:00")
    assert scores_at(curve_of(model, new, now), now)["engagement"] == pytest.approx(2001)


def test_older_adjustments_become_one_line_and_the_newest_stay_apart() -> None:
    model = a_model()
    given_by_hand = (
        an_adjustment(f"{at('2026-01-01T00:00') + timedelta(hours=number):%Y-%m-%dT%H:%M}", points=number % 3)
        for number in range(200)
    )

    state = streamed(model, given_by_hand)

    now = at("2026-03-01T00:00")
    lines = ledger_of(model, state, now)["engagement"]
    (earlier,) = [line for line in lines if line.counted != 1]
    assert earlier.reason == f"Adjusted by hand: {earlier.counted} earlier adjustments"
    assert sum(line.undecayed or 0 for line in lines) == pytest.approx(199)
    assert sum(line.counted or 0 for line in lines) == 200
    assert size_of(state) < 64_000


def test_a_reset_wipes_older_adjustments_and_what_is_wiped_takes_no_room() -> None:
    model = a_model()
    many = [an_adjustment(f"2026-01-{day:02}T{hour:02}:00") for day in range(1, 10) for hour in range(24)]
    state = streamed(model, (event for event in many))

    wiped = combine(state, a_state(model, an_event("2026-02-01T00:00", "score_reset", score="engagement")))
    folded = fold(model, wiped, microseconds(at("2026-02-02T00:00")))

    for each in (wiped, folded):
        now = at("2026-02-03T00:00")
        assert scores_at(curve_of(model, each, now), now)["engagement"] == 0
    assert (folded.adjustments, folded.settled[0].adjusted) == ((), ())


def test_retractions_that_folding_has_applied_are_written_once() -> None:
    model = a_model()
    retractions = a_state(model, *(a_retraction(f"a click by a scanner {number}") for number in range(100)))

    folded = fold(model, combine(retractions, a_state(model, an_event())), microseconds(at("2026-04-01T00:00")))

    assert size_of(folded) < 2 * size_of(retractions) - 2000


def streamed(model: Model, events: Iterable[Event]) -> LeadState:
    """The state of a lead that is counted and folded as the service does, ten events at a time."""
    history: list[Event] = []
    state, stream = EMPTY, iter(events)
    while batch := list(islice(stream, 10)):
        history += batch
        state = combine(state, a_state(model, *batch))
        state = compact(model, a_state(model, *history) if needs_history(model, state) else state)
    return state


def second(number: int) -> str:
    return f"{at('2026-03-02T00:00') + timedelta(seconds=number):%Y-%m-%dT%H:%M:%S}"


def size_of(state: LeadState) -> int:
    return len(encode_state(state))
