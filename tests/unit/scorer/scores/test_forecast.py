"""The forecast: the first moment at which a silent lead stands elsewhere."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.counting.tally import curve_of
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.forecast import forecast_from, next_change
from services.scorer.domain.scores.standing import positions, standing_at
from shared.events.curve import Curve, microseconds, moment
from shared.events.json import Json
from tests.support.builders import a_model, a_rule, a_state, an_event, an_event_on_the_wire, at
from tests.unit.scorer.histories import MODEL, histories, moments

HOT: dict[str, Json] = {"thresholds": {"hot": {"score": "engagement", "enter": 8, "exit": 4}}}
NOW = at("2026-03-02T10:00")


def what_may_change(model: Model, curve: Curve, moment: datetime) -> object:
    standing = standing_at(model, curve, moment)
    found = {name: position.position for name, position in positions(model, standing).items()}
    return standing.bands, standing.grade, found


@given(histories(), moments(), st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_nothing_changes_before_the_moment_and_something_does_at_it(
    history: list[dict[str, Any]], begins: datetime, fractions: list[float]
) -> None:
    curve = curve_of(MODEL, a_state(MODEL, *(an_event_on_the_wire(event) for event in history)), begins)
    before = what_may_change(MODEL, curve, begins)

    changes_us = next_change(MODEL, curve)

    end_us = changes_us or curve.from_us + 10**14
    silent = [moment(curve.from_us + int((end_us - 1 - curve.from_us) * fraction)) for fraction in (*fractions, 1)]
    assert all(what_may_change(MODEL, curve, each) == before for each in silent)
    assert changes_us is None or what_may_change(MODEL, curve, moment(changes_us)) != before


def test_decay_leaves_a_threshold_when_the_rounded_score_falls_below_its_exit() -> None:
    model = a_model(a_rule(points=8, half_life="1d"), thresholds={"hot": {"score": "engagement", "enter": 4}})
    curve = curve_of(model, a_state(model, an_event("2026-03-02T10:00")), NOW)

    forecast = forecast_from(model, curve)

    assert forecast.changes_at is not None
    assert forecast.changes_at - at("2026-03-03T10:00") == pytest.approx(
        timedelta(seconds=155.9), abs=timedelta(seconds=1)
    )
    assert forecast.becomes is not None
    assert forecast.becomes.scores == {"engagement": 3.99}


def test_a_fading_penalty_lifts_a_score_back_over_the_level() -> None:
    model = a_model(a_rule(points=10), a_rule("unsubscribed", -8, half_life="1d"), **HOT)
    state = a_state(model, an_event("2026-03-02T10:00"), an_event("2026-03-02T10:00", "unsubscribed"))

    first = forecast_from(model, curve_of(model, state, NOW))

    assert first.becomes is not None
    assert first.becomes.scores["engagement"] == pytest.approx(4, abs=0.01)


def test_a_score_far_above_its_cap_changes_only_when_the_cap_lets_go() -> None:
    model = a_model(a_rule(points=64, half_life="1d"), score={"max": 10}, **HOT)
    curve = curve_of(model, a_state(model, an_event("2026-03-02T10:00")), NOW)

    forecast = forecast_from(model, curve)

    assert forecast.changes_at is not None
    assert forecast.changes_at.date() == at("2026-03-05T00:00").date()


def test_expiry_changes_a_standing_at_the_start_of_a_day() -> None:
    model = a_model(a_rule(expires_after="3d"), **HOT)
    curve = curve_of(model, a_state(model, an_event("2026-03-02T10:00")), NOW)

    assert forecast_from(model, curve).changes_at == at("2026-03-06T00:00")


def test_what_never_ages_never_changes() -> None:
    model = a_model(a_rule(), **HOT)
    curve = curve_of(model, a_state(model, an_event("2026-03-02T10:00")), NOW)

    forecast = forecast_from(model, curve)

    assert (forecast.changes_at, forecast.becomes, forecast.curve) == (None, None, curve)


def test_a_future_event_changes_a_standing_when_it_comes() -> None:
    model = a_model(a_rule(), **HOT)
    curve = curve_of(model, a_state(model, an_event("2026-03-04T10:00")), NOW)

    assert next_change(model, curve) == microseconds(at("2026-03-04T10:00"))
