"""A compiled model answers what others ask of it."""

from services.scorer.domain.models.model import Model
from services.scorer.domain.states.limits import Limit
from shared.events.json import Json
from tests.support.builders import a_model, a_rule

FIT: dict[str, Json] = {"fit": {"rules": [{"id": "large", "if": {"attributes.size": 1}, "points": 1}]}}
MODEL: Model = a_model(a_rule(limit={"count": 1, "per": "day"}), a_rule("email_clicked"), scores=FIT)


def test_a_model_knows_the_limits_of_its_rules() -> None:
    assert MODEL.limit_of("engagement", "page_viewed") == Limit(1, "day", None)
    assert MODEL.limit_of("engagement", "email_clicked") is None
    assert MODEL.limit_of("fit", "large") is None
