"""When a lead entered each threshold: exact in time, with hysteresis and cooldown."""

from datetime import datetime, timedelta
from math import log2
from typing import Any

from hypothesis import given, settings

from services.scorer.domain.counting.tally import curve_from, tally_of
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.standing import positions, standing
from services.scorer.domain.scores.thresholds import Passage, passage, positions_over_time
from shared.events.curve import microseconds, moment
from shared.events.json import Json
from tests.support.builders import a_model, a_rule, a_state, an_event, an_event_on_the_wire, at
from tests.support.oracle import scores_from_scratch
from tests.unit.scorer.histories import MODEL, MODEL_DOCUMENT, histories, moments

HOT: Json = {"hot": {"score": "engagement", "enter": 20, "exit": 10, "cooldown": "2d"}}
BRIEFLY_HOT: Json = {"hot": {"score": "engagement", "enter": 20, "exit": 10, "cooldown": "1h"}}


def through(model: Model, until: str, *happened: str) -> Passage:
    state = a_state(model, *(an_event(each) for each in happened))
    first = microseconds(min(map(at, happened)))
    return passage(model, tally_of(model, state), from_us=first, until_us=microseconds(at(until)))


@settings(max_examples=60)
@given(histories(), moments())
def test_at_any_moment_the_walk_stands_where_the_scoring_page_says(
    history: list[dict[str, Any]], when: datetime
) -> None:
    events = [an_event_on_the_wire(event) for event in history]
    start = min((event.at_us for event in events), default=microseconds(when))
    until = max(start, microseconds(when))
    curve = curve_from(MODEL, tally_of(MODEL, a_state(MODEL, *events)), start)

    *_, (_, last) = positions_over_time(MODEL, curve, until)

    there = standing(MODEL, scores_from_scratch(MODEL_DOCUMENT, history, moment(until)))
    assert last == {name: each.position for name, each in positions(MODEL, there).items()}


def test_decay_leaves_and_events_enter_again() -> None:
    model = a_model(a_rule(points=15, half_life="1d"), thresholds=BRIEFLY_HOT)

    found = through(
        model, "2026-03-20T00:00", "2026-03-01T10:00", "2026-03-01T11:00", "2026-03-05T10:00", "2026-03-05T10:30"
    )

    assert [moment(each.at_us) for each in found.enterings] == [at("2026-03-01T11:00"), at("2026-03-05T10:30")]
    assert found.inside == frozenset()


def test_between_exit_and_enter_a_lead_stays_where_it_was() -> None:
    model = a_model(a_rule(points=12), a_rule("email_clicked", -6), thresholds=HOT)
    events = (
        an_event("2026-03-01T10:00"),
        an_event("2026-03-01T11:00"),
        an_event("2026-03-02T10:00", "email_clicked"),
    )
    state = a_state(model, *events)

    found = passage(
        model, tally_of(model, state), from_us=events[0].at_us, until_us=microseconds(at("2026-03-09T00:00"))
    )

    assert len(found.enterings) == 1
    assert found.inside == {"hot"}


def test_a_new_entering_within_the_cooldown_is_counted_as_suppressed() -> None:
    model = a_model(a_rule(points=25, expires_after="1d"), thresholds=HOT)

    found = through(model, "2026-03-20T00:00", "2026-03-01T23:00", "2026-03-03T01:00", "2026-03-08T10:00")

    assert [each.suppressed for each in found.enterings] == [False, True, False]


def test_a_penalty_that_decays_lets_a_lead_in_without_any_event() -> None:
    model = a_model(
        a_rule(points=25),
        a_rule("unsubscribed", -10, half_life="1d"),
        thresholds={"hot": {"score": "engagement", "enter": 20}},
    )
    events = (an_event("2026-03-01T10:00", "unsubscribed"), an_event("2026-03-01T10:00"))

    found = passage(
        model,
        tally_of(model, a_state(model, *events)),
        from_us=events[0].at_us,
        until_us=microseconds(at("2026-03-09T00:00")),
    )

    (entering,) = found.enterings
    reaches_19_995 = at("2026-03-01T10:00") + timedelta(days=log2(10 / 5.005))
    assert abs(moment(entering.at_us) - reaches_19_995) < timedelta(milliseconds=1)


def test_what_comes_after_the_end_does_not_count() -> None:
    model = a_model(a_rule(points=25), thresholds=HOT)

    assert through(model, "2026-03-01T09:59:59", "2026-03-01T10:00", "2026-03-01T09:00").inside == {"hot"}
    assert through(model, "2026-03-01T09:59:59", "2026-03-01T09:59:59").enterings != ()
