"""A compiled model answers what others ask of it."""

from services.scorer.domain.model import Model
from shared.events.json import Json
from tests.support.builders import a_model, a_rule

FIT: dict[str, Json] = {"fit": {"rules": [{"id": "large", "if": {"attributes.size": 1}, "points": 1}]}}
MODEL: Model = a_model(a_rule(limit={"count": 1, "per": "day"}), a_rule("email_clicked"), scores=FIT)


def test_a_model_knows_which_of_its_rules_are_limited() -> None:
    limited = [MODEL.limited("engagement", rule) for rule in ("page_viewed", "email_clicked")]

    assert limited == [True, False]
    assert MODEL.limited("fit", "large") is False
