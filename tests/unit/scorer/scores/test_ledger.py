"""The ledger: entries add up to the score, and say why in words."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given

from services.scorer.domain.counting.folding import fold
from services.scorer.domain.counting.tally import curve_of
from services.scorer.domain.scores.ledger import ledger_of
from shared.events.curve import microseconds, scores_at
from shared.events.json import Json
from shared.events.scores import LedgerEntry
from tests.support.builders import a_model, a_rule, a_state, an_adjustment, an_event, an_event_on_the_wire, at
from tests.unit.scorer.histories import MODEL, histories, moments

NOW = at("2026-03-05T10:00")
FIT: Json = {"fit": {"rules": [{"id": "right_size", "if": {"attributes.size": {"gte": 50}}, "points": 30}]}}


def summary(entries: tuple[LedgerEntry, ...]) -> list[tuple[str, str | None, float]]:
    return [(entry.kind, entry.name, entry.worth) for entry in entries]


@given(histories(), moments(), moments())
def test_the_entries_of_a_score_add_up_to_it(history: list[dict[str, Any]], one: datetime, other: datetime) -> None:
    horizon, moment = sorted((one, other))
    state = fold(MODEL, a_state(MODEL, *(an_event_on_the_wire(event) for event in history)), microseconds(horizon))

    ledger = ledger_of(MODEL, state, moment)

    sums = {name: sum(entry.worth for entry in entries) for name, entries in ledger.items()}
    assert sums == pytest.approx(scores_at(curve_of(MODEL, state, moment), moment), abs=1e-9)


def test_a_rule_tells_what_counted_what_it_was_worth_and_what_it_is_worth_now() -> None:
    model = a_model(a_rule(points=8, half_life="1d", expires_after="5d"))
    state = a_state(model, an_event("2026-03-03T10:00"), an_event("2026-03-04T10:00", event_id="newest"))

    (entry,) = ledger_of(model, state, NOW)["engagement"]

    assert (entry.counted, entry.points, entry.undecayed, entry.worth) == (2, 8, 16, 6)
    assert (entry.half_life_seconds, entry.expires_at) == (86400, at("2026-03-09T00:00"))
    assert entry.latest is not None
    assert entry.latest.id == "newest"


def test_what_caps_withhold_is_an_entry_of_its_own() -> None:
    model = a_model(a_rule(points=50, group="web"), score={"groups": {"web": {"max": 30}}, "max": 25})
    state = a_state(model, an_event("2026-03-03T10:00"))

    entries = ledger_of(model, state, NOW)["engagement"]

    assert summary(entries) == [
        ("rule", "page_viewed", 50),
        ("group_clamp", "web", -20),
        ("score_clamp", None, -5),
    ]
    assert [entry.reason for entry in entries[1:]] == [
        "Group web is capped at 30",
        "Score engagement is capped at 25",
    ]


def test_what_the_floor_lifts_is_told_too() -> None:
    model = a_model(a_rule(points=-5))

    entries = ledger_of(model, a_state(model, an_event("2026-03-03T10:00")), NOW)["engagement"]

    assert summary(entries)[-1] == ("score_clamp", None, 5)
    assert entries[-1].reason == "Score engagement is never below 0"


def test_what_a_limit_withholds_is_told_in_words() -> None:
    model = a_model(a_rule(description="Looked at the pricing page", limit={"count": 2, "per": "day"}))
    state = a_state(model, *(an_event(f"2026-03-03T1{hour}:00") for hour in range(5)))

    (entry,) = ledger_of(model, state, NOW)["engagement"]

    assert entry.reason == "Looked at the pricing page, twice; 3 more did not count (limit: 2 per day)"


def test_an_adjustment_names_its_reason_and_actor() -> None:
    model = a_model()
    state = a_state(model, an_adjustment("2026-03-03T10:00", reason="met at a fair", actor="kim"))

    entries = ledger_of(model, state, NOW)

    assert [entry.reason for entry in entries["engagement"]] == ["Adjusted by hand: met at a fair (kim)"]


def test_an_attribute_tells_the_event_that_brought_it() -> None:
    model = a_model(scores=FIT)
    state = a_state(model, an_event("2026-03-03T10:00", "form", event_id="f", attributes={"size": 80}))

    (entry,) = ledger_of(model, state, NOW)["fit"]

    assert (entry.kind, entry.worth, entry.reason) == ("attribute", 30, "Right size")
    assert entry.latest is not None
    assert entry.latest.id == "f"


def test_a_combined_score_is_explained_by_its_components() -> None:
    model = a_model(scores={"total": {"combine": {"engagement": 0.6}}})

    entries = ledger_of(model, a_state(model, an_event("2026-03-03T10:00")), NOW)["total"]

    assert summary(entries) == [("component", "engagement", 6.0)]
    assert entries[0].reason == "60 % of engagement"


def test_the_weightiest_reasons_come_first_and_what_is_over_is_left_out() -> None:
    model = a_model(
        a_rule(), a_rule("email_clicked", 2), a_rule("unsubscribed", -5), a_rule("old", 99, expires_after="1d")
    )
    happened = [an_event("2026-03-03T10:00", kind) for kind in ("email_clicked", "page_viewed", "unsubscribed")]

    entries = ledger_of(model, a_state(model, *happened, an_event("2026-03-01T10:00", "old")), NOW)["engagement"]

    assert [entry.name for entry in entries] == ["page_viewed", "unsubscribed", "email_clicked"]
