"""Folding changes no score from its horizon on, and keeps states small."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given

from services.scorer.domain.codec import encode_state
from services.scorer.domain.folding import GRACE_US, KEPT_ENTRIES, compact, fold
from services.scorer.domain.state import combine, entry_count
from services.scorer.domain.tally import curve_of, needs_history
from shared.events.curve import microseconds, scores_at
from tests.support.builders import a_model, a_rule, a_state, an_event, an_event_on_the_wire, at
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


def test_ten_thousand_events_fit_into_kilobytes() -> None:
    start = at("2026-01-01T00:00")
    model = a_model(a_rule(half_life="7d"), a_rule("email_clicked", 1, expires_after="90d"))
    state = a_state(model)
    for day in range(100):
        moments_of_day = (start + timedelta(days=day, minutes=14 * number) for number in range(100))
        events = [an_event(f"{moment:%Y-%m-%dT%H:%M}", "email_clicked") for moment in moments_of_day]
        state = compact(model, combine(state, a_state(model, *events)))

    assert entry_count(state) <= 200
    assert len(str(encode_state(state))) < 30_000


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
