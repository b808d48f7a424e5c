"""The ledger as sentences: what happened, how often and when, what it is worth, and how that will age."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.scorer.domain.counting.folding import compact
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.ledger import ledger_of
from services.scorer.domain.scores.words import exact_length, length, points, sentences
from shared.events.json import Json
from tests.support.builders import a_model, a_rule, a_state, an_adjustment, an_event, at

NOW = at("2026-03-20T12:00")


VIEWED = a_rule(description="Viewed a page")


def told(*events: Event, rules: Sequence[dict[str, Json]] = (VIEWED,)) -> list[str]:
    return told_of(a_model(*rules), "engagement", *events)


def told_of(model: Model, score: str, *events: Event) -> list[str]:
    """The sentences of one score."""
    return list(sentences(model, ledger_of(model, a_state(model, *events), NOW), NOW)[score])


def test_several_occurrences_are_told_with_the_stretch_they_lie_in() -> None:
    rule = a_rule(description="Visited the pricing page", half_life="7d")
    visits = [an_event(f"2026-03-{day}T12:00") for day in (14, 17, 20)]

    assert told(*visits, rules=[rule]) == [
        "Visited the pricing page 3 times in the last 6 days: +22.95, halves every 7 days"
    ]


def test_one_occurrence_is_told_with_its_age_and_twice_is_a_word() -> None:
    assert told(an_event("2026-03-20T09:00")) == ["Viewed a page 3 hours ago: +10, stays"]
    assert told(an_event("2026-03-20T12:00")) == ["Viewed a page just now: +10, stays"]
    assert told(an_event("2026-03-20T09:00"), an_event("2026-03-18T12:00")) == [
        "Viewed a page twice in the last 2 days: +20, stays"
    ]


def test_what_a_limit_withholds_is_told_with_the_limit() -> None:
    rule = a_rule("webinar_attended", limit={"count": 1, "per": "ever", "by": "properties.webinar_id"})
    events = [an_event(f"2026-03-0{day}T12:00", "webinar_attended", webinar_id=7) for day in (1, 2, 3)]

    assert told(*events, rules=[rule]) == [
        "Webinar attended 19 days ago: +10, stays; 2 more did not count (at most 1 ever for each webinar id)"
    ]


def test_an_end_is_told_and_that_it_is_only_the_first() -> None:
    rule = a_rule(expires_after="30d", description="Viewed a page")

    assert told(an_event("2026-03-20T09:00"), rules=[rule]) == [
        "Viewed a page 3 hours ago: +10, ends on 20 April 2026"
    ]
    both = told(an_event("2026-03-20T09:00"), an_event("2026-03-10T09:00"), rules=[rule])
    assert both[0].endswith("+20, the first part ends on 10 April 2026")


def test_adjustments_caps_attributes_and_parts_are_told_in_their_own_way() -> None:
    fit: Json = {"rules": [{"id": "decision_maker", "if": {"attributes.title": "boss"}, "points": 40}]}
    total: Json = {"combine": {"engagement": 0.6, "fit": 0.4}}
    events = [an_event(attributes={"title": "boss"}), an_adjustment("2026-03-19T12:00", points=-2.5, half_life="2d")]
    model = a_model(VIEWED, scores={"fit": fit, "total": total}, score={"max": 5})

    assert told_of(model, "engagement", *events) == [
        "Viewed a page 18 days ago: +10, stays",
        "Adjusted by hand: called (kim), 24 hours ago: -1.77, halves every 2 days",
        "Score engagement is capped at 5: -3.23",
    ]
    assert told_of(model, "fit", *events) == ["Decision maker: +40, as long as that is so"]
    assert told_of(model, "total", *events) == ["40 % of fit (40): +16", "60 % of engagement (5): +3"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (90, "90 seconds"), (7200, "2 hours"), (36 * 3600, "36 hours"), (14 * 86400, "14 days")],
)
def test_lengths_are_told_as_people_say_them(seconds: float, words: str) -> None:
    assert length(seconds) == words
    assert exact_length(seconds) == words


def test_a_half_life_is_never_rounded() -> None:
    assert length(timedelta(days=3, hours=12).total_seconds()) == "4 days"
    assert exact_length(timedelta(days=3, hours=12).total_seconds()) == "84 hours"
    assert exact_length(timedelta(days=2, seconds=1).total_seconds()) == "172801 seconds"


@pytest.mark.parametrize(
    ("worth", "words"),
    [(18.4, "+18.4"), (-3.0, "-3"), (0.0, "nothing"), (0.001, "next to nothing by now"), (100.0, "+100")],
)
def test_points_carry_their_sign_and_no_idle_zeros(worth: float, words: str) -> None:
    assert points(worth) == words


def test_a_long_history_is_told_by_its_newest_event() -> None:
    model = parse_model({"model": "m", "scores": {"s": {"rules": [a_rule(description="Viewed a page")]}}})
    state = compact(model, a_state(model, *(an_event(f"2026-03-{1 + n // 24:02}T{n % 24:02}:00") for n in range(90))))

    (words,) = sentences(model, ledger_of(model, state, NOW), NOW)["s"]
    assert words == "Viewed a page 90 times, the last 16 days ago: +900, stays"
