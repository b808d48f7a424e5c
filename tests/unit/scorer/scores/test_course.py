"""The course of scores: at each moment what the state itself says, however many moments there are."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.counting.tally import curve_of
from services.scorer.domain.scores.course import course, moments
from services.scorer.domain.scores.standing import standing_of
from tests.support.builders import a_state, an_event_on_the_wire, at
from tests.unit.scorer.histories import MODEL, START, histories
from tests.unit.scorer.histories import moments as any_moment


def test_moments_are_evenly_spread_and_include_both_ends() -> None:
    assert moments(at("2026-03-01T00:00"), at("2026-03-03T00:00"), 3) == (
        at("2026-03-01T00:00"),
        at("2026-03-02T00:00"),
        at("2026-03-03T00:00"),
    )


@given(histories(max_size=12), st.lists(any_moment(), max_size=5))
def test_every_point_is_where_the_lead_stood_at_its_moment(
    history: list[dict[str, Any]], chosen: list[datetime]
) -> None:
    state = a_state(MODEL, *(an_event_on_the_wire(event) for event in history))
    start = START - timedelta(days=1)

    points = list(course(MODEL, curve_of(MODEL, state, start), sorted(chosen)))

    assert points == [(moment, standing_of(MODEL, state, moment)) for moment in sorted(chosen)]
