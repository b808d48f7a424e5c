"""What if: exactly the leads that stand elsewhere, why, and what that means week by week and for whom."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scorer.domain.events.event import Event
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model
from services.scorer.domain.what_if.simulation import (
    Counts,
    Moved,
    Pair,
    Question,
    Simulation,
    Transition,
    common_score,
    compare,
    simulation,
    weeks_back,
)
from shared.errors import InvalidInput
from shared.events.json import Json
from tests.support.builders import a_model, a_retraction, a_rule, an_event, an_event_on_the_wire, at
from tests.support.oracle import scores_from_scratch
from tests.unit.scorer.histories import MODEL_DOCUMENT, histories, moments

NOW = at("2026-03-20T12:00")
BANDS: Json = {"engagement": {"hot": 20, "cold": 0}}
HOT: Json = {"hot": {"score": "engagement", "enter": 20}}
BEFORE = a_model(a_rule(points=10), a_rule("email_clicked", 1), bands=BANDS, thresholds=HOT)
AFTER = a_model(a_rule(points=20), a_rule("email_clicked", 1), bands=BANDS, thresholds=HOT)


def doubled(document: dict[str, Any], rule_id: str) -> dict[str, Any]:
    """The same model, but for twice the points of one rule."""
    engagement = document["scores"]["engagement"]
    rules = [
        {**rule, "points": rule["points"] * 2} if rule["id"] == rule_id else rule for rule in engagement["rules"]
    ]
    return {**document, "scores": {**document["scores"], "engagement": {**engagement, "rules": rules}}}


def standing_from_scratch(document: dict[str, Any], history: Sequence[dict[str, Any]], when: datetime) -> object:
    """Bands and grade by the scoring page alone."""
    scores = {
        name: float(Decimal(repr(round(value, 9))).quantize(Decimal("0.01"), ROUND_HALF_EVEN))
        for name, value in scores_from_scratch(document, history, when).items()
    }
    bands = {
        name: next(
            (band for band, floor in sorted(of.items(), key=lambda item: -item[1]) if scores[name] >= floor), ""
        )
        for name, of in document["bands"].items()
    }
    return bands, bands["fit"] and bands["engagement"] and bands["fit"] + bands["engagement"]


def simulated(
    leads: Sequence[Sequence[Event]],
    before: Model = BEFORE,
    after: Model = AFTER,
    *,
    when: datetime = NOW,
    **given: Any,
) -> Simulation:
    question = Question(
        before=before,
        after=after,
        at=when,
        since_us=weeks_back(when, given.pop("weeks", 3)),
        score=given.pop("score", "engagement"),
        listed=given.pop("listed", 100),
        movers=given.pop("movers", 5),
    )
    counts = Counts()
    for number, events in enumerate(leads):
        counts.add(question, compare(question, [(UUID(int=number), events)]))
    return simulation(question, counts)


@settings(max_examples=40)
@given(st.lists(histories(), max_size=5), moments())
def test_a_doubled_rule_changes_exactly_the_leads_that_the_scoring_page_names(
    leads: list[list[dict[str, Any]]], when: datetime
) -> None:
    draft = doubled(MODEL_DOCUMENT, "free")

    found = simulated(
        [[an_event_on_the_wire(event) for event in history] for history in leads],
        parse_model(MODEL_DOCUMENT),
        parse_model(draft),
        when=when,
    )

    expected = {
        UUID(int=number)
        for number, history in enumerate(leads)
        if standing_from_scratch(MODEL_DOCUMENT, history, when) != standing_from_scratch(draft, history, when)
    }
    assert {change.lead_id for change in found.changes} == expected
    assert found.changed == len(expected)


def test_bands_are_counted_from_one_to_the_other() -> None:
    found = simulated([[an_event("2026-03-10T10:00")], [], [an_event("2026-03-10T10:00", "email_clicked")]])

    assert found.bands == {"engagement": (Transition("cold", "cold", 2), Transition("cold", "hot", 1))}
    assert [(change.lead_id.int, change.bands) for change in found.changes] == [
        (0, {"engagement": Moved("cold", "hot")})
    ]


def test_movers_come_with_what_each_rule_made_of_them() -> None:
    lead = [an_event("2026-03-10T10:00"), an_event("2026-03-11T10:00"), an_event("2026-03-11T10:00", "email_clicked")]

    found = simulated([[an_event("2026-03-10T10:00")], lead], movers=1)

    (mover,) = found.movers
    assert (mover.lead_id.int, mover.before, mover.after) == (1, 21, 41)
    assert [(reason.name, reason.before, reason.after) for reason in mover.reasons] == [("page_viewed", 20, 40)]
    assert mover.others == 0


@settings(max_examples=40)
@given(histories(), moments())
def test_the_reasons_of_a_mover_add_up_to_how_far_it_moved(history: list[dict[str, Any]], when: datetime) -> None:
    events = [an_event_on_the_wire(event) for event in history]
    after = parse_model(doubled(MODEL_DOCUMENT, "free"))

    found = simulated([events], parse_model(MODEL_DOCUMENT), after, when=when, score="total")

    for mover in found.movers:
        explained = sum(reason.after - reason.before for reason in mover.reasons) + mover.others
        assert explained == pytest.approx(mover.after - mover.before, abs=0.011)


def test_enterings_are_counted_week_by_week() -> None:
    lead = [an_event("2026-03-05T10:00"), an_event("2026-03-17T10:00")]

    (load,) = simulated([lead, []], weeks=3).thresholds

    assert (load.threshold, load.inside) == ("hot", Pair(1, 1))
    assert [(week.monday, week.entered) for week in load.weeks] == [
        (date(2026, 3, 2), Pair(0, 1)),
        (date(2026, 3, 9), Pair(0, 0)),
        (date(2026, 3, 16), Pair(1, 0)),
    ]


def test_the_last_word_on_a_deal_says_whose_lead_it_is_and_else_an_attribute_does() -> None:
    hot = an_event("2026-03-10T10:00")
    by_deal = [
        hot,
        an_event("2026-03-11T10:00", "deal_updated", owner="eve"),
        an_event("2026-03-09T10:00", "stage_changed", owner="adam"),
        an_event("2026-03-12T10:00", "deal_updated", amount=5),
    ]
    by_attribute = [an_event("2026-03-10T10:00", attributes={"owner": "adam"})]

    found = simulated([by_deal, by_attribute, [hot, hot]])

    assert {load.owner: (load.leads, load.inside["hot"], load.entered["hot"]) for load in found.owners} == {
        owner: (1, Pair(0, 1), Pair(0, 1)) for owner in ("eve", "adam", None)
    }


def test_as_of_a_moment_later_events_do_not_count_but_retractions_do() -> None:
    early = an_event("2026-03-10T10:00", event_id="e", owner="eve")
    later = [an_event("2026-03-30T10:00"), an_event("2026-03-30T10:00", "deal_updated", owner="adam")]

    kept = simulated([[early, *later]])
    retracted = simulated([[early, *later, a_retraction("e", "2026-03-30T11:00")]])

    assert [(mover.before, mover.after) for mover in kept.movers] == [(10, 20)]
    assert [load.owner for load in kept.owners] == [None]
    assert retracted.movers == ()


def test_what_only_one_of_the_models_has_is_named_and_not_compared() -> None:
    other = a_model(a_rule(points=20), thresholds={"top": {"score": "engagement", "enter": 5}})

    found = simulated([[an_event("2026-03-10T10:00")]], BEFORE, other)

    assert (found.changed, found.bands) == (0, {})
    assert (found.only_before, found.only_after) == (("bands.engagement", "thresholds.hot"), ("thresholds.top",))
    assert {load.threshold: load.inside for load in found.thresholds} == {"hot": Pair(0, 0), "top": Pair(0, 1)}


def test_the_score_of_movers_is_one_that_both_models_have() -> None:
    assert common_score(BEFORE, AFTER, None) == "engagement"
    with pytest.raises(InvalidInput, match="no score fit in common"):
        common_score(BEFORE, AFTER, "fit")


def test_weeks_begin_on_mondays_and_the_last_is_that_of_the_moment() -> None:
    monday = datetime(2026, 3, 16, tzinfo=UTC)
    micro = timedelta(microseconds=1)
    starts = [weeks_back(when, 2) / 1e6 for when in (monday - micro, monday, monday + timedelta(days=6))]

    assert starts == [(monday - timedelta(weeks=weeks)).timestamp() for weeks in (2, 1, 1)]
