"""What people do by hand: checked against the model with every fault, and told as the contract's events."""

import pytest
from msgspec.structs import replace

from services.scorer.domain.corrections import (
    Adjustment,
    Correction,
    Reset,
    Retraction,
    check,
    event_type,
    properties,
)
from services.scorer.domain.counting.matching import state_of
from shared.errors import InvalidDocument
from shared.events.json import Json
from tests.support.builders import a_model, an_adjustment, at

NOW = at("2026-03-20T12:00")
FIT: Json = {"rules": [{"id": "boss", "if": {"attributes.title": "boss"}, "points": 1}]}
MODEL = a_model(scores={"fit": FIT, "total": {"combine": {"engagement": 1, "fit": 1}}})


def an_adjustment_of(
    score: str = "engagement", half_life: str | None = None, expires: str | None = None
) -> Adjustment:
    return Adjustment(score, 5.0, half_life, expires, "anna", "called")


def faults(correction: Correction, happened: str = "2026-03-20T12:00") -> dict[str, str]:
    try:
        check(MODEL, correction, occurred_at=at(happened), now=NOW)
    except InvalidDocument as error:
        return {fault.path: fault.message for fault in error.faults}
    return {}


@pytest.mark.parametrize(
    "correction", [an_adjustment_of(), an_adjustment_of("fit", "14d", "90d"), Reset("engagement", "a", "r")]
)
def test_what_has_an_effect_passes(correction: Correction) -> None:
    assert faults(correction) == {}


def test_every_fault_is_told_with_its_place() -> None:
    found = faults(an_adjustment_of("nonsense", "14 days", "2h"))

    assert found.keys() == {"score", "half_life", "expires_after"}
    assert found["score"] == "is no score of the active model; there are engagement, fit, total"


def test_a_combined_score_is_made_of_others_and_attributes_are_not_reset() -> None:
    assert "made of engagement, fit" in faults(an_adjustment_of("total"))["score"]
    assert "built from attributes" in faults(Reset("fit", "a", "r"))["score"]


def test_points_that_are_over_already_are_refused() -> None:
    assert faults(an_adjustment_of(expires="2d"), "2026-03-18T12:00") == {}
    assert "over already" in faults(an_adjustment_of(expires="2d"), "2026-03-17T12:00")["expires_after"]


def test_each_becomes_the_event_that_the_core_understands() -> None:
    adjustment = an_adjustment_of("fit", "14d")

    assert event_type(adjustment) == "score_adjusted"
    assert properties(adjustment) == {
        "score": "fit",
        "points": 5.0,
        "actor": "anna",
        "reason": "called",
        "half_life": "14d",
    }
    assert state_of(MODEL, replace(an_adjustment(), properties=properties(adjustment))).adjustments
    assert (event_type(Reset("s", "a", "r")), properties(Reset("s", "a", "r"))["score"]) == ("score_reset", "s")
    retraction = Retraction("web", "e1", "a", "r")
    assert (event_type(retraction), properties(retraction)["event_id"]) == ("event_voided", "e1")
